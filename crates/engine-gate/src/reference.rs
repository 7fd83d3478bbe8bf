//! Image references as the lifecycle and the engine write them: one spelling for comparing.

/// The longest that is looked at.
const LONGEST: usize = 512;

/// `index.docker.io/library/debian` and `debian:latest` are one image; so are an id with its algorithm and without. `None`: no reference.
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
    let hub = text.strip_prefix("index.docker.io/").or_else(|| text.strip_prefix("docker.io/"));
    let name = hub.map_or(text, |rest| rest.strip_prefix("library/").unwrap_or(rest));
    let last = name.rsplit('/').next().unwrap_or(name);
    Some(if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") })
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
            ["debian", "debian:latest", "docker.io/library/debian", "index.docker.io/library/debian:latest"]
        {
            assert_eq!(normal(text).as_deref(), Some("debian:latest"), "{text}");
        }
        assert_eq!(normal("index.docker.io/pt-a/b:c").as_deref(), Some("pt-a/b:c"));
        assert_eq!(normal("localhost:5000/a/b").as_deref(), Some("localhost:5000/a/b:latest"));
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
