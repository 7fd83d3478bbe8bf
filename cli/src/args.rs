//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    account, accounts, builder, builds, completion, create, delete, deploy, invite, keys, logs, open,
    operations, projects, releases, run, session, settings, status, variables,
};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    what was asked for failed (a deployment, say)
  2    wrong use
  3    not logged in, or not allowed
  4    not found
  5    the server is not reachable, or busy: try again
  130  Ctrl-C; what was started goes on

Example:
  paastech login https://api.example.org
  paastech keys add
  paastech create shop
  git push paastech main
  paastech open";

/// Push code, get a URL.
#[derive(Debug, Parser)]
#[command(name = "paastech", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The API's address [env: PAASTECH_API] [default: the one of the last log-in]
    #[arg(long, value_name = "URL", global = true, conflicts_with = "socket")]
    pub(crate) api: Option<String>,
    /// The daemon's socket on this host: no log-in needed [env: PAASTECH_SOCKET]
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) socket: Option<PathBuf>,
    /// The project, by name or id [env: PAASTECH_PROJECT] [default: the git remote's]
    #[arg(short, long, value_name = "NAME", global = true, value_parser = reference)]
    pub(crate) project: Option<String>,
    /// The git remote that names the project
    #[arg(long, value_name = "NAME", global = true, default_value = "paastech", value_parser = remote_name)]
    pub(crate) remote: String,
    /// Print the API's JSON: one object, or one a line for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Login(session::Login),
    Logout(session::Logout),
    Signup(session::Signup),
    Whoami(account::Whoami),
    Password(account::Password),
    Invite(invite::Invite),
    Accounts(accounts::Accounts),
    Keys(keys::Keys),
    #[command(visible_alias = "init")]
    Create(create::Create),
    Projects(projects::Projects),
    Config(variables::Config),
    Deploy(deploy::Deploy),
    Rollback(deploy::Rollback),
    Builds(builds::Builds),
    Builder(builder::BuilderCommand),
    Releases(releases::Releases),
    Logs(logs::Logs),
    Status(status::Status),
    Stats(status::Stats),
    Stop(run::Stop),
    Start(run::Start),
    Open(open::Open),
    Rename(settings::Rename),
    Settings(settings::Settings),
    Delete(delete::Delete),
    Operations(operations::Operations),
    Operation(operations::Show),
    Cancel(operations::Cancel),
    Completion(completion::Completion),
    Version(account::Version),
}

/// A name or id that becomes part of a request's path: nothing in it may mean something there.
pub(crate) fn reference(text: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(known) {
        Ok(text.to_owned())
    } else {
        Err("is a name of letters, digits and hyphens, or an id".to_owned())
    }
}

fn remote_name(text: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && text.bytes().all(known) {
        Ok(text.to_owned())
    } else {
        Err("is no name for a git remote".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_and_says_what_it_does() {
        fn check(command: &clap::Command, path: &str, seen: &mut usize) {
            let path = format!("{path} {}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example:\n  paastech"), "{path} has no example");
            assert!(command.get_about().is_some(), "{path} does not say what it does");
            *seen += 1;
            command.get_subcommands().for_each(|sub| check(sub, &path, seen));
        }
        let mut seen = 0;
        check(&Cli::command(), "", &mut seen);
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn a_reference_cannot_leave_its_place_in_a_path() {
        for text in ["..", "a/b", "a?b", "", "a b", "%2e", &"x".repeat(65)] {
            assert!(reference(text).is_err(), "{text}");
        }
        assert!(reference("01890a5d-ac96-774b-bcce-b302099a8057").is_ok());
    }
}
