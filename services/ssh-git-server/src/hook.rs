//! Our hooks: this same program, started by git under another name inside the quarantine of a push.
//!
//! They tell the server what git told them, send the tree it asks for, and print its lines; they refuse by themselves
//! only what they alone can see: a shallow history, a branch that is no commit, a ref that has moved.

mod client;
pub(crate) mod post_receive;
pub(crate) mod pre_receive;
pub(crate) mod protocol;

/// The environment variable that holds the path of the server's socket.
pub(crate) const SOCKET: &str = "PAASTECH_HOOK_SOCKET";
/// The environment variable that holds the push's one-time token.
pub(crate) const TOKEN: &str = "PAASTECH_PUSH_TOKEN";
