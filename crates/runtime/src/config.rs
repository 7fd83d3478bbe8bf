//! Configuration in layers, later wins: defaults < file < environment `PAASTECH__SECTION__KEY` < flags. An empty variable
//! is as good as none.
//! Unknown keys are errors: every configuration struct carries `deny_unknown_fields`.

use std::{
    collections::BTreeMap,
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

/// The services' own parts of a configuration. A file may hold them all: each program reads what is its own.
const SECTIONS: [&str; 6] = ["api", "edge", "engine_gate", "git_controller", "pomegranate", "ssh"];

/// Merges the layers into `T`: of two files the later one wins; a folder stands for its `*.toml`. `flags` are pairs of a dotted key (`api.listen`) and its
/// value.
///
/// # Errors
/// An unreadable file, an unknown key, or a value of the wrong type.
pub fn load<T: DeserializeOwned>(files: &[PathBuf], flags: &[(&str, String)]) -> Result<T, ConfigError> {
    load_over(&[], files, flags)
}

/// The same, over `defaults` that the program has worked out: pairs as `flags` are.
///
/// # Errors
/// As [`load`].
pub fn load_over<T: DeserializeOwned>(
    defaults: &[(&str, String)],
    files: &[PathBuf],
    flags: &[(&str, String)],
) -> Result<T, ConfigError> {
    Ok(merge(defaults, files, flags)?.try_deserialize()?)
}

/// One service's section of what [`load`] merges, for the service as a process of its own.
///
/// # Errors
/// As [`load`]; a key outside the sections.
pub fn load_section<T: DeserializeOwned>(
    section: &str,
    files: &[PathBuf],
    flags: &[(&str, String)],
) -> Result<T, ConfigError> {
    let merged = merge(&[], files, flags)?;
    let sections: toml::Table = merged.clone().try_deserialize()?;
    if let Some(key) = sections.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
        let known = SECTIONS.join(", ");
        return Err(ConfigError::Meaningless(format!("{key}: there is no such section, but {known}")));
    }
    let own = if sections.contains_key(section) {
        merged.get(section)
    } else {
        Config::default().try_deserialize()
    };
    Ok(own?)
}

fn merge(
    defaults: &[(&str, String)],
    files: &[PathBuf],
    flags: &[(&str, String)],
) -> Result<Config, ConfigError> {
    let mut builder = Config::builder();
    for (key, value) in defaults {
        builder = builder.set_default(*key, value.clone())?;
    }
    for path in &each(files)? {
        let text = fs::read_to_string(path).map_err(|source| named(path, source))?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let environment =
        Environment::with_prefix("PAASTECH").prefix_separator("__").separator("__").ignore_empty(true);
    builder = builder.add_source(environment);
    for (key, value) in flags {
        builder = builder.set_override(*key, value.clone())?;
    }
    Ok(builder.build()?)
}

/// Of a folder its `*.toml`, in the order of their names.
fn each(files: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut all = Vec::new();
    for path in files {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|source| named(path, source))?;
        let mut found: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        found.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        found.sort();
        all.append(&mut found);
    }
    Ok(all)
}

fn named(path: &Path, source: io::Error) -> ConfigError {
    ConfigError::File { path: path.display().to_string(), source }
}

/// The merged configuration as TOML, secrets redacted: what `--check-config` prints.
///
/// # Errors
/// A configuration that TOML cannot express.
pub fn print<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    Ok(toml::to_string_pretty(config)?)
}

/// The same for a service's section, as [`load_section`] reads it.
///
/// # Errors
/// As [`print`].
pub fn print_section<T: Serialize>(section: &str, config: &T) -> Result<String, ConfigError> {
    print(&BTreeMap::from([(section, config)]))
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
        let sample: Sample = load(&[path], &[("limit", "5".to_owned())]).expect("loads");
        assert_eq!((sample.listen.as_str(), sample.limit), ("file", 5));
    }

    #[test]
    fn a_later_file_wins_and_each_service_reads_its_own_section() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (tier, own) = (dir.path().join("tier.toml"), dir.path().join("own.toml"));
        fs::write(&tier, "[api]\nlisten = \"tier\"\nlimit = 4\n[ssh]\nport = 1\n").expect("a file");
        fs::write(&own, "[api]\nlimit = 5\n").expect("a file");
        let files = [tier, own.clone()];
        let sample: Sample =
            load_section("api", &files, &[("api.listen", "flag".to_owned())]).expect("loads");
        assert_eq!((sample.listen.as_str(), sample.limit), ("flag", 5));
        let folder: Sample = load_section("api", &[dir.path().to_owned()], &[]).expect("loads");
        assert_eq!((folder.listen.as_str(), folder.limit), ("tier", 4), "own.toml comes before tier.toml");
        let printed = print_section("api", &sample).expect("prints");
        assert!(printed.starts_with("[api]\n"), "{printed}");
        let none: Sample = load_section("edge", &files, &[]).expect("loads");
        assert_eq!(none.limit, Sample::default().limit);
        fs::write(&own, "[apu]\nlimit = 5\n").expect("a file");
        let error = load_section::<Sample>("api", &files, &[]).expect_err("refused");
        assert!(error.to_string().contains("apu: there is no such section"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load::<Sample>(&[], &[("lisen", "x".to_owned())]).expect_err("refused");
        assert!(error.to_string().contains("lisen"), "{error}");
    }

    #[test]
    fn a_secret_may_lie_in_a_file_that_nobody_else_reads() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("key");
        fs::write(&path, "hunter2\n").expect("a file");
        let load = || load::<Sample>(&[], &[("key", format!("file:{}", path.display()))]);
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
