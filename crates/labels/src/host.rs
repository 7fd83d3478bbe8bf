//! Host names that may stand in a routing rule.

use std::{fmt, str::FromStr};

use paastech_types::InvalidName;

/// A lower-case name of letters, digits and hyphens in labels of at most 63: nothing that a rule would have to quote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let label = |part: &str| {
            (1..=63).contains(&part.len())
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName("is not a lower-case host name"))
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_lower_case_names_are_hosts() {
        for text in ["a", "a.user-app.localhost", "0-1.x"] {
            assert!(text.parse::<HostName>().is_ok(), "{text}");
        }
        let long = "a".repeat(64);
        for text in ["", "A.b", "a.", "*.a", "-a", "a-", "a b", "x`) || Host(`y", "a,b", "ä", &long] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
