//! Visiting an app as anybody would, but for its name, which is pinned to the proxy's address.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use reqwest::{Client, Response, StatusCode, Url, header::RETRY_AFTER};
use tokio::{sync::Semaphore, task::JoinSet};

/// How many requests at a steady rate are under way at most.
const UNDER_WAY: usize = 100;

/// How an app answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    /// Whether it says when to try again.
    pub(crate) retry_after: bool,
    pub(crate) body: String,
}

impl Page {
    async fn read(answer: Response) -> Result<Self> {
        let (status, retry_after) = (answer.status(), answer.headers().contains_key(RETRY_AFTER));
        Ok(Self { status, retry_after, body: answer.text().await? })
    }
}

/// An app's address.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    url: Url,
    client: Client,
}

impl Site {
    pub(crate) fn new(url: &str, edge: SocketAddr) -> Result<Self> {
        let url: Url = url.parse()?;
        let host = url.host_str().context("an app's URL names a host")?;
        let client = Client::builder()
            .no_proxy()
            .resolve(host, edge)
            .timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { url, client })
    }

    /// One request.
    pub(crate) async fn get(&self, path: &str) -> Result<Page> {
        Page::read(self.client.get(self.url.join(path)?).send().await?).await
    }

    /// One POST of JSON.
    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Page> {
        Page::read(self.client.post(self.url.join(path)?).json(body).send().await?).await
    }

    /// So many requests in each second, whether or not those before have been answered; but where the machine is too slow
    /// for that, no more than `UNDER_WAY` at once.
    pub(crate) fn rate(&self, each_second: u32) -> Load {
        let mut load = Load::default();
        let (site, stop, answered) = (self.clone(), load.stop.clone(), load.answered.clone());
        load.visitors.spawn(async move {
            // A late one is made up for.
            let mut next = tokio::time::interval(Duration::from_secs(1) / each_second);
            let (mut requests, places) = (JoinSet::new(), Arc::new(Semaphore::new(UNDER_WAY)));
            while !stop.load(Ordering::Relaxed) {
                next.tick().await;
                let place = places.clone().acquire_owned().await.expect("nobody closes it");
                let (site, answered) = (site.clone(), answered.clone());
                requests.spawn(async move {
                    let failure = site.fails().await;
                    drop(place);
                    answered.fetch_add(1, Ordering::Relaxed);
                    failure
                });
            }
            requests.join_all().await.into_iter().flatten().collect()
        });
        load
    }

    /// What is wrong with a page that takes long enough that some are always under way when traffic moves.
    async fn fails(&self) -> Option<String> {
        match self.get("/slow/100").await {
            Ok(page) if page.status == StatusCode::OK => None,
            Ok(page) => Some(format!("{}: {}", page.status, page.body)),
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// Visitors who come back until they are told to stop: so many at a time.
    pub(crate) fn load(&self, visitors: usize) -> Load {
        Load::default().with(self, visitors)
    }
}

/// Requests under way.
#[derive(Default)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    visitors: JoinSet<Vec<String>>,
}

impl Load {
    fn with(mut self, site: &Site, visitors: usize) -> Self {
        for _ in 0..visitors {
            let (site, stop, answered) = (site.clone(), self.stop.clone(), self.answered.clone());
            self.visitors.spawn(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    failures.extend(site.fails().await);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                failures
            });
        }
        self
    }

    /// How many requests have ended, well or badly.
    pub(crate) fn ended(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops; the failed requests.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.visitors.join_all().await.concat()
    }
}
