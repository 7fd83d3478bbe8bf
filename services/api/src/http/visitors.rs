//! How many connections each address has: one address alone must not take them all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::auth::caller::Origin;

/// The addresses that have connections.
#[derive(Clone)]
pub(crate) struct Visitors {
    limit: usize,
    connections: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection, counted as long as it lives.
pub(crate) struct Visit(Option<(Visitors, IpAddr)>);

impl Visitors {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, connections: Arc::default() }
    }

    /// None: the address has as many as it may have. The administrators' socket is not counted.
    pub(crate) fn enter(&self, origin: Origin) -> Option<Visit> {
        let Origin::Address(address) = origin else { return Some(Visit(None)) };
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let count = connections.entry(address).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Visit(Some((self.clone(), address))))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Some((visitors, address)) = self.0.take() else { return };
        let mut connections = visitors.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = connections.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&address);
            }
        }
    }
}
