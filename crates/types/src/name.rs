//! Names that people type, checked once at the edge: what parses is safe wherever it goes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a name was refused, as a sentence for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub &'static str);

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident by $check:path;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A project's name in addresses: `[a-z0-9-]`, 1 to 63 characters, a letter first, no hyphen last.
    Slug by check_slug;
    /// A branch, as git would take it, in ASCII without the characters that need quoting anywhere.
    Branch by check_branch;
    /// The name of an environment variable that an app may have.
    VariableName by check_variable;
    /// What an account, key or role is called: 1 to 100 characters, none of them a control character.
    DisplayName by check_display;
    /// An e-mail address, checked for shape only: one `@`, 3 to 254 characters, no blanks.
    EmailAddress by check_email;
}

fn ensure(holds: bool, why: &'static str) -> Result<(), InvalidName> {
    if holds { Ok(()) } else { Err(InvalidName(why)) }
}

fn check_slug(text: &str) -> Result<(), InvalidName> {
    ensure((1..=63).contains(&text.len()), "must have 1 to 63 characters")?;
    ensure(
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
        "may hold only lower-case letters, digits and hyphens",
    )?;
    ensure(text.as_bytes()[0].is_ascii_lowercase(), "must begin with a letter")?;
    ensure(!text.ends_with('-'), "must not end with a hyphen")
}

fn check_branch(text: &str) -> Result<(), InvalidName> {
    ensure((1..=200).contains(&text.len()), "must have 1 to 200 characters")?;
    ensure(
        text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-+@".contains(&b)),
        "may hold only letters, digits and . _ / - + @",
    )?;
    ensure(text.as_bytes()[0].is_ascii_alphanumeric(), "must begin with a letter or digit")?;
    ensure(
        text.split('/').all(|part| {
            !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock")
        }),
        "is not a branch name that git takes",
    )?;
    ensure(
        !text.contains("..") && !text.contains("@{") && text != "HEAD",
        "is not a branch name that git takes",
    )
}

fn check_variable(text: &str) -> Result<(), InvalidName> {
    ensure((1..=200).contains(&text.len()), "must have 1 to 200 characters")?;
    ensure(
        text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !text.as_bytes()[0].is_ascii_digit(),
        "may hold only letters, digits and _, and must not begin with a digit",
    )?;
    let reserved = ["PATH", "HOME", "PORT"].contains(&text)
        || ["LD_", "CNB_", "PAASTECH_"].iter().any(|prefix| text.starts_with(prefix));
    ensure(!reserved, "is reserved by the platform (PATH, HOME, PORT, LD_*, CNB_*, PAASTECH_*)")
}

fn check_display(text: &str) -> Result<(), InvalidName> {
    ensure((1..=100).contains(&text.chars().count()), "must have 1 to 100 characters")?;
    ensure(!text.chars().any(char::is_control), "must not hold control characters")?;
    ensure(text.trim() == text, "must not begin or end with a blank")
}

fn check_email(text: &str) -> Result<(), InvalidName> {
    let shape = "is not an e-mail address";
    ensure((3..=254).contains(&text.len()), "must have 3 to 254 characters")?;
    ensure(!text.chars().any(|c| c.is_control() || c.is_whitespace()), shape)?;
    let (local, domain) = text.split_once('@').ok_or(InvalidName(shape))?;
    ensure(!local.is_empty() && !domain.is_empty() && !domain.contains('@'), shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What somebody tries in every text field.
    const HOSTILE: [&str; 10] =
        ["", "-x", "--help", "../etc", "a b", "a;b", "$(id)", "a\nb", "a`id`b", "a\0b"];

    #[test]
    fn hostile_texts_are_no_names() {
        for text in HOSTILE {
            assert!(text.parse::<Slug>().is_err(), "slug {text:?}");
            assert!(text.parse::<Branch>().is_err(), "branch {text:?}");
            assert!(text.parse::<VariableName>().is_err(), "variable {text:?}");
            assert!(text.parse::<EmailAddress>().is_err(), "e-mail {text:?}");
        }
    }

    #[test]
    fn ordinary_names_pass() {
        for text in ["shop", "a", "my-app-2"] {
            assert_eq!(text.parse::<Slug>().expect(text).as_str(), text);
        }
        for text in ["main", "release/1.2", "feature/a_b+c"] {
            assert_eq!(text.parse::<Branch>().expect(text).as_str(), text);
        }
        for text in ["DATABASE_URL", "_x", "a1"] {
            assert_eq!(text.parse::<VariableName>().expect(text).as_str(), text);
        }
        assert!("ada@example.org".parse::<EmailAddress>().is_ok());
        assert!("Ada Lovelace".parse::<DisplayName>().is_ok());
    }

    #[test]
    fn what_git_or_the_platform_reserves_is_refused() {
        for text in ["HEAD", "a..b", "a.lock", ".a", "a/", "a//b", "a@{1}"] {
            assert!(text.parse::<Branch>().is_err(), "{text}");
        }
        for text in ["PATH", "LD_PRELOAD", "CNB_X", "PORT", "1A"] {
            assert!(text.parse::<VariableName>().is_err(), "{text}");
        }
        for text in ["1a", "a-", "A", "ä"] {
            assert!(text.parse::<Slug>().is_err(), "{text}");
        }
    }
}
