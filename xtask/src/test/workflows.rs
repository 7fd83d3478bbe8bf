//! Lints of what runs in continuous integration.

use anyhow::Result;

use crate::{
    go, paths, process,
    test::{python, tally::Tally},
};

const ZIZMOR: &str = "zizmor==1.32.0";
const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint";

/// actionlint for what is malformed, zizmor for what is unsafe.
pub(crate) async fn run(tally: &mut Tally) -> Result<()> {
    let module = go::Module {
        name: "actionlint",
        source: "xtask/actionlint",
        packages: &[ACTIONLINT.to_owned()],
        flags: "-s -w",
    };
    let mut actionlint = process::argv([module.ensure().await?.join("actionlint")]);
    // The same everywhere, whatever other linters a machine has.
    actionlint.current_dir(paths::workspace()).args(["-shellcheck=", "-pyflakes="]);
    tally.command("actionlint finds nothing in the workflows", &mut actionlint).await?;
    let mut zizmor = process::argv([python::tool(ZIZMOR, "zizmor").await?]);
    zizmor.current_dir(paths::workspace()).args(["--offline", "--no-progress", ".github"]);
    tally.command("zizmor finds nothing in the workflows", &mut zizmor).await
}
