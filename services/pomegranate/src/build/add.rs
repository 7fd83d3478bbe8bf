//! Finds the `ADD` of an address in a Dockerfile. BuildKit fetches it from the host's network, past every rule that keeps
//! a build's own steps from the host; a `RUN` step is bound by them.
//!
//! It reads more generously than BuildKit: any line may begin an instruction, both escapes continue one, and whatever
//! could come out as an address counts.

/// Steps after which a Dockerfile is refused unread: its lines go on and on.
const WORK: usize = 1 << 21;

/// The number of a line whose `ADD` may fetch something.
pub(crate) fn fetching_add(text: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut work = WORK;
    (0..lines.len())
        .find(|at| match arguments(&lines[*at..], &mut work) {
            Some(arguments) => work == 0 || may_fetch(&arguments),
            None => false,
        })
        .map(|at| at + 1)
}

/// What follows the `ADD` that begins with the first of these lines, if one does.
fn arguments(lines: &[&str], work: &mut usize) -> Option<String> {
    if is_skipped(lines[0]) {
        return None;
    }
    let mut text = String::new();
    for line in lines.iter().filter(|line| !is_skipped(line)) {
        let trimmed = line.trim_end();
        let continued = trimmed.strip_suffix(['\\', '`']);
        text.push_str(continued.unwrap_or(line));
        *work = work.saturating_sub(1 + text.len());
        let found = after_add(&text);
        if *work == 0 {
            return Some(text);
        }
        match found {
            Word::Other => return None,
            Word::Unfinished if continued.is_none() => return None,
            Word::Add(arguments) if continued.is_none() => return Some(arguments.to_owned()),
            Word::Unfinished | Word::Add(_) => {}
        }
    }
    match after_add(&text) {
        Word::Add(arguments) => Some(arguments.to_owned()),
        Word::Other | Word::Unfinished => None,
    }
}

/// Blank lines and comments, wherever they stand.
fn is_skipped(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

enum Word<'a> {
    /// `ADD`, with what follows it.
    Add(&'a str),
    /// Another instruction.
    Other,
    /// It may still become one.
    Unfinished,
}

fn after_add(text: &str) -> Word<'_> {
    let mut rest = text.trim_start();
    loop {
        let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
        match rest.split_once(char::is_whitespace) {
            Some((word, after)) if is(word, "ONBUILD") => rest = after.trim_start(),
            Some((word, after)) if is(word, "ADD") => return Word::Add(after),
            Some(_) => return Word::Other,
            None => {
                let begins = |name: &str| name.get(..rest.len()).is_some_and(|start| is(rest, start));
                return if begins("ADD") || begins("ONBUILD") { Word::Unfinished } else { Word::Other };
            }
        }
    }
}

/// Whether these arguments name an address, once quotes and escapes are gone, or could by a variable.
fn may_fetch(arguments: &str) -> bool {
    if arguments.to_ascii_lowercase().contains("\\u") {
        return true;
    }
    let plain: String = arguments.chars().filter(|c| !matches!(c, '"' | '\'' | '\\' | '`')).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let sources = match words.split_last() {
        // Where it goes may hold a variable.
        Some((_, sources)) if !plain.contains('[') => sources,
        _ => &words,
    };
    let remote = |word: &&str| word.split_once('@').is_some_and(|(_, host)| host.contains(':'));
    plain.contains("://") || words.iter().any(remote) || sources.iter().any(|word| word.contains('$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_fetch_is_found() {
        for text in [
            "FROM x\nADD http://169.254.169.254/ /x",
            "add https://x/y /z",
            "FROM x\n  Add --chown=1:1 --checksum=sha256:0 http://x /y",
            "ADD git@example.org:a/b.git /x",
            "ADD deploy@10.0.0.1:a /x",
            "ADD ssh://x/y /z",
            "ADD [\"http://x\", \"/y\"]",
            "ADD [\"http:\\u002f\\u002fx\", \"/y\"]",
            "ADD ht\"tp:/\"/x /y",
            "ADD http:\\/\\/x /y",
            "ARG U=http://x\nADD $U /x",
            "ADD [\"${U}\",\"/x\"]",
            "ONBUILD ADD http://x /y",
            "onbuild\tonbuild add http://x /y",
            "ADD \\\nhttp://x /y",
            "ADD a \\  \r\n# a comment\n\n  http:\\\n//x /y",
            "AD\\\nD http://x /y",
            "\\\nADD http://x /y",
            "# escape=`\nADD `\n http://x /y",
            "RUN <<'EOF\\'\nx\nEOF\\\nADD http://x /y",
            "RUN echo `\nADD http://x /y",
            "RUN echo \\\\\nADD http://x /y",
            "ADD http://x \\",
            "\u{a0}ADD\u{2003}http://x /y",
        ] {
            assert!(fetching_add(text).is_some(), "{text:?}");
        }
        assert_eq!(fetching_add("FROM x\n\nADD http://x /y\n"), Some(3));
    }

    #[test]
    fn what_is_in_the_source_may_be_added() {
        for text in [
            "FROM x\nADD app.tar.gz /srv\nCOPY . .",
            "ENV HOME=/srv\nADD . $HOME",
            "ADD --chown=app:app [\"a b\", \"/c\"]",
            "RUN curl http://x | tar x \\\n && echo add",
            "LABEL url=http://x\nENV ADD=http://x\n# ADD http://x /y",
            "ADD @scope/package.json /x",
            "ADDRESS http://x",
            "ADD",
            "",
        ] {
            assert_eq!(fetching_add(text), None, "{text:?}");
        }
    }

    #[test]
    fn lines_without_end_are_refused_unread() {
        for line in ["\\\n", "ONBUILD \\\n", "ADD a \\\n"] {
            assert!(fetching_add(&line.repeat((1 << 20) / line.len())).is_some(), "{line:?}");
        }
        for line in ["\n", "a\n", "RUN a \\\n", "A\\\n"] {
            assert_eq!(fetching_add(&line.repeat((1 << 20) / line.len())), None, "{line:?}");
        }
    }
}
