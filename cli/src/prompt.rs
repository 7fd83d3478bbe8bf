//! What is asked of the person at the terminal, or read from stdin where there is none.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use crate::error::{Error, Result};

/// A longer value on stdin is a mistake.
const LONGEST: u64 = 1 << 20;

/// Whether a question can be answered.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// A line typed in answer to a question.
pub(crate) fn ask(question: &str, flag: &str) -> Result<String> {
    if !can_ask() {
        return Err(Error::usage_hint(format!("{} is needed", question.to_lowercase()), flag));
    }
    let asked = write!(io::stderr(), "{question}: ").and_then(|()| io::stderr().flush());
    asked.map_err(Error::io("ask on the terminal"))?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Error::io("read the answer"))?;
    let line = line.trim();
    if line.is_empty() {
        return Err(Error::usage(format!("{} is needed", question.to_lowercase())));
    }
    Ok(line.to_owned())
}

/// A line that is not shown while it is typed.
pub(crate) fn ask_hidden(question: &str, flag: &str) -> Result<String> {
    if !can_ask() {
        return Err(Error::usage_hint(format!("{} is needed", question.to_lowercase()), flag));
    }
    rpassword::prompt_password(format!("{question}: ")).map_err(Error::io("ask on the terminal"))
}

/// A password: from stdin, or typed.
pub(crate) fn password(question: &str, from_stdin: bool) -> Result<String> {
    let password = if from_stdin {
        read_stdin()?
    } else {
        ask_hidden(question, "--password-stdin reads it from stdin")?
    };
    if password.is_empty() {
        return Err(Error::usage("the password is empty"));
    }
    Ok(password)
}

/// A new password, typed twice where it is typed.
pub(crate) fn new_password(question: &str, from_stdin: bool) -> Result<String> {
    let first = password(question, from_stdin)?;
    if !from_stdin && password("Again", false)? != first {
        return Err(Error::usage("the two passwords differ"));
    }
    Ok(first)
}

/// All of stdin, without the newline that ends it.
pub(crate) fn read_stdin() -> Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text);
    let read = read.map_err(Error::io("read stdin"))?;
    if read as u64 > LONGEST {
        return Err(Error::usage("stdin holds more than 1 MiB"));
    }
    Ok(without_newline(text))
}

/// A value without the one newline that editors and `echo` put at its end.
pub(crate) fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_newline_is_taken_off() {
        for (text, kept) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", "")] {
            assert_eq!(without_newline(text.to_owned()), kept);
        }
    }
}
