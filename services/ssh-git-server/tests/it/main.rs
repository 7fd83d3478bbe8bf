//! The SSH server against real clients: `git` and `ssh` before it, git and a real git-controller behind it.

mod client;
mod disconnects;
mod fake;
mod limits;
mod log_in;
mod outages;
mod program;
mod push;
mod refusals;
mod trees;
mod world;
