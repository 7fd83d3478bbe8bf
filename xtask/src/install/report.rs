//! What the host has for an installation; nothing is changed.

use std::{fs, net::TcpListener, path::Path};

use anyhow::Result;

use super::settings::Settings;
use crate::{engine, process};

/// Says what the host has.
pub(super) async fn print(settings: &Settings) -> Result<()> {
    match engine::find().await {
        Ok(engine) => println!("engine: {}, API {}", engine.version, engine.api),
        Err(error) => println!("engine: none yet, `install` brings one ({error})"),
    }
    let compose =
        if process::exists("docker-compose") { "is there" } else { "none yet, `install` brings it" };
    println!("docker-compose: {compose}");
    let cgroups = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1" };
    println!("cgroups: {cgroups}");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or(" unknown");
    println!("memory available: {}", memory.trim());
    let existing = settings.dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(existing)?;
    println!("disk free at {}: {} MiB", existing.display(), (disk.f_bavail * disk.f_frsize) >> 20);
    for (flag, addr) in settings.ports() {
        match TcpListener::bind(addr) {
            Ok(_) => println!("{addr}: free"),
            Err(error) => println!("{addr}: {error}; another with {flag}"),
        }
    }
    if !settings.is_local() {
        for name in ["api", "any.user-app"].map(|name| format!("{name}.{}", settings.domain())) {
            match tokio::net::lookup_host((name.as_str(), 443)).await {
                Ok(mut found) => println!(
                    "{name}: {}",
                    found.next().map_or("nothing".to_owned(), |addr| addr.ip().to_string())
                ),
                Err(error) => println!("{name}: {error}; point it here"),
            }
        }
    }
    let state = if settings.env_file().exists() { "is there" } else { "none yet" };
    println!("installation at {}: {state}", settings.dir.display());
    Ok(())
}
