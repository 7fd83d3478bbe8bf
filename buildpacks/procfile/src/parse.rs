//! The lines of a Procfile: `<process type>: <command>`.

use libcnb::data::launch::ProcessType;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) process: ProcessType,
    pub(crate) command: &'a str,
}

/// All lines in order; empty ones and those that begin with `#` say nothing. An error names the line.
pub(crate) fn entries(text: &str) -> Result<Vec<Entry<'_>>, String> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let entry = entry(line).map_err(|why| format!("Procfile line {number}: {why}"))?;
        if entries.iter().any(|earlier| earlier.process == entry.process) {
            return Err(format!("Procfile line {number}: {} is declared twice.", entry.process));
        }
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err("The Procfile declares no process. Write a line such as `web: ./server`.".to_owned());
    }
    Ok(entries)
}

fn entry(line: &str) -> Result<Entry<'_>, String> {
    let (name, command) = line
        .split_once(':')
        .ok_or("a line is a process type, a colon and a command, such as `web: ./server`.")?;
    let name = name.trim();
    // libcnb also allows dots; no other reader of Procfiles does.
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let process =
        name.parse().ok().filter(|_| name.chars().all(plain)).ok_or_else(|| {
            format!("`{name}` is no process type: letters, digits, `-` and `_` are allowed.")
        })?;
    let command = command.trim();
    if command.is_empty() {
        return Err(format!("{name} has no command."));
    }
    if command.contains('\0') {
        return Err(format!("the command of {name} contains a NUL character."));
    }
    Ok(Entry { process, command })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, &str)>, String> {
        let entries = entries(text)?;
        Ok(entries.iter().map(|entry| (entry.process.to_string(), entry.command)).collect())
    }

    #[test]
    fn lines_become_processes_in_order() {
        let text = "# comment\r\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\r\n\r\n worker_2:   ./work\n";
        let expected =
            [("web".to_owned(), "gunicorn app:app --bind 0.0.0.0:$PORT"), ("worker_2".to_owned(), "./work")];
        assert_eq!(pairs(text).unwrap(), expected);
    }

    #[test]
    fn malformed_lines_are_named_by_number() {
        for (text, expected) in [
            ("web ./server", "Procfile line 1: a line is a process type"),
            ("\nweb: a\nweb: b", "Procfile line 3: web is declared twice"),
            ("we b: a", "Procfile line 1: `we b` is no process type"),
            ("web.1: a", "Procfile line 1: `web.1` is no process type"),
            (": a", "Procfile line 1: `` is no process type"),
            ("\n\nweb:  ", "Procfile line 3: web has no command"),
            ("web: a\0b", "Procfile line 1: the command of web contains a NUL"),
            ("# nothing\n", "The Procfile declares no process"),
        ] {
            let error = pairs(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }
}
