//! Passwords: argon2id, one per core at a time, a bounded queue behind.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use paastech_runtime::Secret;
use tokio::sync::Semaphore;

use crate::{config::PasswordConfig, http::problem::Problem};

/// The shortest password: the length is the whole rule.
const MIN_CHARS: usize = 15;
const MAX_BYTES: usize = 1024;

/// Whether a new password will do; the text of the refusal names the rule.
pub(crate) fn check_rule(password: &Secret) -> Result<(), &'static str> {
    let text = password.expose();
    if text.chars().count() < MIN_CHARS {
        return Err("must have at least 15 characters");
    }
    if text.len() > MAX_BYTES {
        return Err("must have at most 1024 bytes");
    }
    let first = text.chars().next();
    if text.chars().all(|c| Some(c) == first) {
        return Err("must not be one character over and over");
    }
    Ok(())
}

/// Hashes and compares passwords. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    cores: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    queue: usize,
    /// Compared with when there is no such account, so that the time tells nothing.
    dummy: Arc<str>,
}

impl Passwords {
    pub(crate) fn new(config: &PasswordConfig) -> Result<Self, String> {
        let params = Params::new(config.memory_kib, config.iterations, config.parallelism, None)
            .map_err(|error| format!("password: {error}"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy =
            argon2.hash_password(b"nobody has this one").map_err(|error| error.to_string())?.to_string();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            argon2,
            cores: Arc::new(Semaphore::new(cores)),
            waiting: Arc::default(),
            queue: config.queue,
            dummy: dummy.into(),
        })
    }

    /// The PHC string of a new password.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, Problem> {
        let argon2 = self.argon2.clone();
        self.on_a_core(move || {
            argon2.hash_password(password.expose().as_bytes()).map(|hash| hash.to_string()).ok()
        })
        .await?
        .ok_or_else(|| Problem::internal("a password cannot be hashed"))
    }

    /// Whether the password is the one behind `hash`; None = there is no such account.
    pub(crate) async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool, Problem> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        let argon2 = self.argon2.clone();
        let same = self
            .on_a_core(move || {
                PasswordHash::new(&hash)
                    .is_ok_and(|hash| argon2.verify_password(password.expose().as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(same && known)
    }

    async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _place = Place::take(&self.waiting, self.queue).ok_or_else(|| {
            Problem::unavailable("too many passwords are being checked; try again").retry_after(1)
        })?;
        let permit = self.cores.clone().acquire_owned().await.map_err(|_| Problem::internal("closed"))?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|_| Problem::internal("a hashing thread panicked"))
    }
}

/// A place in the queue; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, queue: usize) -> Option<Self> {
        let place = Self(waiting.clone());
        (waiting.fetch_add(1, Ordering::SeqCst) < queue).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap(queue: usize) -> Passwords {
        Passwords::new(&PasswordConfig { memory_kib: 64, iterations: 1, parallelism: 1, queue })
            .expect("made")
    }

    #[tokio::test]
    async fn knows_a_password_again_and_nobody_elses() {
        let passwords = cheap(4);
        let hash = passwords.hash(Secret::new("correct horse battery")).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(
            passwords.verify(Secret::new("correct horse battery"), Some(hash.clone())).await.expect("asked")
        );
        assert!(!passwords.verify(Secret::new("wrong"), Some(hash)).await.expect("asked"));
        assert!(!passwords.verify(Secret::new("nobody has this one"), None).await.expect("asked"));
    }

    #[tokio::test]
    async fn a_full_queue_is_unavailable() {
        let refused = cheap(0).hash(Secret::new("x")).await.expect_err("refused");
        assert_eq!(refused.status().as_u16(), 503);
    }

    #[test]
    fn a_short_password_is_refused_by_name_of_the_rule() {
        assert_eq!(check_rule(&Secret::new("short")), Err("must have at least 15 characters"));
        assert!(check_rule(&Secret::new("a".repeat(20))).is_err());
        assert_eq!(check_rule(&Secret::new("long enough to pass")), Ok(()));
    }
}
