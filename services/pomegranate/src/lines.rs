//! Makes lines of whatever bytes a program prints: framed, capped, and without control characters but colours.

/// Appended to a line that was cut.
const CUT: &str = " […]";
/// Ends a line that set a colour, so that it does not leak into the next.
const RESET: &str = "\x1b[0m";

/// Splits a stream of bytes into clean lines; a carriage return ends a line too, so that progress bars become lines.
pub(crate) struct Framer {
    limit: usize,
    raw: Vec<u8>,
    overflow: bool,
    after_return: bool,
}

impl Framer {
    /// Lines of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, raw: Vec::new(), overflow: false, after_return: false }
    }

    /// The lines that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if after_return => {}
                b'\n' => lines.push(self.take()),
                b'\r' => {
                    if !self.raw.is_empty() {
                        lines.push(self.take());
                        self.after_return = true;
                    }
                }
                // Escapes take room that the clean line does not need: hence the factor.
                _ if self.raw.len() < self.limit * 4 => self.raw.push(byte),
                _ => self.overflow = true,
            }
        }
        lines
    }

    /// What is left at the end of the stream.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.raw.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let overflow = std::mem::take(&mut self.overflow);
        let raw = std::mem::take(&mut self.raw);
        clean(&String::from_utf8_lossy(&raw), self.limit, overflow)
    }
}

/// One text as one clean line of at most `limit` bytes.
pub(crate) fn clean_line(text: &str, limit: usize) -> String {
    clean(&text.replace(['\n', '\r'], " "), limit, false)
}

fn clean(text: &str, limit: usize, mut cut: bool) -> String {
    let room = limit.saturating_sub(CUT.len() + RESET.len());
    let mut out = String::new();
    let mut coloured = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\x1b' => escape(rest),
            '\t' => ("\t", 1),
            c if c.is_control() => ("", c.len_utf8()),
            c => (&rest[..c.len_utf8()], c.len_utf8()),
        };
        if out.len() + token.len() > room {
            cut = true;
            break;
        }
        if token.len() > 1 && token.starts_with('\x1b') {
            coloured = token != RESET && token != "\x1b[m";
        }
        out.push_str(token);
        rest = &rest[length..];
    }
    if coloured {
        out.push_str(RESET);
    }
    if cut {
        out.push_str(CUT);
    }
    out
}

/// What an escape sequence at the start of `text` leaves, and how long it is. Only colours (SGR) are left.
fn escape(text: &str) -> (&str, usize) {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        Some(b'[') => {
            let body = bytes[2..].iter().take_while(|byte| (0x20..=0x3f).contains(*byte)).count();
            let end = 2 + body;
            match bytes.get(end) {
                Some(b'm') if text[2..end].bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':') => {
                    (&text[..=end], end + 1)
                }
                Some(final_byte) if (0x40..=0x7e).contains(final_byte) => ("", end + 1),
                _ => ("", end),
            }
        }
        // A string for the terminal (title, link, clipboard, …): up to BEL or ESC \, else to the end of the line.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let bell = text.find('\x07').map(|at| at + 1);
            let terminator = text[1..].find("\x1b\\").map(|at| at + 3);
            let end = [bell, terminator].into_iter().flatten().min().unwrap_or(text.len());
            ("", end)
        }
        _ => {
            let end = 1 + bytes[1..].iter().take_while(|byte| (0x20..=0x2f).contains(*byte)).count();
            let has_final = bytes.get(end).is_some_and(|byte| (0x30..=0x7e).contains(byte));
            ("", end + usize::from(has_final))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut framer = Framer::new(1024);
        let mut lines = framer.push(bytes);
        lines.extend(framer.finish());
        lines
    }

    #[test]
    fn ends_lines_at_newlines_and_carriage_returns() {
        assert_eq!(lines(b"a\nb\r\nc\rd\n\ne"), ["a", "b", "c", "d", "", "e"]);
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        let mut framer = Framer::new(1024);
        assert!(framer.push("gr\u{fc}".as_bytes()[..3].as_ref()).is_empty());
        assert_eq!(framer.push(b"\xbc\n"), ["gr\u{fc}"]);
    }

    #[test]
    fn keeps_colours_and_nothing_else_that_a_terminal_obeys() {
        assert_eq!(lines(b"\x1b[31mred\x1b[0m"), ["\x1b[31mred\x1b[0m"]);
        assert_eq!(lines(b"\x1b[31mred"), ["\x1b[31mred\x1b[0m"]);
        assert_eq!(lines(b"a\x1b[2Jb\x1b[1;1Hc\x1b[?25ld"), ["abcd"]);
        assert_eq!(lines(b"a\x1b]0;title\x07b\x1b]52;c;eA==\x1b\\c"), ["abc"]);
        assert_eq!(lines(b"a\x08\x00\x7f\x07b\tc"), ["ab\tc"]);
        assert_eq!(lines("a\u{9b}31mb".as_bytes()), ["a31mb"]);
        assert_eq!(lines("a\x1bcb\x1b(Bc\x1b(ü\x1bü\x1b".as_bytes()), ["abcüü"]);
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let mut framer = Framer::new(1024);
        for _ in 0..2000 {
            assert!(framer.push(&[b'x'; 10_000]).is_empty());
        }
        assert!(framer.raw.len() <= 4096);
        let line = framer.push(b"\n").remove(0);
        assert!(line.len() <= 1024 && line.ends_with("[…]"), "{}", line.len());
    }

    #[test]
    fn cutting_splits_neither_characters_nor_colours() {
        for limit in 20..40 {
            let line = clean(&"ü\x1b[32m".repeat(40), limit, false);
            assert!(line.len() <= limit, "{limit}");
            assert!(line.ends_with("\x1b[0m […]"), "{line:?}");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(lines(b"a\xffb"), ["a\u{fffd}b"]);
    }
}
