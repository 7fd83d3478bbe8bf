//! What is printed: tables and sentences for people, the API's own JSON with `--json`; notes go to stderr.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// The answer of a command: the body on one line, or what a person reads.
    pub(crate) fn answer(self, body: &Value, human: impl FnOnce() -> String) -> Result<()> {
        let text = if self.json { body.to_string() } else { human() };
        self.line(&text)
    }

    /// One line (or several) on stdout.
    pub(crate) fn line(self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        let shown = if self.json || !out.is_terminal() { text.to_owned() } else { printable(text) };
        if shown.is_empty() {
            return Ok(());
        }
        writeln!(out, "{}", shown.trim_end_matches('\n')).and_then(|()| out.flush()).map_err(|error| {
            match error.kind() {
                io::ErrorKind::BrokenPipe => Error::OutputClosed,
                _ => Error::io("print")(error),
            }
        })
    }

    /// Something beside the answer, for people only.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            // Nobody can be told that stderr is gone.
            let _ = writeln!(io::stderr(), "{}", printable(text));
        }
    }

    /// Says why a command failed.
    pub(crate) fn report(self, error: &Error) -> ExitCode {
        let mut err = io::stderr();
        let _ = if self.json {
            writeln!(err, "{}", as_problem(error))
        } else if matches!(error, Error::OutputClosed) {
            Ok(())
        } else {
            let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            writeln!(err, "{}", printable(&format!("error: {error}{hint}")))
        };
        ExitCode::from(error.exit_code())
    }
}

/// Columns without lines; nothing at all when there are no rows but the text that says so.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, none: &str) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    let trimmed: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    trimmed.join("\n")
}

/// `name: value` lines, one for each value that is there.
pub(crate) fn facts(facts: &[(&str, Option<String>)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 1;
    let lines: Vec<String> = facts
        .iter()
        .filter_map(|(name, value)| Some(format!("{:width$} {}", format!("{name}:"), value.as_ref()?)))
        .collect();
    lines.join("\n")
}

/// Bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64 / 1024.0;
    if count < 1024 {
        return format!("{count} B");
    }
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

fn as_problem(error: &Error) -> Value {
    let mut shown = match error {
        Error::Problem(problem) | Error::Refused(problem) => json!(problem),
        _ => json!({ "detail": error.to_string(), "exit_code": error.exit_code() }),
    };
    if let Some(hint) = error.hint() {
        shown["hint"] = json!(hint);
    }
    shown
}

/// Takes out what could take over a terminal; colours stay.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            shown.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        if !character.is_control() || matches!(character, '\n' | '\t') {
            shown.push(character);
        }
        rest = &rest[character.len_utf8()..];
    }
    shown
}

/// The length of a colour sequence at the start: `ESC [ digits and ; m`.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_other_escapes_go() {
        assert_eq!(printable("\u{1b}[1;31mred\u{1b}[0m\tx\n"), "\u{1b}[1;31mred\u{1b}[0m\tx\n");
        assert_eq!(printable("a\u{1b}]0;title\u{7}b\u{1b}[2Jc\rd"), "a]0;titleb[2Jcd");
        assert_eq!(printable("é\u{9b}2J"), "é2J");
    }

    #[test]
    fn facts_line_up_and_skip_what_is_absent() {
        let text =
            facts(&[("url", Some("x".to_owned())), ("release", None), ("state", Some("y".to_owned()))]);
        assert_eq!(text, "url:     x\nstate:   y");
    }

    #[test]
    fn a_table_without_rows_says_so() {
        assert_eq!(table(["A"], vec![], "no keys"), "no keys");
        assert_eq!(table(["A", "B"], vec![["x".to_owned(), "y".to_owned()]], ""), "A  B\nx  y");
    }

    #[test]
    fn bytes_take_the_largest_unit() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }
}
