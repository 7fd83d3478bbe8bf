//! `package.json`.

use std::{collections::BTreeMap, fs, path::Path};

use paastech_buildpack_steps::Failure;
use serde::Deserialize;

/// The parts of `package.json` that a build needs.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Package {
    #[serde(default)]
    scripts: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    engines: BTreeMap<String, serde_json::Value>,
    #[serde(default, rename = "packageManager")]
    package_manager: Option<String>,
}

impl Package {
    /// Reads the app's.
    pub(crate) fn read(app: &Path) -> Result<Self, Failure> {
        let path = app.join("package.json");
        let text = fs::read(&path).map_err(Failure::io("read", &path))?;
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        serde_json::from_slice(text)
            .map_err(|error| Failure::Refused(format!("package.json cannot be read: {error}.")))
    }

    /// The text of a script.
    pub(crate) fn script(&self, name: &str) -> Option<&str> {
        self.scripts.get(name)?.as_str()
    }

    /// The versions of Node that it accepts.
    pub(crate) fn node(&self) -> Option<&str> {
        self.engines.get("node")?.as_str()
    }

    /// The name and version of `packageManager`, without the hash behind it.
    pub(crate) fn manager(&self) -> Option<(&str, &str)> {
        let (name, version) = self.package_manager.as_deref()?.split_once('@')?;
        Some((name, version.split('+').next()?))
    }
}
