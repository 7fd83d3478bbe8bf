//! The hook's end of the conversation.

use std::{
    env,
    io::{self, BufWriter, Read as _, Write as _},
    os::unix::net::UnixStream,
    process::ExitCode,
};

use super::{
    SOCKET, TOKEN,
    protocol::{Stage, ToHook, ToServer, Update},
};

/// The most refs that one push may move.
const MAX_UPDATES: usize = 1000;
/// The most options (`git push -o`) of one push.
const MAX_OPTIONS: usize = 64;
/// The longest option, in bytes.
const MAX_OPTION: usize = 1024;
/// The most of standard input that is read: the most refs with the longest names.
const MAX_INPUT: u64 = 512 * 1024;

/// Why a hook ends the push by itself; the text is for the pusher.
pub(super) struct Stop(pub(super) String);

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self("the platform's SSH server has gone away; push again".to_owned())
    }
}

/// Runs a hook to its end: whether it accepts.
pub(super) fn run(hook: impl FnOnce(Vec<Update>) -> Result<bool, Stop>) -> ExitCode {
    match updates(io::stdin().lock()).and_then(hook) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop(why)) => {
            drop(print(&format!("error: {why}")));
            ExitCode::FAILURE
        }
    }
}

/// A connection on which the hello has been said.
pub(super) fn connect(stage: Stage, updates: Vec<Update>) -> Result<UnixStream, Stop> {
    let (Some(socket), Some(token)) = (env::var_os(SOCKET), env::var_os(TOKEN)) else {
        return Err(Stop("this hook runs only in a push through the platform's SSH server".to_owned()));
    };
    let stream = UnixStream::connect(socket)?;
    let token = token.into_string().unwrap_or_default();
    let hello = ToServer::Hello { token, stage, updates, options: options()? };
    hello.write(&stream)?;
    Ok(stream)
}

/// Prints the server's lines until it says whether the hook accepts; what else it asks is for `answer`.
pub(super) fn obey(
    stream: &UnixStream,
    mut answer: impl FnMut(ToHook, &mut BufWriter<&UnixStream>) -> Result<(), Stop>,
) -> Result<bool, Stop> {
    let mut writer = BufWriter::new(stream);
    loop {
        match ToHook::read(stream)? {
            ToHook::Line(line) => print(&line)?,
            ToHook::Done { accepted } => return Ok(accepted),
            other => answer(other, &mut writer)?,
        }
    }
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The `old new name` lines that git writes to a hook.
fn updates(input: impl io::Read) -> Result<Vec<Update>, Stop> {
    let mut read = Vec::new();
    input.take(MAX_INPUT + 1).read_to_end(&mut read)?;
    let too_many = || Stop(format!("a push may move at most {MAX_UPDATES} refs"));
    // Cut short, the last name would be another's, and what follows it unseen.
    if read.len() as u64 > MAX_INPUT {
        return Err(too_many());
    }
    let text = String::from_utf8(read).map_err(|_| Stop("the names of refs must be UTF-8".to_owned()))?;
    parse(&text).ok_or_else(too_many)
}

fn parse(text: &str) -> Option<Vec<Update>> {
    let updates: Option<Vec<_>> = text
        .lines()
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let (old, new) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            Some(Update { name: parts.next()?.to_owned(), old, new })
        })
        .collect();
    updates.filter(|updates| updates.len() <= MAX_UPDATES)
}

fn options() -> Result<Vec<String>, Stop> {
    let count = env::var_os("GIT_PUSH_OPTION_COUNT").and_then(|text| text.to_str()?.parse::<usize>().ok());
    let count = count.unwrap_or(0);
    if count > MAX_OPTIONS {
        return Err(Stop(format!("a push may have at most {MAX_OPTIONS} options")));
    }
    (0..count)
        .map(|n| env::var_os(format!("GIT_PUSH_OPTION_{n}")).unwrap_or_default().into_string().ok())
        .map(|option| option.filter(|text| text.len() <= MAX_OPTION))
        .collect::<Option<_>>()
        .ok_or_else(|| Stop(format!("a push option must be UTF-8 and at most {MAX_OPTION} bytes long")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_writes() {
        let zero = "0".repeat(40);
        let one = "1".repeat(40);
        let updates =
            parse(&format!("{zero} {one} refs/heads/a b\n{one} {zero} refs/tags/x\n")).expect("parses");
        assert_eq!(updates[0].name, "refs/heads/a b");
        assert!(updates[0].old.is_zero() && updates[1].new.is_zero());
    }

    #[test]
    fn a_flood_or_a_fragment_is_refused() {
        let line = format!("{0} {0} refs/heads/x\n", "1".repeat(40));
        assert!(parse(&line.repeat(MAX_UPDATES)).is_some());
        assert!(parse(&line.repeat(MAX_UPDATES + 1)).is_none());
        assert!(parse("11111 2222").is_none());
        let long = format!("{0} {0} refs/heads/{1}\n", "1".repeat(40), "x".repeat(600)).repeat(900);
        assert!(parse(&long).is_some());
        assert!(updates(long.as_bytes()).is_err(), "what is not read cannot be checked");
        assert!(updates(&long.as_bytes()[..693 * 10]).is_ok());
    }
}
