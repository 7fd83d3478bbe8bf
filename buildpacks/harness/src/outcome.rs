//! What a phase printed, how it ended, and the processes that it declared.

use std::{fs, path::Path, process::Command};

use toml::{Table, Value};

/// The end of one phase.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: Option<i32>,
    /// Both its outputs, the errors last.
    pub output: String,
    launch: Table,
}

impl Outcome {
    pub(crate) fn of(command: &mut Command, layers: &Path) -> Self {
        let done = command.output().expect("the buildpack starts");
        let output = [done.stdout, done.stderr].concat();
        let launch = fs::read_to_string(layers.join("launch.toml")).unwrap_or_default();
        Self {
            code: done.status.code(),
            output: String::from_utf8_lossy(&output).into_owned(),
            launch: launch.parse().expect("launch.toml is TOML"),
        }
    }

    /// Whether `detect` passed. Anything but yes and no is a crash.
    #[track_caller]
    pub fn detected(&self) -> bool {
        match self.code {
            Some(0) => true,
            Some(100) => false,
            _ => panic!("detect crashed ({:?}): {}", self.code, self.output),
        }
    }

    /// A build that must have gone well.
    #[track_caller]
    pub fn built(self) -> Self {
        assert_eq!(self.code, Some(0), "the build failed: {}", self.output);
        self
    }

    /// A build that must have failed: the last line it printed.
    #[track_caller]
    pub fn refused(&self) -> &str {
        assert_eq!(self.code, Some(1), "the build should fail: {}", self.output);
        self.output.lines().last().unwrap_or_default()
    }

    /// Whether a line of the output contains the text.
    pub fn says(&self, text: &str) -> bool {
        self.output.contains(text)
    }

    /// The argument vectors by process type, in order of declaration.
    pub fn processes(&self) -> Vec<(String, Vec<String>)> {
        let Some(Value::Array(processes)) = self.launch.get("processes") else { return Vec::new() };
        processes
            .iter()
            .map(|process| {
                let name = process["type"].as_str().expect("a process has a type").to_owned();
                let words = ["command", "args"].into_iter().filter_map(|key| process.get(key));
                let words = words.filter_map(Value::as_array).flatten();
                (name, words.map(|word| word.as_str().expect("a word").to_owned()).collect())
            })
            .collect()
    }

    /// One process's argument vector.
    #[track_caller]
    pub fn process(&self, name: &str) -> Vec<String> {
        let found = self.processes().into_iter().find(|(process, _)| process == name);
        found.unwrap_or_else(|| panic!("no process {name}: {}", self.output)).1
    }

    /// The process that starts when none is named.
    pub fn default_process(&self) -> Option<String> {
        let processes = self.launch.get("processes")?.as_array()?;
        let default =
            processes.iter().find(|process| process.get("default").and_then(Value::as_bool) == Some(true));
        default.and_then(|process| process["type"].as_str()).map(str::to_owned)
    }
}
