//! A socket that leads to the engine, counts what goes through it, and can be cut.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    sync::broadcast,
};

use crate::world::SOCKET;

/// Leads to the engine until it is dropped with its runtime.
pub(crate) struct Cable {
    open: Arc<AtomicUsize>,
    cut: broadcast::Sender<()>,
}

impl Cable {
    /// Lays one from `path`.
    pub(crate) fn lay(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let (open, (cut, _)) = (Arc::<AtomicUsize>::default(), broadcast::channel(1));
        let cable = Self { open: Arc::clone(&open), cut: cut.clone() };
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (open, mut cut) = (Arc::clone(&open), cut.subscribe());
                open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut far = UnixStream::connect(SOCKET).await.expect("an engine");
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.recv() => {}
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        cable
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Ends all connections, as an engine's end does; new ones are led on.
    pub(crate) fn cut(&self) {
        self.cut.send(()).expect("somebody is connected");
    }
}
