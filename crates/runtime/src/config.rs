//! Configuration in layers, later wins: defaults < file < environment `PAASTECH__SECTION__KEY` < flags. An empty variable
//! is as good as none.
//! Unknown keys are errors: every configuration struct carries `deny_unknown_fields`.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use config::{Config, Environment, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
};

use crate::secrets::read_private;

/// Why a configuration could not be had; names the file or key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named on the command line cannot be read.
    #[error("configuration file {path}: {source}")]
    File {
        /// The path as given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A key is unknown, or its value is of the wrong type.
    #[error("configuration: {0}")]
    Value(#[from] config::ConfigError),
    /// A key has no meaning in this program, or two contradict each other.
    #[error("configuration: {0}")]
    Meaningless(String),
    /// The merged configuration cannot be printed.
    #[error("configuration cannot be printed: {0}")]
    Print(#[from] toml::ser::Error),
}

/// Merges the layers into `T`. `flags` are pairs of a dotted key (`api.listen`) and its value.
///
/// # Errors
/// An unreadable file, an unknown key, or a value of the wrong type.
pub fn load<T: DeserializeOwned>(file: Option<&Path>, flags: &[(&str, String)]) -> Result<T, ConfigError> {
    load_over(&[], file, flags)
}

/// The same, over `defaults` that the program has worked out: pairs as `flags` are.
///
/// # Errors
/// As [`load`].
pub fn load_over<T: DeserializeOwned>(
    defaults: &[(&str, String)],
    file: Option<&Path>,
    flags: &[(&str, String)],
) -> Result<T, ConfigError> {
    let mut builder = Config::builder();
    for (key, value) in defaults {
        builder = builder.set_default(*key, value.clone())?;
    }
    if let Some(path) = file {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.display().to_string(), source })?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let environment =
        Environment::with_prefix("PAASTECH").prefix_separator("__").separator("__").ignore_empty(true);
    builder = builder.add_source(environment);
    for (key, value) in flags {
        builder = builder.set_override(*key, value.clone())?;
    }
    Ok(builder.build()?.try_deserialize()?)
}

/// The merged configuration as TOML, secrets redacted: what `--check-config` prints.
///
/// # Errors
/// A configuration that TOML cannot express.
pub fn print<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    Ok(toml::to_string_pretty(config)?)
}

/// What a secret's value begins with when the rest is the path of the file that holds it.
const IN_FILE: &str = "file:";

/// A value that neither `Debug` nor `Serialize` shows. `file:<path>` in a configuration is what that file holds, which
/// its owner alone may read.
#[derive(Clone, Default)]
pub struct Secret {
    text: SecretString,
    file: Option<PathBuf>,
}

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: SecretString::from(text.into()), file: None }
    }

    /// The file that holds it.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The value, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix(IN_FILE) {
            Some(path) => {
                let held = read_private(Path::new(path)).map_err(D::Error::custom)?;
                Ok(Self { file: Some(path.into()), ..Self::new(held.trim_end_matches('\n')) })
            }
            None => Ok(Self::new(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        listen: String,
        limit: u32,
        key: Secret,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self { listen: "127.0.0.1:1".to_owned(), limit: 3, key: Secret::new("k") }
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("c.toml");
        fs::write(&path, "listen = \"file\"\nlimit = 4\n").expect("a file");
        let sample: Sample = load(Some(&path), &[("limit", "5".to_owned())]).expect("loads");
        assert_eq!((sample.listen.as_str(), sample.limit), ("file", 5));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load::<Sample>(None, &[("lisen", "x".to_owned())]).expect_err("refused");
        assert!(error.to_string().contains("lisen"), "{error}");
    }

    #[test]
    fn a_secret_may_lie_in_a_file_that_nobody_else_reads() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("key");
        fs::write(&path, "hunter2\n").expect("a file");
        let load = || load::<Sample>(None, &[("key", format!("file:{}", path.display()))]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("private");
        assert_eq!(load().expect("loads").key.expose(), "hunter2");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("open");
        let error = load().expect_err("refused").to_string();
        assert!(error.contains("others may read it") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn printing_hides_secrets() {
        let text = print(&Sample { key: Secret::new("hunter2"), ..Sample::default() }).expect("prints");
        assert!(text.contains("[redacted]") && !text.contains("hunter2"), "{text}");
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
