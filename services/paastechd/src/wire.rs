//! The only place that knows every service: what runs here, and which neighbour is a URL.

use std::net::SocketAddr;

use anyhow::Context as _;
use paastech_api::admin::Installation;
use paastech_edge::Edge;
use paastech_labels::LabelKey;
use paastech_proto::{
    control::control_client::ControlClient, git::git_controller_client::GitControllerClient,
    pomegranate::pomegranate_client::PomegranateClient,
};
use paastech_runtime::{
    Clock, Neighbour, Peer, SecretFiles, Shutdown, Tls, metrics,
    secrets::{Key, parse_key},
    serve::GrpcServer,
    transport,
};

use crate::{
    config::Config,
    data_dir::{self, DataDirLock},
};

/// What has been started, and where it answers.
pub struct Running {
    /// The HTTP API.
    pub api: SocketAddr,
    /// The SSH server.
    pub ssh: SocketAddr,
    /// The proxy in front of the apps.
    pub edge: SocketAddr,
    /// The data directory stays this process's own until this is dropped.
    pub lock: DataDirLock,
}

/// The api's neighbours for whoever works beside a running process: nothing is cleared, and nothing served. Folders of
/// theirs that are absent are made.
///
/// # Errors
/// Whatever cannot be opened, by name.
pub fn neighbours(config: Config) -> anyhow::Result<paastech_api::Neighbours> {
    let tls = config.tls.as_ref().map(Tls::open).transpose()?;
    let git = match &config.api.git_controller {
        Neighbour::Url(uri) => {
            transport::remote(uri, tls.as_ref(), Peer::GitController).context("api.git_controller")?
        }
        Neighbour::InProcess => {
            transport::in_process(paastech_git_controller::beside(config.git_controller, Shutdown::new())?)
        }
    };
    let pomegranate = match &config.api.pomegranate {
        Neighbour::Url(uri) => {
            transport::remote(uri, tls.as_ref(), Peer::Pomegranate).context("api.pomegranate")?
        }
        Neighbour::InProcess => {
            let secrets = SecretFiles::ensure(config.api.secrets_dir())?;
            // No key is made: a restore brings its own. Without them nothing on the engine is ours.
            let instance = secrets.get("instance")?.map_or_else(|| "none".to_owned(), |id| id.to_string());
            let key = match secrets.get("label-hmac")? {
                Some(text) => parse_key(&text).context("secrets/label-hmac: not what this program writes")?,
                None => Key::default(),
            };
            let of_installation = pomegranate::Config { instance, ..config.pomegranate };
            transport::in_process(pomegranate::beside(of_installation, LabelKey::new(*key))?.server())
        }
    };
    Ok(paastech_api::Neighbours {
        git: GitControllerClient::new(git),
        pomegranate: PomegranateClient::new(pomegranate),
    })
}

/// What an operator's commands are done to.
#[must_use]
pub fn installation(config: &Config) -> Installation {
    Installation {
        config: config.api.clone(),
        tls: config.tls.clone(),
        folders: vec![config.git_controller.root.clone()],
        host_key: Some(config.ssh.host_key()),
    }
}

/// Builds every service that the configuration leaves to this process, and starts them.
///
/// # Errors
/// Whatever cannot be opened or bound, by name.
pub async fn start(mut config: Config, shutdown: &Shutdown) -> anyhow::Result<Running> {
    let lock = data_dir::lock(&config.data_dir)?;
    metrics::serve(&config.metrics, "paastechd", shutdown).await?;
    let secrets = SecretFiles::ensure(config.api.secrets_dir())?;
    let instance = secrets.instance()?;
    let key = LabelKey::new(*secrets.label_hmac()?);

    config.edge.instance.clone_from(&instance);
    let edge = Edge::build(config.edge, key.clone()).await?;
    let edge_addr = edge.addr();
    config.pomegranate.instance = instance;
    config.pomegranate.proxy.internal.get_or_insert(edge.internal_addr());
    config.pomegranate.proxy.public.get_or_insert(edge_addr);

    let tls = config.tls.as_ref().map(Tls::open).transpose()?;

    let git = match &config.api.git_controller {
        Neighbour::Url(uri) => {
            transport::remote(uri, tls.as_ref(), Peer::GitController).context("api.git_controller")?
        }
        Neighbour::InProcess => {
            let listen = config.git_controller.listen;
            let server = paastech_git_controller::build(config.git_controller, shutdown.clone()).await?;
            if config.serve_neighbours {
                let grpc = GrpcServer::bind(listen, tls.clone()).await.context("git_controller.listen")?;
                shutdown.spawn("git-controller", grpc.run(server.clone(), &[Peer::Api], shutdown.clone()));
            }
            transport::in_process(server)
        }
    };
    let pomegranate = match &config.api.pomegranate {
        Neighbour::Url(uri) => {
            transport::remote(uri, tls.as_ref(), Peer::Pomegranate).context("api.pomegranate")?
        }
        Neighbour::InProcess => {
            let listen = config.pomegranate.listen;
            let server = pomegranate::build(config.pomegranate, key).await?.server();
            if config.serve_neighbours {
                let grpc = GrpcServer::bind(listen, tls.clone()).await.context("pomegranate.listen")?;
                shutdown.spawn("pomegranate", grpc.run(server.clone(), &[Peer::Api], shutdown.clone()));
            }
            transport::in_process(server)
        }
    };

    let neighbours = paastech_api::Neighbours {
        git: GitControllerClient::new(git),
        pomegranate: PomegranateClient::new(pomegranate),
    };
    let control_listen = config.api.control_listen;
    let api = paastech_api::Service::build(config.api, neighbours, Clock::system()).await?;
    let api_addr = api.addr();
    let control = api.control_server();
    if config.serve_neighbours {
        let grpc = GrpcServer::bind(control_listen, tls.clone()).await.context("api.control_listen")?;
        shutdown.spawn("control", grpc.run(control.clone(), &[Peer::SshGitServer], shutdown.clone()));
    }
    let control = match &config.ssh.control {
        Neighbour::Url(uri) => transport::remote(uri, tls.as_ref(), Peer::Api).context("ssh.control")?,
        Neighbour::InProcess => transport::in_process(control),
    };
    let ssh = paastech_ssh_git_server::build(config.ssh, ControlClient::new(control)).await?;
    let ssh_addr = ssh.addr()?;
    tracing::info!(fingerprint = ssh.host_key_fingerprint(), "SSH host key");

    shutdown.spawn("edge", edge.run(shutdown.clone()));
    shutdown.spawn("ssh", ssh.run(shutdown.clone()));
    api.run(shutdown);
    Ok(Running { api: api_addr, ssh: ssh_addr, edge: edge_addr, lock })
}
