//! The edge against real sockets: apps in this process, clients over loopback.

mod app;
mod drain;
mod engine;
mod hostile;
mod limits;
mod proxying;
mod retry;
mod rig;
mod routing;
mod swap;
mod upgrade;
