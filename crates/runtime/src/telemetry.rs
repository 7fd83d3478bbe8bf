//! The log, one line per event on standard error, text or JSON; and traces, where somebody collects them.

mod otlp;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use tracing_subscriber::{EnvFilter, Layer, Registry, filter::filter_fn, fmt, prelude::*};

pub use otlp::{Collector, Traces};

/// Where traces go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracingConfig {
    /// A collector that takes OTLP over plain HTTP: `http://127.0.0.1:4318/v1/traces`; nowhere when absent.
    pub otlp: Option<Collector>,
}

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

/// Starts the log, and the traces of `service`, which end with what is returned. A second call in one process changes
/// nothing.
///
/// # Errors
/// Traces cannot be sent at all.
pub fn init(log: &LogConfig, tracing: &TracingConfig, service: &'static str) -> anyhow::Result<Traces> {
    let traces = Traces::of(service, tracing.otlp.as_ref())?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    }];
    if let Some(tracer) = traces.tracer() {
        let spans = tracing_opentelemetry::layer().with_tracer(tracer);
        let spans = spans.with_location(false).with_threads(false).with_tracked_inactivity(false);
        // The log has the events.
        layers.push(spans.with_filter(filter_fn(|metadata| metadata.is_span())).boxed());
    }
    let registry = tracing_subscriber::registry().with(layers).with(EnvFilter::new(&log.filter));
    drop(registry.try_init());
    Ok(traces)
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
