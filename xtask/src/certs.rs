//! `cargo xtask certs`: an installation's certificates.

use std::path::PathBuf;

use anyhow::Result;
use time::{OffsetDateTime, macros::format_description};

/// What to make, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask certs --dir /etc/paastech/certs")]
pub(crate) struct Options {
    /// The folder of all of them: the authority's key is in it, a folder for each service, and one with what signs
    /// tokens for the registry of images
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Make every service's certificate anew, due or not
    #[arg(long)]
    renew: bool,
}

/// Makes what is absent or due, and says until when each is good.
pub(crate) fn run(options: &Options) -> Result<()> {
    let day = format_description!("[year]-[month]-[day]");
    let now = OffsetDateTime::now_utc();
    paastech_certs::registry_token(&options.dir.join("registry-token"), now)?;
    for outcome in paastech_certs::ensure(&options.dir, now, options.renew)? {
        let done = if outcome.made { "made" } else { "kept" };
        println!("{}: {done}, good until {}", outcome.service.name(), outcome.expires.format(day)?);
    }
    Ok(())
}
