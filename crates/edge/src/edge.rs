//! The edge as a whole: two listeners, the table between them, and what keeps it true.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use paastech_labels::LabelKey;
use paastech_runtime::Shutdown;
use tokio::net::TcpListener;

use crate::{
    EdgeConfig, EdgeError, RouteTable, accept, config::ms, follow::Follower, internal::Internal,
    metrics::METRICS, observe, proxy::Proxy, synced::Synced,
};

/// How long clients wait in the listener's backlog for the first look at the engine: after a restart they find their
/// app, not an empty table.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// A bound edge that does not serve yet.
pub struct Edge {
    config: Arc<EdgeConfig>,
    public: TcpListener,
    internal: TcpListener,
    addr: SocketAddr,
    internal_addr: SocketAddr,
    table: Arc<RouteTable>,
    synced: Synced,
    follower: Option<Follower>,
}

impl Edge {
    /// Binds both addresses; [`Self::run`] will route to the containers of `config.instance` signed with `key`.
    ///
    /// # Errors
    /// An address that cannot be had, or a configuration that makes no sense.
    pub async fn build(config: EdgeConfig, key: LabelKey) -> Result<Self, EdgeError> {
        if config.instance.is_empty() {
            return Err(EdgeError::NoInstance);
        }
        let mut edge = Self::with_table(config).await?;
        let api = edge.config.api.as_ref().map(observe::api).transpose()?;
        let (table, synced) = (edge.table(), edge.synced.clone());
        table.apply(api.as_slice());
        edge.follower = Some(Follower::new(&edge.config, key, table, synced, api));
        Ok(edge)
    }

    /// One that follows no engine: whoever made it fills its [`Self::table`].
    ///
    /// # Errors
    /// As [`Self::build`].
    pub async fn with_table(config: EdgeConfig) -> Result<Self, EdgeError> {
        if config.limits.header_bytes < 8192 {
            return Err(EdgeError::HeaderBytes);
        }
        if config.internal_listen.ip().is_unspecified() {
            return Err(EdgeError::InternalEverywhere(config.internal_listen));
        }
        let (public, addr) = bind(config.listen).await?;
        let (internal, internal_addr) = bind(config.internal_listen).await?;
        LazyLock::force(&METRICS);
        let table = Arc::new(RouteTable::new(ms(config.timeouts.connect_ms)));
        let config = Arc::new(config);
        let synced = Synced::not_yet();
        Ok(Self { config, public, internal, addr, internal_addr, table, synced, follower: None })
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the platform asks: `GET /routes`, `GET /routes?host=…`, `GET /healthz`.
    #[must_use]
    pub fn internal_addr(&self) -> SocketAddr {
        self.internal_addr
    }

    /// What it routes by.
    #[must_use]
    pub fn table(&self) -> Arc<RouteTable> {
        Arc::clone(&self.table)
    }

    /// Serves until `shutdown` drains, and then until what is in flight has ended or is cut.
    ///
    /// # Errors
    /// None so far; it fits [`Shutdown::spawn`].
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        tracing::info!(addr = %self.addr, internal = %self.internal_addr, "the edge serves");
        let Self { config, table, synced, .. } = self;
        let follow = async {
            match self.follower {
                Some(follower) => follower.run(shutdown.clone()).await,
                None => synced.set(),
            }
        };
        let internal = Arc::new(Internal { table: Arc::clone(&table), synced: synced.clone() });
        let proxy =
            Proxy { table, synced: synced.clone(), config: Arc::clone(&config), shutdown: shutdown.clone() };
        let public = async {
            synced.wait(FIRST_LOOK).await;
            accept::serve(self.public, Arc::new(proxy), Arc::clone(&config), shutdown.clone()).await;
        };
        let internal = accept::serve(self.internal, internal, Arc::clone(&config), shutdown.clone());
        tokio::join!(follow, public, internal);
        Ok(())
    }
}

async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), EdgeError> {
    let failed = |source| EdgeError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
