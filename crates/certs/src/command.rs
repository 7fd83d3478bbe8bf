//! The command that makes certificates: `cargo xtask certs`, `paastech-admin certs`.

use std::path::PathBuf;

use anyhow::Result;
use time::{OffsetDateTime, macros::format_description};

/// What to make, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paastech-admin certs --dir /srv/paastech/certs")]
pub struct Command {
    /// The folder of all of them: the authority's key is in it, a folder for each service, and one with what signs
    /// tokens for the registry of images
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Make every service's certificate anew, due or not
    #[arg(long)]
    renew: bool,
}

impl Command {
    /// Makes what is absent or due, and says until when each is good.
    ///
    /// # Errors
    /// A file cannot be read, understood or written: it is named.
    pub fn run(&self) -> Result<()> {
        let day = format_description!("[year]-[month]-[day]");
        let now = OffsetDateTime::now_utc();
        crate::registry_token(&self.dir.join("registry-token"), now)?;
        for outcome in crate::ensure(&self.dir, now, self.renew)? {
            let done = if outcome.made { "made" } else { "kept" };
            println!("{}: {done}, good until {}", outcome.service.name(), outcome.expires.format(day)?);
        }
        Ok(())
    }
}
