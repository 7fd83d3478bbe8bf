//! Git object ids in SHA-1 form.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::InvalidName;

/// 40 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

impl Oid {
    /// The id that stands for "absent" in a ref update.
    #[must_use]
    pub fn zero() -> Self {
        Self("0".repeat(40))
    }

    /// Whether this stands for "absent".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }

    /// The 40 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 7 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl FromStr for Oid {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Oid {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == 40 && hex {
            Ok(Self(text))
        } else {
            Err(InvalidName("must be 40 lower-case hex digits"))
        }
    }
}

impl From<Oid> for String {
    fn from(oid: Oid) -> String {
        oid.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forty_lower_case_hex_digits_are_an_oid() {
        assert!("a".repeat(40).parse::<Oid>().is_ok());
        for text in ["A".repeat(40), "g".repeat(40), "a".repeat(39), "--upload-pack=x".to_owned()] {
            assert!(text.parse::<Oid>().is_err(), "{text}");
        }
        assert!(Oid::zero().is_zero());
    }
}
