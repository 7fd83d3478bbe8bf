//! What every handler can reach.

use std::{fs::File, ops::Deref, sync::Arc};

use paastech_db::Database;
use paastech_proto::{
    git::git_controller_client::GitControllerClient, pomegranate::pomegranate_client::PomegranateClient,
};
use paastech_runtime::{Clock, Transport};
use paastech_types::ProjectId;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{limit::Limiters, password::Passwords, token::SigningKey},
    config::{AppScheme, Config},
    engine::Engine,
    secrets::Vault,
};

/// The state; clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<State>);

/// See [`App`].
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) db: Database,
    pub(crate) clock: Clock,
    pub(crate) git: GitControllerClient<Transport>,
    pub(crate) pomegranate: PomegranateClient<Transport>,
    pub(crate) vault: Vault,
    pub(crate) signing_key: SigningKey,
    pub(crate) passwords: Passwords,
    pub(crate) limiters: Limiters,
    pub(crate) engine: Engine,
    /// Cancelled when the process begins to stop: streams end.
    pub(crate) stopping: CancellationToken,
    /// Keeps other processes out of a database in a file, and a restore out of any.
    pub(crate) _lock: File,
}

impl Deref for App {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}

impl App {
    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(state))
    }
}

/// The address of a project's app.
pub(crate) fn app_url(config: &Config, project: ProjectId) -> String {
    let (scheme, own) = match config.app_scheme {
        AppScheme::Http => ("http", 80),
        AppScheme::Https => ("https", 443),
    };
    let port =
        config.app_port.filter(|&port| port != own).map_or_else(String::new, |port| format!(":{port}"));
    format!("{scheme}://{project}.user-app.{}{port}", config.domain)
}

/// Where a project is pushed to.
pub(crate) fn git_url(config: &Config, project: ProjectId) -> String {
    format!("ssh://git@{}:{}/{project}", config.git.host, config.git.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_port_that_its_scheme_does_not_mean() {
        let url = |app_scheme, app_port| {
            let config =
                Config { app_scheme, app_port, domain: "example.org".to_owned(), ..Config::default() };
            let project = ProjectId::new();
            app_url(&config, project).replace(&project.to_string(), "project")
        };
        let default = "https://project.user-app.example.org";
        assert_eq!(url(AppScheme::Https, None), default);
        assert_eq!(url(AppScheme::Https, Some(443)), default);
        assert_eq!(url(AppScheme::Https, Some(80)), format!("{default}:80"));
        assert_eq!(url(AppScheme::Http, Some(80)), "http://project.user-app.example.org");
        assert_eq!(url(AppScheme::Http, Some(443)), "http://project.user-app.example.org:443");
    }
}
