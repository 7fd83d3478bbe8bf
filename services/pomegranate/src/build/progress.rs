//! Turns BuildKit's progress into lines of the log, and remembers the step that failed.

use std::collections::{HashMap, HashSet};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};

use crate::{
    build::log::{LINE_LIMIT, Log},
    lines::{Framer, clean_line},
};

const INDENT: &str = "       ";
const STEP_LIMIT: usize = 200;
const ERROR_LIMIT: usize = 800;

/// What has been told so far.
#[derive(Default)]
pub(crate) struct Progress {
    told: HashSet<String>,
    framers: HashMap<String, Framer>,
    failed: Option<(String, String)>,
}

impl Progress {
    /// Tells what is new in this piece of progress.
    pub(crate) fn take(&mut self, status: StatusResponse, log: &Log) {
        for vertex in status.vertexes {
            self.step(&vertex, log);
            // A step that another one's failure cut off is not the one to name.
            if !vertex.error.is_empty() && !vertex.error.contains("context canceled") {
                self.failed.get_or_insert((vertex.name, vertex.error));
            }
        }
        for piece in status.logs {
            let framer =
                self.framers.entry(piece.vertex).or_insert_with(|| Framer::new(LINE_LIMIT - INDENT.len()));
            for line in framer.push(&piece.msg) {
                log.push(format!("{INDENT}{line}"));
            }
        }
    }

    /// Tells what is left, and why the build failed: in words, from the step that did and the engine's error.
    pub(crate) fn failure(mut self, error: &str, log: &Log) -> String {
        self.flush(log);
        match self.failed {
            Some((step, error)) => {
                let step = clean_line(&step, STEP_LIMIT);
                match exit_code(&error) {
                    Some(code) => format!("the step {step} exited with code {code}{}", meaning(code)),
                    None => format!("the step {step} failed: {}", clean_line(&error, ERROR_LIMIT)),
                }
            }
            None => format!("the Dockerfile cannot be built: {}", clean_line(error, ERROR_LIMIT)),
        }
    }

    /// Tells what is left of unfinished lines.
    pub(crate) fn flush(&mut self, log: &Log) {
        for framer in self.framers.values_mut() {
            if let Some(line) = framer.finish() {
                log.push(format!("{INDENT}{line}"));
            }
        }
    }

    /// One line when a step starts; its internal ones stay untold.
    fn step(&mut self, vertex: &Vertex, log: &Log) {
        let shown = vertex.name.starts_with('[') && !vertex.name.starts_with("[internal]")
            || vertex.name.starts_with("exporting to");
        if !shown || vertex.started.is_none() || !self.told.insert(vertex.digest.clone()) {
            return;
        }
        let cached = if vertex.cached { " (cached)" } else { "" };
        log.push(format!("-----> {}{cached}", clean_line(&vertex.name, STEP_LIMIT)));
    }
}

/// The number in `… exit code: 3`.
fn exit_code(error: &str) -> Option<i32> {
    let (_, after) = error.rsplit_once("exit code: ")?;
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    after[..digits].parse().ok()
}

fn meaning(code: i32) -> &'static str {
    match code {
        126 => " (the command cannot be executed)",
        127 => " (the command was not found)",
        137 => " (killed: most likely out of memory)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::VertexLog;
    use paastech_runtime::Clock;

    use super::*;

    fn vertex(name: &str, error: &str) -> Vertex {
        Vertex {
            digest: name.to_owned(),
            name: name.to_owned(),
            started: Some(Default::default()),
            error: error.to_owned(),
            ..Vertex::default()
        }
    }

    fn texts(log: &Log) -> Vec<String> {
        log.from(1).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_step_is_told_once_and_its_output_indented() {
        let log = Log::new(Clock::manual(0), 1 << 20);
        let mut progress = Progress::default();
        let status = StatusResponse {
            vertexes: vec![vertex("[internal] load", ""), vertex("[2/2] RUN x", "")],
            logs: vec![VertexLog {
                vertex: "[2/2] RUN x".to_owned(),
                msg: b"out\npart".to_vec(),
                ..VertexLog::default()
            }],
            ..StatusResponse::default()
        };
        progress.take(status.clone(), &log);
        progress.take(StatusResponse { logs: Vec::new(), ..status }, &log);
        progress.flush(&log);
        assert_eq!(texts(&log), ["-----> [2/2] RUN x", "       out", "       part"]);
    }

    #[test]
    fn a_failure_names_the_step_and_the_code() {
        let log = Log::new(Clock::manual(0), 1 << 20);
        let mut progress = Progress::default();
        let error = "executor failed running [/bin/sh -c exit 3]: exit code: 3";
        let status = StatusResponse {
            vertexes: vec![vertex("[1/3] COPY x", "context canceled"), vertex("[2/3] RUN exit 3", error)],
            ..StatusResponse::default()
        };
        progress.take(status, &log);
        assert_eq!(progress.failure("x", &log), "the step [2/3] RUN exit 3 exited with code 3");
        let message = Progress::default().failure("parse error: unknown instruction: FORM", &log);
        assert_eq!(message, "the Dockerfile cannot be built: parse error: unknown instruction: FORM");
    }
}
