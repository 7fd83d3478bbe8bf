//! Releases: containers that are started behind a shut gate, awaited, let in, stopped and removed.

pub(crate) mod await_ready;
pub(crate) mod drain;
pub(crate) mod gate;
pub(crate) mod remove;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod stop;
