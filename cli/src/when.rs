//! Times as the API gives them (milliseconds since 1970), and how long ago that was.

use std::time::{SystemTime, UNIX_EPOCH};

/// The present.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How long ago that was, for a table.
pub(crate) fn ago(at: i64) -> String {
    span(now() - at)
}

fn span(millis: i64) -> String {
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
        assert_eq!(span(59_999), "59 s ago");
        assert_eq!(span(60_000), "1 min ago");
        assert_eq!(span(7_200_000), "2 h ago");
        assert_eq!(span(3 * 86_400_000), "3 d ago");
        assert_eq!(span(-5), "0 s ago");
    }
}
