//! Times as the API gives them, and how long ago that was.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// Milliseconds since 1970, or a text (RFC 3339) that is shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum When {
    Millis(i64),
    Text(String),
}

impl When {
    /// How long ago, for a table.
    pub(crate) fn ago(&self) -> String {
        match self {
            Self::Millis(at) => ago(now() - at),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn ago(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_largest_unit_that_fits() {
        assert_eq!(ago(59_999), "59 s ago");
        assert_eq!(ago(60_000), "1 min ago");
        assert_eq!(ago(7_200_000), "2 h ago");
        assert_eq!(ago(3 * 86_400_000), "3 d ago");
        assert_eq!(ago(-5), "0 s ago");
    }
}
