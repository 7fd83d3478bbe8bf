//! Which names a tree entry may have: what is harmless on every file system that might unpack it.

/// Code points that HFS+ ignores when it compares names.
const IGNORED_BY_HFS: [char; 17] = [
    '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
    '\u{202e}', '\u{206a}', '\u{206b}', '\u{206c}', '\u{206d}', '\u{206e}', '\u{206f}', '\u{feff}',
    '\u{00ad}',
];

/// Why `name` may not be an entry of a tree, if it may not.
pub(super) fn objection(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() || name == b"." || name == b".." {
        return Some("is no file name");
    }
    if name.iter().any(|&byte| byte == b'/' || byte == b'\\') {
        return Some("holds a slash or backslash");
    }
    if name.iter().any(|&byte| byte < 0x20 || byte == 0x7f) {
        return Some("holds a control character");
    }
    if is_dot_git(name) {
        return Some("stands for .git on some file system");
    }
    None
}

fn is_dot_git(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let plain: String = text.chars().filter(|c| !IGNORED_BY_HFS.contains(c)).collect();
    // NTFS drops a stream's name and what blanks and dots end a name.
    let stem = plain.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
    stem.eq_ignore_ascii_case(".git") || stem.eq_ignore_ascii_case("git~1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_dot_git_is_refused() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git.",
            ".git ",
            ".git. .",
            ".git::$INDEX_ALLOCATION",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{206f}t",
        ] {
            assert!(objection(name.as_bytes()).is_some(), "{name:?}");
        }
    }

    #[test]
    fn ordinary_names_pass() {
        for name in [
            ".gitignore",
            ".github",
            ".gitmodules",
            "git",
            "a b",
            "ü",
            "...",
            "-x",
            "Dockerfile",
            "a:b",
            "x.git",
        ] {
            assert_eq!(objection(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(objection(b"latin1-\xe9"), None);
    }

    proptest! {
        #[test]
        fn what_passes_is_one_path_component(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            if objection(&name).is_none() {
                use std::os::unix::ffi::OsStrExt as _;
                let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&name));
                let parts: Vec<_> = path.components().collect();
                prop_assert!(matches!(parts[..], [std::path::Component::Normal(_)]), "{parts:?}");
            }
        }
    }
}
