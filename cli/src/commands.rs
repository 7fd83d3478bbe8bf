//! The commands, one file for each thing they are about.

pub(crate) mod account;
pub(crate) mod accounts;
pub(crate) mod builder;
pub(crate) mod builds;
pub(crate) mod completion;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod deploy;
pub(crate) mod invite;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod open;
pub(crate) mod operations;
pub(crate) mod projects;
pub(crate) mod releases;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod variables;

use crate::{
    args::{Cli, Command},
    context::Context,
    error::Result,
    output::Output,
};

/// Does what the command line says.
pub(crate) async fn run(cli: Cli, output: Output) -> Result<()> {
    let open = || Context::open(&cli.global, output);
    match &cli.command {
        Command::Completion(command) => command.run(output),
        Command::Version(command) => command.run(&cli.global, output).await,
        Command::Login(command) => command.run(&cli.global, output).await,
        Command::Signup(command) => command.run(&cli.global, output).await,
        Command::Logout(command) => command.run(&open()?).await,
        Command::Whoami(command) => command.run(&open()?).await,
        Command::Password(command) => command.run(&open()?).await,
        Command::Invite(command) => command.run(&open()?).await,
        Command::Accounts(command) => command.run(&open()?).await,
        Command::Keys(command) => command.run(&open()?).await,
        Command::Create(command) => command.run(&open()?).await,
        Command::Projects(command) => command.run(&open()?).await,
        Command::Config(command) => command.run(&open()?).await,
        Command::Deploy(command) => command.run(&open()?).await,
        Command::Rollback(command) => command.run(&open()?).await,
        Command::Builds(command) => command.run(&open()?).await,
        Command::Builder(command) => command.run(&open()?).await,
        Command::Releases(command) => command.run(&open()?).await,
        Command::Logs(command) => command.run(&open()?).await,
        Command::Status(command) => command.run(&open()?).await,
        Command::Stats(command) => command.run(&open()?).await,
        Command::Stop(command) => command.run(&open()?).await,
        Command::Start(command) => command.run(&open()?).await,
        Command::Open(command) => command.run(&open()?).await,
        Command::Rename(command) => command.run(&open()?).await,
        Command::Settings(command) => command.run(&open()?).await,
        Command::Delete(command) => command.run(&open()?).await,
        Command::Operations(command) => command.run(&open()?).await,
        Command::Operation(command) => command.run(&open()?).await,
        Command::Cancel(command) => command.run(&open()?).await,
    }
}
