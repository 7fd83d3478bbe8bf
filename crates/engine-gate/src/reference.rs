//! Image references as the lifecycle and the engine write them: one spelling for comparing.

/// The longest that is looked at.
const LONGEST: usize = 512;

/// A spelling under which `registry.example/library/debian` and `debian:latest` are one image, and so are an id with its
/// algorithm and without. The registry's name is dropped: what is forwarded is never the asker's spelling but that
/// of the image that is allowed. `None`: no reference.
pub(crate) fn normal(text: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"./:@_-".contains(&byte);
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(fits) {
        return None;
    }
    if text.split('/').any(|part| part.is_empty() || part.bytes().all(|byte| byte == b'.')) {
        return None;
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() == 64 && digits.bytes().all(is_lower_hex) {
        return Some(format!("sha256:{digits}"));
    }
    let path = match text.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) => path.strip_prefix("library/").unwrap_or(path),
        _ => text,
    };
    let last = path.rsplit('/').next().unwrap_or(path);
    Some(if last.contains([':', '@']) { path.to_owned() } else { format!("{path}:latest") })
}

/// One digit of a digest.
pub(crate) fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_has_one_spelling() {
        for text in
            ["debian", "debian:latest", "registry.example/library/debian", "registry.example/debian:latest"]
        {
            assert_eq!(normal(text).as_deref(), Some("debian:latest"), "{text}");
        }
        assert_eq!(normal("registry.example/pt-a/b:c").as_deref(), Some("pt-a/b:c"));
        assert_eq!(normal("localhost:5000/a/b").as_deref(), Some("a/b:latest"));
        let id = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(normal(&id), Some(id.clone()));
        assert_eq!(normal(&"0f".repeat(32)), Some(id));
    }

    #[test]
    fn what_leads_elsewhere_is_no_reference() {
        for text in ["", "a/../b", "/a", "a/", "a//b", "a b", "a%2fb", "a?x", "a\n", "..", &"a".repeat(513)] {
            assert_eq!(normal(text), None, "{text}");
        }
    }
}
