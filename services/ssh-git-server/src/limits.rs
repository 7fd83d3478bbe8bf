//! Who may have how much of the server at once. Every permit ends with its holder.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use paastech_types::AccountId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// How often a waiting log-in looks whether it is its turn.
const TURN: Duration = Duration::from_millis(20);

/// Counts holders by key and refuses one too many.
#[derive(Clone)]
pub(crate) struct Counter<K> {
    held: Arc<Mutex<HashMap<K, usize>>>,
    most: usize,
}

impl<K: Eq + Hash + Clone> Counter<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self { held: Arc::default(), most }
    }

    /// A permit for `key`, unless it holds as many as it may.
    pub(crate) fn take(&self, key: K) -> Option<Permit<K>> {
        let mut held = lock(&self.held);
        let count = held.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Permit { counter: self.held.clone(), key })
    }
}

/// One of a key's permits.
pub(crate) struct Permit<K: Eq + Hash> {
    counter: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K: Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        let mut held = lock(&self.counter);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server's permits.
pub(crate) struct Permits {
    connections: Arc<Semaphore>,
    per_ip: Counter<IpAddr>,
    logins: Counter<IpAddr>,
    children: Arc<Semaphore>,
    per_account: Counter<AccountId>,
    unknown_keys: DefaultKeyedRateLimiter<IpAddr>,
}

/// What a connection holds.
pub(crate) struct ConnectionPermit {
    _all: OwnedSemaphorePermit,
    _ip: Permit<IpAddr>,
}

/// What a git child holds.
pub(crate) struct ChildPermit {
    _all: OwnedSemaphorePermit,
    _account: Permit<AccountId>,
}

impl Permits {
    pub(crate) fn new(limits: &Limits) -> Self {
        let rate = NonZeroU32::new(limits.unknown_keys_per_minute).unwrap_or(NonZeroU32::MIN);
        Self {
            connections: Arc::new(Semaphore::new(limits.connections)),
            per_ip: Counter::new(limits.connections_per_ip),
            logins: Counter::new(limits.logins_per_ip),
            children: Arc::new(Semaphore::new(limits.children)),
            per_account: Counter::new(limits.children_per_account),
            unknown_keys: RateLimiter::keyed(Quota::per_minute(rate)),
        }
    }

    /// A permit to be connected from `ip`.
    pub(crate) fn connection(&self, ip: IpAddr) -> Option<ConnectionPermit> {
        let all = self.connections.clone().try_acquire_owned().ok()?;
        Some(ConnectionPermit { _all: all, _ip: self.per_ip.take(ip)? })
    }

    /// A permit to log in from `ip`, when it is its turn.
    pub(crate) async fn login(&self, ip: IpAddr) -> Permit<IpAddr> {
        loop {
            if let Some(permit) = self.logins.take(ip) {
                return permit;
            }
            tokio::time::sleep(TURN).await;
        }
    }

    /// A permit to run git for `account`.
    pub(crate) fn child(&self, account: AccountId) -> Option<ChildPermit> {
        let all = self.children.clone().try_acquire_owned().ok()?;
        Some(ChildPermit { _all: all, _account: self.per_account.take(account)? })
    }

    /// Counts an unknown key from `ip`; false when there have been too many.
    pub(crate) fn unknown_key(&self, ip: IpAddr) -> bool {
        if self.unknown_keys.len() > 10_000 {
            self.unknown_keys.retain_recent();
        }
        self.unknown_keys.check_key(&ip).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gets_its_permits_back() {
        let counter = Counter::new(2);
        let first = counter.take("a").expect("free");
        let _second = counter.take("a").expect("free");
        assert!(counter.take("a").is_none());
        assert!(counter.take("b").is_some());
        drop(first);
        assert!(counter.take("a").is_some());
    }

    #[test]
    fn one_address_cannot_take_every_connection() {
        let limits = Limits { connections: 3, connections_per_ip: 2, ..Limits::default() };
        let permits = Permits::new(&limits);
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let held = [permits.connection(a), permits.connection(a)];
        assert!(held.iter().all(Option::is_some));
        assert!(permits.connection(a).is_none());
        let other = permits.connection(b);
        assert!(other.is_some() && permits.connection(b).is_none());
    }

    #[test]
    fn unknown_keys_run_out() {
        let limits = Limits { unknown_keys_per_minute: 3, ..Limits::default() };
        let permits = Permits::new(&limits);
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert_eq!((0..4).filter(|_| permits.unknown_key(ip)).count(), 3);
        assert!(permits.unknown_key(IpAddr::from([127, 0, 0, 2])));
    }
}
