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

/// Has every program check its files: one on its own is paastechd's, one in a folder bears its program's name.
pub(crate) async fn run(suite: &mut Suite, tally: &mut Tally) -> Result<()> {
    let binaries = suite.programs().await?.binaries.clone();
    let root = paths::workspace().join("deploy").join("config");
    for file in toml_files(&root)? {
        let alone = file.parent() == Some(root.as_path());
        let program =
            if alone { "paastechd".into() } else { file.file_stem().unwrap_or_default().to_owned() };
        let mut check = process::argv([binaries.join(&program)]);
        check.arg("--check-config").arg("--config").arg(&file);
        if program == "paastech-edge" {
            check.args(["--label-key", "not-read"]);
        }
        let output = process::output(&mut check).await?;
        let name = format!("{} is taken", file.strip_prefix(paths::workspace()).unwrap_or(&file).display());
        if output.status.success() {
            tally.pass(&name);
        } else {
            tally.fail(&name, String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    Ok(())
}

fn toml_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(toml_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
