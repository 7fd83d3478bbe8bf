//! The edge against real sockets: apps in this process, clients over loopback.

mod access_log;
mod app;
mod drain;
mod engine;
mod fake_engine;
mod follow;
mod hostile;
mod limits;
mod proxying;
mod retry;
mod rig;
mod routing;
mod swap;
mod upgrade;
