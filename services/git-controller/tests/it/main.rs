//! The git-controller through its generated client, on a real directory.

mod archive;
mod repositories;
mod world;
