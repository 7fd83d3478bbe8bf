//! `completion`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{args::Cli, error::Result, output::Output};

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  paastech completion bash > ~/.local/share/bash-completion/completions/paastech"
)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(&self, output: Output) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "paastech", &mut script);
        output.line(&String::from_utf8_lossy(&script))
    }
}
