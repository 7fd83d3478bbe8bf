//! Other programs: always an argument vector, never a shell; their output goes under the step that runs them.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use libcnb::Env;

use crate::Failure;

/// One call of a tool.
pub struct Tool {
    name: String,
    advice: String,
    command: Command,
}

impl Tool {
    /// A call of `program`, found on the `PATH` of `env`, with nothing of our environment but `env`.
    #[expect(clippy::disallowed_methods, reason = "the one place of the buildpacks that starts programs")]
    pub fn new(name: &str, program: impl AsRef<OsStr>, env: &Env) -> Self {
        let mut command = Command::new(program);
        command.env_clear().envs(env).stdin(Stdio::null());
        Self { name: name.to_owned(), advice: "Its output above says why.".to_owned(), command }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Sets a variable for this call alone.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable away from this call.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it there.
    #[must_use]
    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What to do when it fails.
    #[must_use]
    pub fn advice(mut self, advice: &str) -> Self {
        advice.clone_into(&mut self.advice);
        self
    }

    /// Runs it, both its outputs printed as they come, indented by two.
    pub fn run(mut self) -> Result<(), Failure> {
        let streamed = self.stream();
        let status = streamed.map_err(|source| self.broken(source))?;
        self.judge(status)
    }

    /// Runs it and returns what it printed; its errors are printed indented.
    pub fn output(mut self) -> Result<String, Failure> {
        let captured = self.capture();
        let (status, text) = captured.map_err(|source| self.broken(source))?;
        self.judge(status)?;
        Ok(text)
    }

    fn stream(&mut self) -> io::Result<ExitStatus> {
        let (reader, writer) = io::pipe()?;
        let mut child = self.command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
        // The writing ends in the command would keep the pipe open for ever.
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        indent(reader)?;
        child.wait()
    }

    fn capture(&mut self) -> io::Result<(ExitStatus, String)> {
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = child.wait_with_output()?;
        indent(output.stderr.as_slice())?;
        Ok((output.status, String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    fn judge(self, status: ExitStatus) -> Result<(), Failure> {
        if status.success() {
            return Ok(());
        }
        Err(Failure::Tool { tool: self.name, ending: status.to_string(), advice: self.advice })
    }

    fn broken(&self, source: io::Error) -> Failure {
        let program = self.command.get_program().to_string_lossy();
        Failure::Io { action: format!("run {} ({program})", self.name), source }
    }
}

/// Lines need not be UTF-8, and a line without an end is passed on in pieces.
fn indent(output: impl Read) -> io::Result<()> {
    const LONGEST_PIECE: u64 = 64 * 1024;
    let mut output = BufReader::new(output);
    let mut piece = Vec::new();
    let mut line_begins = true;
    while Read::take(&mut output, LONGEST_PIECE).read_until(b'\n', &mut piece)? > 0 {
        let mut ours = io::stdout().lock();
        if line_begins {
            ours.write_all(b"  ")?;
        }
        ours.write_all(&piece)?;
        ours.flush()?;
        line_begins = piece.ends_with(b"\n");
        piece.clear();
    }
    if !line_begins {
        println!();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(program: &str) -> Tool {
        Tool::new("the tool", program, &Env::from_current())
    }

    #[test]
    fn a_failing_tool_is_named_with_its_ending_and_what_to_do() {
        let failure = tool("false").advice("Look above.").run().unwrap_err();
        assert_eq!(failure.to_string(), "the tool failed (exit status: 1). Look above.");
    }

    #[test]
    fn a_missing_tool_is_named() {
        let failure = tool("no-such-program").run().unwrap_err().to_string();
        assert!(failure.starts_with("cannot run the tool (no-such-program)"), "{failure}");
    }

    #[test]
    fn a_tool_gets_the_given_environment_and_nothing_else() {
        let mut env = Env::new();
        env.insert("PATH", "/usr/bin:/bin").insert("GIVEN", "yes");
        let text = Tool::new("env", "env", &env).env("MORE", "too").without_env("PATH").output().unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["GIVEN=yes", "MORE=too"]);
    }
}
