//! What one connection may have at once, and when it has nothing left to do.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{config::Limits, limits::Permit};

/// One client's connection.
pub(crate) struct Connection {
    pub(crate) ip: IpAddr,
    /// Cancelled by a log-in that succeeded.
    pub(crate) logged_in: CancellationToken,
    /// Held until then.
    login: Mutex<Option<Permit<IpAddr>>>,
    channels: watch::Sender<usize>,
    most_channels: usize,
    children: Arc<Semaphore>,
}

/// One open channel.
pub(crate) struct OpenChannel(Arc<Connection>);

impl Connection {
    pub(crate) fn new(limits: &Limits, ip: IpAddr, login: Permit<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            ip,
            logged_in: CancellationToken::new(),
            login: Mutex::new(Some(login)),
            channels: watch::Sender::new(0),
            most_channels: limits.channels_per_connection,
            children: Arc::new(Semaphore::new(limits.children_per_connection)),
        })
    }

    /// The log-in has succeeded: its place is free for another.
    pub(crate) fn log_in(&self) {
        self.logged_in.cancel();
        drop(self.login.lock().map(|mut permit| permit.take()));
    }

    /// A place for one more channel, if there is one.
    pub(crate) fn open(self: &Arc<Self>) -> Option<OpenChannel> {
        let opened = self.channels.send_if_modified(|count| {
            let free = *count < self.most_channels;
            *count += usize::from(free);
            free
        });
        opened.then(|| OpenChannel(self.clone()))
    }

    /// A place for one more git child, if there is one.
    pub(crate) fn child(&self) -> Option<OwnedSemaphorePermit> {
        self.children.clone().try_acquire_owned().ok()
    }

    /// Resolves once `begun` has and no channel is open.
    pub(crate) async fn idle_after(&self, begun: impl Future<Output = ()>) {
        begun.await;
        // The sender is ours, so this cannot fail.
        drop(self.channels.subscribe().wait_for(|count| *count == 0).await);
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        self.0.channels.send_modify(|count| *count -= 1);
    }
}
