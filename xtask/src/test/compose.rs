//! The end-to-end scenarios against installations under docker-compose, with our proxy and with Traefik.

use std::{env, path::Path};

use anyhow::Result;
use rustix::process::geteuid;

use crate::{
    go,
    install::images,
    paths, process,
    test::{acme, crates::E2E, previous, suite::Suite, tally::Tally},
};

/// What Compose v2 reads its files by.
const COMPOSE_GO: &str = "github.com/compose-spec/compose-go/v2/cmd";
/// Names a Traefik program.
const TRAEFIK_BIN: &str = "TRAEFIK_BIN";
/// The images that the installations under test are of.
const TAG: &str = "test";
/// Those of the commit before this one.
const PREVIOUS_TAG: &str = "test-previous";

/// Runs them, and removes the images.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    if !geteuid().is_root() {
        println!("skipped: installing needs root");
        tally.ignored += 1;
        return Ok(());
    }
    let module = go::Module {
        name: "compose-go",
        source: "xtask/compose-go",
        packages: &[COMPOSE_GO.to_owned()],
        flags: "-s -w",
    };
    let mut reader = process::argv([module.ensure().await?.join("cmd")]);
    reader.args(["--no-interpolation", "--no-path-resolution"]);
    reader.arg(paths::workspace().join("deploy/compose/docker-compose.yml"));
    tally.command("Compose v2 takes the compose file", &mut reader).await?;
    let engine = suite.engine().await?;
    let images_before = images::ids(&engine).await?;
    let binaries = suite.programs().await?.binaries.clone();
    if let Some(traefik) = env::var_os(TRAEFIK_BIN) {
        acme::run(Path::new(&traefik), suite.temporary(), tally).await?;
    }
    let previous = previous::ensure().await?;
    if previous.is_none() {
        println!("there is no commit before this one: upgrades are from this one");
    }
    let outcome = scenarios(suite, tally, &binaries, previous.as_deref().unwrap_or(&binaries)).await;
    for tag in [TAG, PREVIOUS_TAG] {
        images::remove(&engine, tag).await?;
    }
    let left = images::ids(&engine).await?.difference(&images_before).cloned().collect::<Vec<_>>();
    tally.check("no image of a service under test is left", &left);
    outcome
}

async fn scenarios(suite: &mut Suite, tally: &mut Tally, binaries: &Path, previous: &Path) -> Result<()> {
    let programs = suite.programs().await?.select(|test| test.is_in(E2E));
    for test in programs.iter().filter(|test| matches!(test.target.as_str(), "compose" | "traefik")) {
        if test.target == "traefik" && env::var_os(TRAEFIK_BIN).is_none() {
            println!("skipped: {TRAEFIK_BIN}");
            tally.ignored += 1;
            continue;
        }
        let mut command = suite.command(test);
        command.env("PAASTECH_BIN_DIR", binaries).env("PAASTECH_TEST_TAG", TAG);
        command.env("PAASTECH_PREVIOUS_BIN_DIR", previous);
        command.env("PAASTECH_TEST_PREVIOUS_TAG", PREVIOUS_TAG);
        tally.tests(&test.name(), &mut command).await?;
    }
    Ok(())
}
