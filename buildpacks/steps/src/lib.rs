//! The steps that our buildpacks share: say what happens, run a tool, keep a layer by its key, fetch a toolchain.

mod environment;
mod error;
mod key;
mod layer;
mod output;
mod tool;
mod toolchain;

pub use environment::{environment, flag, knob};
pub use error::{Failure, report};
pub use key::Key;
pub use layer::{KeptFor, KeyedLayer, keyed_layer};
pub use output::{detail, step};
pub use tool::Tool;
pub use toolchain::{Toolchain, Wheel};
