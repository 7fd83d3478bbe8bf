//! The log: one line per event on standard error, text or JSON.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// How the log looks and how much of it there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A filter such as `info,paastech_api=debug`.
    #[serde(deserialize_with = "filter")]
    pub filter: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |error| D::Error::custom(format!("log.filter: `{text}`: {error}"));
    EnvFilter::try_new(&text).map_err(wrong)?;
    Ok(text)
}

/// Starts the log. A second call in one process changes nothing.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::new(&config.filter);
    let registry = tracing_subscriber::registry().with(filter);
    let outcome = match config.format {
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init(),
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init(),
    };
    drop(outcome);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_filter_is_refused() {
        for (text, taken) in
            [("info,paastech_api=debug", true), ("paastech_api=loud", false), ("a=b=c", false)]
        {
            let config = toml::from_str::<LogConfig>(&format!("filter = \"{text}\""));
            assert_eq!(config.is_ok(), taken, "{text}: {config:?}");
        }
    }
}
