//! The git repository of the current directory, and the remote that names its project.

use std::path::Path;

use crate::error::{Error, Result};

/// The top folder of the repository, if we are in one.
pub(crate) fn find_repository() -> Result<Option<String>> {
    git(&["rev-parse", "--show-toplevel"])
}

/// The URL of a remote.
pub(crate) fn find_url(remote: &str) -> Result<Option<String>> {
    git(&["config", "--get", &format!("remote.{remote}.url")])
}

/// Adds a remote.
pub(crate) fn add(remote: &str, url: &str) -> Result<()> {
    match git(&["remote", "add", "--", remote, url])? {
        Some(_) => Ok(()),
        None => Err(Error::Failed(format!("git would not add a remote named '{remote}'"))),
    }
}

/// The project that the repository's remote names.
pub(crate) fn find_project(remote: &str) -> Result<Option<String>> {
    Ok(find_url(remote)?.as_deref().and_then(parse_project).map(str::to_owned))
}

/// The last part of a URL such as `ssh://git@host:2222/shop.git` or `git@host:shop`: a slug or a UUID.
fn parse_project(url: &str) -> Option<&str> {
    let url = url.trim_end_matches('/');
    let last = url.rsplit(['/', ':']).next()?;
    let name = last.strip_suffix(".git").unwrap_or(last);
    let known = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (known && (1..=63).contains(&name.len())).then_some(name)
}

/// A name that a project may have, made from a folder's.
pub(crate) fn suggest_name(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?.to_lowercase();
    let parts: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let name: String = parts.join("-").chars().take(63).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

/// What git answers; none when it says no.
#[expect(clippy::disallowed_methods, reason = "git is the one program that knows the repository's settings")]
fn git(arguments: &[&str]) -> Result<Option<String>> {
    let output = match std::process::Command::new("git").args(arguments).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("run git")(error)),
    };
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_names_its_project() {
        for (url, project) in [
            ("ssh://git@paas.example:2222/shop.git", Some("shop")),
            ("ssh://git@paas.example/shop/", Some("shop")),
            ("git@paas.example:shop.git", Some("shop")),
            (
                "git@paas.example:01890a5d-ac96-774b-bcce-b302099a8057",
                Some("01890a5d-ac96-774b-bcce-b302099a8057"),
            ),
            ("ssh://git@paas.example/../Etc", None),
            ("", None),
        ] {
            assert_eq!(parse_project(url), project, "{url}");
        }
    }

    #[test]
    fn a_folder_suggests_a_name() {
        for (folder, name) in [
            ("/home/a/My Shop", Some("my-shop")),
            ("/home/a/2024_shop_", Some("shop")),
            ("/home/a/--", None),
            ("/", None),
        ] {
            assert_eq!(suggest_name(Path::new(folder)).as_deref(), name, "{folder}");
        }
    }
}
