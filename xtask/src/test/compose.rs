//! An installation under docker-compose, from nothing to an app that answers, and nothing left.

use std::fs;

use anyhow::{Context, Result};
use rustix::process::geteuid;

use crate::{
    account, base_image, builder, engine,
    install::ThrowAway,
    layout::Layout,
    ports::Ports,
    sample,
    test::{suite::Suite, tally::Tally},
};

/// Dials each of these and says which answered.
const DIALLER: &str = "
import socket, sys
for target in sys.argv[1:]:
    host, port = target.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), 3).close()
        print(target)
    except OSError:
        pass
";
const ALL: [&str; 5] =
    ["postgres:5432", "git-controller:7001", "pomegranate:7002", "api:7003", "registry:5000"];

/// Who reaches whom. That a certificate is no other's is tried elsewhere.
const REACHES: [(&str, &[&str]); 6] = [
    ("api", &["postgres:5432", "git-controller:7001", "pomegranate:7002", "api:7003"]),
    ("ssh-git-server", &["git-controller:7001", "pomegranate:7002", "api:7003"]),
    ("git-controller", &["git-controller:7001", "pomegranate:7002", "api:7003"]),
    ("pomegranate", &["git-controller:7001", "pomegranate:7002", "api:7003", "registry:5000"]),
    ("postgres", &["postgres:5432", "api:7003"]),
    ("registry", &["pomegranate:7002", "registry:5000"]),
];

/// Brings it up, pushes a sample, and takes it down.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    const WHAT: &str = "an installation under docker-compose serves a pushed app";
    if !geteuid().is_root() {
        println!("skipped: {WHAT}: it needs root");
        tally.ignored += 1;
        return Ok(());
    }
    let engine = engine::ensure().await?;
    base_image::ensure(&engine).await?;
    builder::ensure(&engine).await?;
    let dir = tempfile::Builder::new().prefix("compose-").tempdir_in(suite.temporary())?;
    let ports = Ports::free()?;
    let installation = ThrowAway::start(engine, dir.path().join("installation"), &ports).await?;
    let outcome = used(&installation, dir.path(), &ports, tally).await;
    installation.stop().await?;
    match outcome {
        Ok(()) => tally.pass(WHAT),
        Err(error) => tally.fail(WHAT, &format!("{error:#}")),
    }
    Ok(())
}

async fn used(
    installation: &ThrowAway,
    dir: &std::path::Path,
    ports: &Ports,
    tally: &mut Tally,
) -> Result<()> {
    for (service, expected) in REACHES {
        let words = [&["python3", "-c", DIALLER][..], &ALL].concat();
        let reached = installation.exec(service, &words).await?;
        let reached: Vec<&str> = reached.lines().collect();
        let what = format!("{service} reaches those on its networks alone");
        if reached == expected {
            tally.pass(&what);
        } else {
            tally.fail(&what, &format!("it reaches {reached:?}"));
        }
    }
    let layout = Layout::within(dir, dir.to_owned());
    fs::create_dir_all(&layout.data)?;
    fs::create_dir_all(&layout.state)?;
    let token = installation.exec("api", &["cat", "/var/lib/paastech/api/setup-token"]).await;
    fs::write(layout.data.join("setup-token"), token.context("there is no setup token")?)?;
    let account = account::ensure(&layout, ports.api()).await?;
    sample::deploy(&layout, &account, ports).await?;
    Ok(())
}
