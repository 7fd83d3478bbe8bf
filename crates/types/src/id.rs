//! Ids: one newtype over a UUID for each thing that has one. New ones are version 7, so they sort by creation.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not a UUID in its hyphenated form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID in its 36-character form")]
pub struct ParseIdError;

/// Accepts only the hyphenated 36-character form: no braces, no urn, no plain digits.
fn parse_hyphenated(text: &str) -> Result<Uuid, ParseIdError> {
    if text.len() != 36 {
        return Err(ParseIdError);
    }
    Uuid::try_parse(text).map_err(|_| ParseIdError)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, later than every one made before it by this process.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default id would be a surprise")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The bare UUID.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hyphenated(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    )*};
}

ids! {
    /// A user of the platform.
    AccountId;
    /// One log-in of an account.
    SessionId;
    /// An invitation to sign up.
    InvitationId;
    /// A public key of an account.
    KeyId;
    /// A project: a repository and what is deployed from it.
    ProjectId;
    /// A role: a named set of permissions.
    RoleId;
    /// An image and a configuration, immutable.
    ReleaseId;
    /// A row of the operation table.
    OperationId;
    /// A build in Pomegranate: the id of its operation.
    BuildId;
    /// One `git push`.
    PushId;
    /// A row of the image table.
    ImageRowId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_prints() {
        let id = ProjectId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn takes_the_hyphenated_form_only() {
        let id = Uuid::now_v7();
        for text in [
            id.simple().to_string(),
            id.braced().to_string(),
            id.urn().to_string(),
            String::new(),
            "../../../../../../etc/passwd-aaaaaaaaa".to_owned(),
        ] {
            assert_eq!(text.parse::<ProjectId>(), Err(ParseIdError), "{text}");
        }
    }
}
