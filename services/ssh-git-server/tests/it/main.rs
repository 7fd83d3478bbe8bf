//! The SSH server against real clients: `git` and `ssh` before it, git and a real git-controller behind it.

mod fake;
mod push;
mod world;
