//! Help and completion.

use crate::host::{Host, Reply};

#[tokio::test]
async fn the_first_help_lists_the_exit_codes() {
    let host = Host::start(|_| Reply::Cut).await;
    let outcome = host.run(&["--help"]).await;
    let help = outcome.stdout;
    assert_eq!(outcome.code, Some(0), "{help}");
    assert!(help.contains("Example:\n  paastech") && host.seen().is_empty(), "{help}");
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
