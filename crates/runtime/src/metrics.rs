//! What a process counts about itself, and the one address where a Prometheus server reads it.
//!
//! Label values are the program's own words (a state, a method, a route's pattern), never a tenant's.

mod endpoint;
mod process;

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    encoding::EncodeMetric,
    metrics::{TypedMetric, family::Family},
    registry::{Metric, Registry},
};
use serde::{Deserialize, Serialize};

pub use endpoint::serve;
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};

/// Where a process serves its metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// An internal address for `GET /metrics`; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// `listen` may lie beyond loopback: whoever reaches it there may read it.
    pub beyond_loopback: bool,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(|| {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(process::Process::start()));
    Mutex::new(registry)
});

/// Locked, so that no metric is made while they are read.
fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register(name: &str, help: &str, metric: impl Metric) {
    registry().register(format!("paastech_{name}"), help, metric);
}

/// A metric without labels, shown as `paastech_<name>`; a counter as `paastech_<name>_total`.
pub fn single<M: Metric + Clone>(name: &str, help: &str, metric: M) -> M {
    register(name, help, metric.clone());
    metric
}

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// One metric for each combination of label values.
#[derive(Clone)]
pub struct Labelled<M, const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, M, fn() -> M>,
}

/// Metrics with these labels, each made by `new`.
pub fn labelled<M, const N: usize>(
    name: &str,
    help: &str,
    names: [&'static str; N],
    new: fn() -> M,
) -> Labelled<M, N>
where
    M: EncodeMetric + TypedMetric + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    let family = Family::new_with_constructor(new);
    register(name, help, family.clone());
    Labelled { names, family }
}

impl<M: Clone, const N: usize> Labelled<M, N> {
    /// The one with these values, in the order of the names.
    pub fn with<V: Into<Cow<'static, str>>>(&self, values: [V; N]) -> M {
        let mut names = self.names.into_iter();
        let labels = values.map(|value| (names.next().unwrap_or_default(), value.into()));
        self.family.get_or_create_owned(&labels)
    }

    /// Shows these from the start, so that what has not happened yet is a zero and not an absence.
    #[must_use]
    pub fn from_the_start(self, values: impl IntoIterator<Item = [&'static str; N]>) -> Self {
        for values in values {
            drop(self.with(values));
        }
        self
    }
}

/// For what takes from a millisecond to ten seconds: a call.
#[must_use]
pub fn call_seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

/// For what takes from a tenth of a second to an hour: a build, a step.
#[must_use]
pub fn work_seconds() -> Histogram {
    Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0])
}

/// One more of something, for as long as this lives.
pub struct Held(Gauge);

impl Held {
    /// Counts it.
    #[must_use]
    pub fn by(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let gauge = Gauge::default();
        let held = (Held::by(&gauge), Held::by(&gauge));
        assert_eq!(gauge.get(), 2);
        drop(held);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn a_series_is_found_again_by_its_values() {
        let outcomes = labelled("tests", "Tests of this module", ["outcome"], Counter::<u64>::default);
        outcomes.with(["good"]).inc();
        outcomes.with([String::from("good")]).inc();
        assert_eq!((outcomes.with(["good"]).get(), outcomes.with(["bad"]).get()), (2, 0));
    }
}
