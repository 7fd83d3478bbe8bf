//! The SSH server against real clients: `git` and `ssh` before it, git and a real git-controller behind it.

mod disconnects;
mod fake;
mod limits;
mod log_in;
mod outages;
mod push;
mod refusals;
mod trees;
mod world;
