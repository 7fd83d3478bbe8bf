//! A filtered engine API on a Unix socket of its own: what the trusted phases of one build may ask of the engine,
//! and nothing else. A request is never passed on as it came: it is parsed, decided, and written anew.

mod answer;
mod call;
mod engine;
mod gate;
mod load;
mod reference;

pub use gate::{Build, Gate};
