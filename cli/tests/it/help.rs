//! Help and completion.

use crate::host::{Host, Reply};

const COMMANDS: [&[&str]; 33] = [
    &["login"],
    &["logout"],
    &["signup"],
    &["whoami"],
    &["password"],
    &["invite"],
    &["keys"],
    &["keys", "add"],
    &["keys", "list"],
    &["keys", "remove"],
    &["create"],
    &["init"],
    &["projects"],
    &["config"],
    &["config", "set"],
    &["config", "unset"],
    &["config", "list"],
    &["deploy"],
    &["rollback"],
    &["releases"],
    &["logs"],
    &["status"],
    &["stats"],
    &["stop"],
    &["start"],
    &["open"],
    &["rename"],
    &["settings"],
    &["delete"],
    &["operations"],
    &["operation"],
    &["cancel"],
    &["completion"],
];

#[tokio::test]
async fn every_commands_help_has_an_example() {
    let host = Host::start(|_| Reply::Cut).await;
    for command in COMMANDS {
        let outcome = host.run(&[command, &["--help"]].concat()).await;
        assert_eq!(outcome.code, Some(0), "{command:?}");
        assert!(outcome.stdout.contains("Example:\n  paastech"), "{command:?}: {}", outcome.stdout);
    }
    assert!(host.seen().is_empty());
}

#[tokio::test]
async fn the_first_help_lists_the_exit_codes() {
    let host = Host::start(|_| Reply::Cut).await;
    let help = host.run(&["--help"]).await.stdout;
    for line in ["0    done", "2    wrong use", "3    not logged in", "4    not found", "5    the server"] {
        assert!(help.contains(line), "{line}: {help}");
    }
}

#[tokio::test]
async fn completion_is_a_script_of_the_shell() {
    let host = Host::start(|_| Reply::Cut).await;
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef paastech"), ("fish", "complete -c paastech")]
    {
        let outcome = host.run(&["completion", shell]).await;
        assert_eq!(outcome.code, Some(0));
        assert!(outcome.stdout.contains(sign), "{shell}");
    }
}
