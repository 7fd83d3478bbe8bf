//! End to end: real git, ssh, HTTP and the engine against running programs, in every shape they run in.
//!
//! A [`Platform`] is one installation; a scenario is a function of one. Everything is removed at the end, and what
//! is left is a failure.

mod api;
mod app;
mod binaries;
mod collector;
mod config;
mod database;
mod developer;
mod engine;
mod eventually;
mod firewall;
mod installation;
mod platform;
mod process;
mod push;
mod repository;
mod runner;
mod scenarios;
mod shape;
mod web;

pub(crate) use crate::{
    api::Api,
    app::{Dockerfile, Source},
    developer::{Developer, Project},
    eventually::eventually,
    platform::{Platform, Setup},
    push::Ended,
    repository::Repository,
};
pub use crate::{runner::run, shape::Shape};
