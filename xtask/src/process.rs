//! Other programs: always an argument vector, never a shell.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    process::{ExitStatus, Output, Stdio},
};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::{interrupt, paths};

/// A command that dies with us.
#[expect(clippy::disallowed_methods, reason = "the one place of the build tool that starts programs")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A command from its words.
pub(crate) fn argv<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut words = words.into_iter();
    let mut command = command(words.next().expect("an argument vector names its program"));
    command.args(words);
    command
}

/// Runs it, its output where ours goes.
pub(crate) async fn status(command: &mut Command) -> Result<ExitStatus> {
    interrupt::check()?;
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    let _registered = child.id().map(interrupt::Registered::new);
    let status = child.wait().await?;
    interrupt::check()?;
    Ok(status)
}

/// Runs it and collects what it says.
pub(crate) async fn output(command: &mut Command) -> Result<Output> {
    interrupt::check()?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().with_context(|| cannot_start(command))?;
    let _registered = child.id().map(interrupt::Registered::new);
    let output = child.wait_with_output().await?;
    interrupt::check()?;
    Ok(output)
}

/// Runs it and returns what it printed; a failure carries its last words.
pub(crate) async fn stdout(command: &mut Command) -> Result<String> {
    let output = output(command).await?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", name(command), output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it and returns what it printed, while its errors go where ours go.
pub(crate) async fn stdout_only(command: &mut Command) -> Result<String> {
    interrupt::check()?;
    let child = command.stdout(Stdio::piped()).spawn().with_context(|| cannot_start(command))?;
    let _registered = child.id().map(interrupt::Registered::new);
    let output = child.wait_with_output().await?;
    interrupt::check()?;
    if !output.status.success() {
        bail!("{} failed ({})", name(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it with all it says appended to the file `log`; a failure ends with the log's last lines and its path.
pub(crate) async fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let mut file = File::options().create(true).append(true).read(true).open(log)?;
    let start = file.seek(SeekFrom::End(0))?;
    command.stdout(file.try_clone()?).stderr(file.try_clone()?);
    let status = status(command).await?;
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut text)?;
    bail!("{} failed ({status}):\n{}\nall of it: {}", name(command), tail(&text, 15), log.display())
}

/// Whether a program is to be found.
pub(crate) fn exists(program: &str) -> bool {
    let path = paths::env("PATH").unwrap_or_default();
    let known = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(known).any(|dir| dir.join(program).is_file())
}

/// The last lines of a log, set off.
pub(crate) fn tail(text: &[u8], lines: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn name(command: &Command) -> String {
    command.as_std().get_program().to_string_lossy().into_owned()
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", name(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_last_lines() {
        assert_eq!(tail(b"a\nb\nc\n", 2), "  | b\n  | c");
    }

    #[tokio::test]
    async fn a_failed_command_says_its_last_words_and_where_the_rest_is() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let error = logged(&mut argv(["ls", "/no/such/file"]), &log).await.unwrap_err().to_string();
        assert!(error.contains("/no/such/file") && error.contains(log.to_str().unwrap()), "{error}");
    }
}
