//! Pomegranate against a real engine, each test with an installation of its own that is removed at its end.

mod buildpacks;
mod builds;
mod cable;
mod confirming;
mod draining;
mod fences;
mod hostile_buildpacks;
mod observing;
mod ownership;
mod registry;
mod registry_container;
mod registry_elsewhere;
mod releases;
mod world;
