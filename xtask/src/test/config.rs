//! The configuration files that we deliver are ones that their programs take.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    paths, process,
    test::{suite::Suite, tally::Tally},
};

/// The programs that read the files of the separate services.
const SERVICES: [&str; 6] = [
    "paastech-api",
    "paastech-git-controller",
    "paastech-ssh-git-server",
    "pomegranate",
    "paastech-edge",
    "paastech-engine-gate",
];

/// Has every program check the files that are for it: `<shape>.<tier>.toml`.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let binaries = suite.programs().await?.binaries.clone();
    for file in toml_files(&paths::workspace().join("deploy").join("config"))? {
        let embedded = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"embedded."));
        let programs: &[&str] = if embedded { &["paastechd"] } else { &SERVICES };
        for program in programs {
            let mut check = process::argv([binaries.join(program)]);
            check.arg("--check-config").arg("--config").arg(&file);
            if *program == "paastech-edge" {
                check.args(["--label-key", "not-read"]);
            }
            let output = process::output(&mut check).await?;
            let file = file.strip_prefix(paths::workspace()).unwrap_or(&file).display();
            let name = format!("{program} takes {file}");
            if output.status.success() {
                tally.pass(&name);
            } else {
                tally.fail(&name, String::from_utf8_lossy(&output.stderr).trim());
            }
        }
    }
    Ok(())
}

fn toml_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut found: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    found.sort();
    Ok(found)
}
