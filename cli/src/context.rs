//! What every command that calls the API has at hand.

use crate::{
    args::{self, Global},
    client::Client,
    credentials::Store,
    environment,
    error::{Error, Result},
    output::Output,
    remote,
    target::Target,
};

/// The API, how to print, and which project is meant.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
    project: Option<String>,
    remote: String,
}

impl Context {
    pub(crate) fn open(global: &Global, output: Output) -> Result<Self> {
        let store = Store::open()?;
        let target = Target::choose(global, &store.load()?, output)?;
        Ok(Self {
            client: Client::new(target, store)?,
            output,
            project: global.project.clone(),
            remote: global.remote.clone(),
        })
    }

    /// The git remote's name.
    pub(crate) fn remote(&self) -> &str {
        &self.remote
    }

    /// The project that is meant: named, or the one that this directory is pushed to.
    pub(crate) fn project(&self) -> Result<String> {
        if let Some(project) = &self.project {
            return Ok(project.clone());
        }
        if let Some(project) = environment::text("PAASTECH_PROJECT") {
            return args::reference(&project).map_err(|why| Error::usage(format!("PAASTECH_PROJECT {why}")));
        }
        remote::find_project(&self.remote)?.ok_or_else(|| {
            Error::usage_hint(
                format!("which project? this directory has no git remote '{}' that names one", self.remote),
                "--project NAME, or `paastech create` here",
            )
        })
    }

    /// A path below the project that is meant, such as `/status`.
    pub(crate) fn project_path(&self, rest: &str) -> Result<String> {
        Ok(format!("/v1/projects/{}{rest}", self.project()?))
    }
}
