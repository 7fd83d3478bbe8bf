//! `post-receive`: the refs have moved; shows the deployment.

use std::process::ExitCode;

use super::{client, protocol::Stage};

/// The hook. git ignores its exit code; the server has the last word on the push's.
pub(crate) fn run() -> ExitCode {
    client::run(|updates| {
        let stream = client::connect(Stage::PostReceive, updates)?;
        client::obey(&stream, |_, _| Ok(()))
    })
}
