//! The composition root: which service runs here, and where its neighbours are.

pub mod config;
pub mod data_dir;
pub mod wire;
