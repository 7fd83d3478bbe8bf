//! Who calls, and what they may do.

pub(crate) mod access;
pub(crate) mod caller;
pub(crate) mod limit;
pub(crate) mod password;
pub(crate) mod permission;
pub(crate) mod session;
pub(crate) mod token;

pub(crate) use access::{Authorized, Privileged};
pub(crate) use caller::Caller;
