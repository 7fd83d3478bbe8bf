//! The edge against real sockets: apps in this process, clients over loopback.

mod app;
mod engine;
mod rig;
mod routing;
