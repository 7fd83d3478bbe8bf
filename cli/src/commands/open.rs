//! `open`.

use std::{io::IsTerminal, process::Stdio};

use clap::Args;

use crate::{
    api::Project,
    context::Context,
    environment,
    error::{Error, Result},
};

/// Print the app's address, and open it in a browser where there is one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech open\n  curl $(paastech open)")]
pub(crate) struct Open {}

impl Open {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.get(&context.project_path("")?).await?;
        let project: Project = context.client.decode(&body)?;
        let url = project.url.ok_or_else(|| Error::Failed(format!("{} has no address", project.slug)))?;
        context.output.answer(&body, || url.clone())?;
        // A pipe wants the address, not a window.
        if !context.output.is_json() && std::io::stdout().is_terminal() {
            browse(&url);
        }
        Ok(())
    }
}

/// The address is printed already: a browser that does not start is no failure.
#[expect(
    clippy::disallowed_methods,
    reason = "xdg-open is how a desktop opens an address; it gets one argument"
)]
fn browse(url: &str) {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if let Some(program) = environment::find_program("xdg-open").filter(|_| is_web) {
        let child =
            std::process::Command::new(program).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        drop(child);
    }
}
