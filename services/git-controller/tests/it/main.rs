//! The git-controller through its generated client, on a real directory.

mod archive;
mod bundles;
mod repositories;
mod world;
