//! The exec string of a client, parsed into what it asks for. Nothing of it goes anywhere but into this enum.

use paastech_types::{ProjectId, Slug};

/// The longest exec string that is looked at.
const MAX_LENGTH: usize = 1024;

/// What git is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// A fetch or clone.
    UploadPack,
    /// A push.
    ReceivePack,
}

impl Service {
    /// The git verb.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }
}

/// A command within the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) service: Service,
    /// A project's UUID or slug, and nothing else.
    pub(crate) project: String,
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a git command that we serve.
    NotGit,
    /// `git archive --remote`.
    Archive,
    /// Git LFS.
    Lfs,
    /// A git command on what cannot be a project.
    NoProject,
}

/// Parses an exec string: a verb, one blank, one bare or single-quoted word.
pub(crate) fn parse(exec: &[u8]) -> Result<Command, Refusal> {
    let text = std::str::from_utf8(exec).map_err(|_| Refusal::NotGit)?;
    if text.len() > MAX_LENGTH || text.chars().any(char::is_control) {
        return Err(Refusal::NotGit);
    }
    if text.starts_with("git-lfs-authenticate ") || text.starts_with("git-lfs-transfer ") {
        return Err(Refusal::Lfs);
    }
    // `git receive-pack` in two words is what a client sends whose --receive-pack says so.
    let verbless = text.strip_prefix("git-").or_else(|| text.strip_prefix("git ")).ok_or(Refusal::NotGit)?;
    let (verb, argument) = verbless.split_once(' ').ok_or(Refusal::NotGit)?;
    let service = match verb {
        "upload-pack" => Service::UploadPack,
        "receive-pack" => Service::ReceivePack,
        "upload-archive" => return Err(Refusal::Archive),
        _ => return Err(Refusal::NotGit),
    };
    let word = word(argument).ok_or(Refusal::NoProject)?;
    let project = project(&word).ok_or(Refusal::NoProject)?;
    Ok(Command { service, project })
}

/// One word as git quotes it: bare, or within single quotes where `'\''` and `'\!'` stand for `'` and `!`.
fn word(argument: &str) -> Option<String> {
    let Some(mut rest) = argument.strip_prefix('\'') else {
        let bare = !argument.is_empty() && !argument.contains([' ', '\'', '"', '\\']);
        return bare.then(|| argument.to_owned());
    };
    let mut word = String::new();
    loop {
        let (quoted, after) = rest.split_once('\'')?;
        word.push_str(quoted);
        if after.is_empty() {
            return Some(word);
        }
        let escaped = after.strip_prefix('\\')?;
        let c = escaped.chars().next().filter(|c| ['\'', '!'].contains(c))?;
        word.push(c);
        rest = escaped[1..].strip_prefix('\'')?;
    }
}

/// The UUID or slug that a path names: `/shop.git/`, `shop`.
fn project(path: &str) -> Option<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let name = path.strip_suffix(".git").unwrap_or(path);
    let id = name.parse::<ProjectId>().map(|id| id.to_string()).ok();
    id.or_else(|| name.parse::<Slug>().map(String::from).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0193e0c4-8f00-7000-8000-0123456789ab";

    fn parsed(service: Service, project: &str) -> Result<Command, Refusal> {
        Ok(Command { service, project: project.to_owned() })
    }

    #[test]
    fn takes_what_git_clients_send() {
        for text in [
            "git-receive-pack 'shop'",
            "git-receive-pack '/shop'",
            "git-receive-pack 'shop.git'",
            "git-receive-pack '/shop.git/'",
            "git receive-pack 'shop'",
            "git-receive-pack shop",
        ] {
            assert_eq!(parse(text.as_bytes()), parsed(Service::ReceivePack, "shop"), "{text}");
        }
        let text = format!("git-upload-pack '/{ID}.git'");
        assert_eq!(parse(text.as_bytes()), parsed(Service::UploadPack, ID));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "ls",
            "git",
            "git-receive-pack",
            "sh -c id",
            "git-shell 'x'",
            "scp -t .",
            "rsync --server",
            "git-receive-pack\t'shop'",
            "GIT-RECEIVE-PACK 'shop'",
            " git-receive-pack 'shop'",
            "git-receive-pack 'shop\0'",
            "git-receive-pack 'shop'\n",
            "git  receive-pack 'shop'",
            "git -c core.pager=id receive-pack 'shop'",
            "git-receive-packs 'shop'",
            "$(id)",
            "`id`",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Refusal::NotGit), "{text:?}");
        }
        assert_eq!(parse(b"git-upload-archive 'shop'"), Err(Refusal::Archive));
        assert_eq!(parse(b"git-lfs-authenticate shop.git upload"), Err(Refusal::Lfs));
        assert_eq!(parse(b"git-lfs-transfer shop.git download"), Err(Refusal::Lfs));
        assert_eq!(parse(b"git-receive-pack '\xff'"), Err(Refusal::NotGit));
        assert_eq!(
            parse(format!("git-receive-pack '{}'", "a".repeat(2048)).as_bytes()),
            Err(Refusal::NotGit)
        );
    }

    #[test]
    fn refuses_what_cannot_be_a_project() {
        let uuid = ID.to_owned();
        for path in [
            "'--help'",
            "'-x'",
            "--help",
            "'../etc'",
            "'/../x'",
            "'a/../b'",
            "'~root'",
            "'%2e%2e'",
            "'a b'",
            "'shop' 'shop2'",
            "'shop' x",
            "'shop",
            "shop'",
            "\"shop\"",
            "''",
            "'/'",
            "'//shop'",
            "'shop//'",
            "'.git'",
            "'$(id)'",
            "'`id`'",
            "'a;b'",
            "'a'\\''b'",
            "'a'\\!'b'",
            "'Shop'",
            "'/etc/passwd'",
            "shop\\",
            "",
            &format!("'{}/../{uuid}'", uuid),
            &format!("'{{{uuid}}}'"),
            &format!("'urn:uuid:{uuid}'"),
            "'hooks/pre-receive'",
            "'shop.git.git'",
            "'shop:x'",
            "'0193e0c4-8f00-7000-8000-0123456789a'",
        ] {
            let text = format!("git-receive-pack {path}");
            assert_eq!(parse(text.as_bytes()), Err(Refusal::NoProject), "{text}");
        }
    }

    #[test]
    fn a_uuid_without_hyphens_is_at_most_a_name_nobody_has() {
        // 32 digits that begin with a letter are a slug, which the api looks up as a name.
        let simple = ID.replace('-', "");
        assert_eq!(parse(format!("git-receive-pack '{simple}'").as_bytes()), Err(Refusal::NoProject));
    }

    proptest! {
        #[test]
        fn whatever_parses_names_a_uuid_or_a_slug(exec in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(command) = parse(&exec) {
                prop_assert!(is_name(&command.project));
            }
        }

        #[test]
        fn whatever_follows_a_verb_names_a_uuid_or_a_slug(argument in "[a-z0-9'\\\\!./~$ -]{0,60}") {
            if let Ok(command) = parse(format!("git-receive-pack {argument}").as_bytes()) {
                prop_assert!(is_name(&command.project), "{:?}", command.project);
            }
        }

        #[test]
        fn every_slug_is_found_in_every_form(slug in "[a-z][a-z0-9-]{0,40}[a-z0-9]") {
            prop_assume!(slug.len() != 36);
            for form in [format!("'{slug}'"), format!("'/{slug}.git'"), format!("{slug}/")] {
                let command = parse(format!("git-upload-pack {form}").as_bytes());
                prop_assert_eq!(command, parsed(Service::UploadPack, &slug));
            }
        }
    }

    fn is_name(text: &str) -> bool {
        text.parse::<ProjectId>().is_ok() || text.parse::<Slug>().is_ok()
    }
}
