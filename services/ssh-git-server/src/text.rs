//! Lines for a pusher's terminal: colours stay, whatever else could move a cursor or forge a line goes.

/// The longest line shown, in characters.
const MAX_LINE: usize = 1024;

/// Splits a text into lines that are safe to show.
pub(crate) fn lines(text: &str) -> Vec<String> {
    // A carriage return is how progress bars overwrite themselves: of their states the last one stays.
    text.split('\n')
        .map(|line| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default())
        .map(clean)
        .collect()
}

/// One line without control characters other than tabs and colours, and not longer than a screen takes.
fn clean(line: &str) -> String {
    let mut out = String::with_capacity(line.len().min(MAX_LINE));
    let mut shown = 0;
    let mut coloured = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if c == '\u{1b}' {
            let (colour, after) = escape(rest);
            if let Some(colour) = colour {
                out.push_str(colour);
                coloured = true;
            }
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c.is_control() && c != '\t' {
            continue;
        }
        if shown == MAX_LINE {
            out.push('…');
            break;
        }
        out.push(c);
        shown += 1;
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// Takes one escape sequence off the front: the sequence if it is a colour, and what follows it.
fn escape(text: &str) -> (Option<&str>, &str) {
    let Some(body) = text[1..].strip_prefix('[') else {
        // Other escapes are one character long, or strings whose text is harmless without the escape.
        let next = text[1..].chars().next().map_or(0, char::len_utf8);
        return (None, &text[1 + next..]);
    };
    let end = body.find(|c: char| ('\u{40}'..='\u{7e}').contains(&c));
    let Some(end) = end.filter(|&end| end <= 32) else { return (None, body) };
    let (sequence, after) = text.split_at(2 + end + 1);
    let parameters = &body[..end];
    let colour =
        sequence.ends_with('m') && parameters.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':');
    (colour.then_some(sequence), after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_stay_and_cursor_tricks_go() {
        assert_eq!(lines("\u{1b}[31mred\u{1b}[0m"), ["\u{1b}[31mred\u{1b}[0m\u{1b}[0m"]);
        assert_eq!(lines("a\u{1b}[2Kb\u{1b}[1;1Hc\u{1b}]0;title\u{7}d"), ["abc0;titled"]);
        assert_eq!(lines("bell\u{7} back\u{8}space\ttab"), ["bell backspace\ttab"]);
    }

    #[test]
    fn progress_becomes_its_last_state() {
        assert_eq!(lines("10%\r50%\r100%\r\nnext"), ["100%", "next"]);
    }

    #[test]
    fn a_long_line_is_cut() {
        let line = &lines(&"ü".repeat(20_000_000 / 1000))[0];
        assert_eq!(line.chars().count(), MAX_LINE + 1);
    }

    proptest! {
        #[test]
        fn nothing_but_tabs_and_colours_is_left(text in any::<String>(), csi in "(\u{1b}\\[[0-9;?]{0,4}[A-Za-z])?") {
            for line in lines(&format!("{text}{csi}{text}")) {
                let mut rest = line.as_str();
                while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
                    let csi = rest[at..].starts_with("\u{1b}[");
                    prop_assert!(csi);
                    let end = rest[at..].find('m').expect("a colour ends with m");
                    prop_assert!(rest[at + 2..at + end].bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':'));
                    rest = &rest[at + end + 1..];
                }
            }
        }
    }
}
