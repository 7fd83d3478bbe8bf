//! Pushes and pulls, which the engine does.

use std::time::Duration;

use bollard::query_parameters::{CreateImageOptions, PushImageOptions, TagImageOptions};
use futures_util::TryStreamExt as _;
use paastech_types::{Kind, ProjectId};

use tokio::{sync::RwLockReadGuard, time::timeout};

use super::{
    Registry,
    collect::{PATIENCE, being_cleaned},
};
use crate::{build::Log, engine::Engine, error::Error};

/// Between the tries of a push, in seconds.
const PAUSES: [u64; 5] = [1, 1, 2, 4, 8];

/// While it is held one may push, and nothing that is pushed is removed.
pub(crate) struct Upload<'a> {
    registry: &'a Registry,
    _shared: RwLockReadGuard<'a, ()>,
}

impl Upload<'_> {
    /// Pushes an image by a [new name](Registry::new_name) and says its reference by digest. UNAVAILABLE when the
    /// registry does not answer, for longer than it takes to start again.
    pub(crate) async fn push(
        &self,
        engine: &Engine,
        (image, name): (&str, &str),
        token: &str,
    ) -> Result<String, Error> {
        let (repository, tag) = name.rsplit_once(':').ok_or(Error::NotFound("name"))?;
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        engine.docker().await?.tag_image(image, Some(options)).await?;
        let digest = self.registry.push_until_taken(engine, (repository, tag), token).await?;
        let reference = format!("{repository}@{digest}");
        match engine.image(&reference).await?.and_then(|found| found.id) {
            Some(id) if id == image => Ok(reference),
            _ => Err(Error::Broken("the engine pushed something else".to_owned())),
        }
    }
}

impl Registry {
    /// Waits until a push may begin. UNAVAILABLE when that takes too long.
    pub(crate) async fn upload(&self, engine: &Engine, log: &Log) -> Result<Upload<'_>, Error> {
        let enter = async {
            let shared = match self.uploads.try_read() {
                Ok(shared) => shared,
                Err(_) => {
                    log.say("-----> Waiting until the registry has been cleaned");
                    self.uploads.read().await
                }
            };
            self.await_settled(engine).await?;
            Ok(Upload { registry: self, _shared: shared })
        };
        timeout(PATIENCE, enter).await.unwrap_or_else(|_| Err(being_cleaned()))
    }

    /// Tries again while the registry does not answer; once more when it does, for it may just have come back.
    async fn push_until_taken(
        &self,
        engine: &Engine,
        (repository, tag): (&str, &str),
        token: &str,
    ) -> Result<String, Error> {
        let (mut pauses, mut answered) = (PAUSES.into_iter(), false);
        loop {
            let error = match self.push_once(engine, repository, tag, token).await {
                Err(error) if error.kind() != Kind::Unavailable => error,
                outcome => return outcome,
            };
            tracing::warn!(%error, image = repository, "an image was not pushed");
            let answers = self.http.answers().await;
            match pauses.next() {
                _ if answers && answered => return Err(error),
                Some(pause) => tokio::time::sleep(Duration::from_secs(pause)).await,
                None => return Err(if answers { error } else { Error::away() }),
            }
            answered = answers;
        }
    }

    /// The digest of the manifest that was pushed.
    async fn push_once(
        &self,
        engine: &Engine,
        repository: &str,
        tag: &str,
        token: &str,
    ) -> Result<String, Error> {
        let options = PushImageOptions { tag: Some(tag.to_owned()), ..PushImageOptions::default() };
        let docker = engine.docker().await?;
        let mut events = docker.push_image(repository, Some(options), Some(self.credentials(token)));
        let mut pushed = None;
        while let Some(event) = events.try_next().await? {
            pushed = event.status.as_deref().and_then(digest).or(pushed);
        }
        pushed.ok_or_else(|| Error::Broken("the engine did not say what it pushed".to_owned()))
    }

    /// Pulls an image of the project's by its reference; false when the registry has none of it.
    pub(crate) async fn pull(
        &self,
        engine: &Engine,
        project: ProjectId,
        reference: &str,
        token: &str,
    ) -> Result<bool, Error> {
        let options =
            CreateImageOptions { from_image: Some(reference.to_owned()), ..CreateImageOptions::default() };
        let docker = engine.docker().await?;
        let pulled = docker.create_image(Some(options), None, Some(self.credentials(token)));
        let error = match pulled.try_collect::<Vec<_>>().await.map_err(Error::from) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == Kind::Unavailable => return Err(error),
            Err(error) => error,
        };
        let Some((_, digest)) = reference.split_once('@') else { return Ok(false) };
        if self.http.repository(project, token).digest(digest).await?.is_none() {
            return Ok(false);
        }
        tracing::error!(%error, image = reference, "an image cannot be pulled");
        Err(Error::Broken("the registry's image cannot be pulled".to_owned()))
    }
}

/// `<tag>: digest: sha256:<64 digits> size: <bytes>`, the last of a push's lines.
fn digest(status: &str) -> Option<String> {
    let mut words = status.split(' ').skip_while(|word| *word != "digest:").skip(1);
    words.next().filter(|word| word.starts_with("sha256:")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use paastech_labels::LabelKey;
    use paastech_runtime::{Clock, Secret};

    use super::*;
    use crate::config::RegistryConfig;

    fn registry() -> Registry {
        let registry = Registry::new(RegistryConfig {
            address: "127.0.0.1:5000".to_owned(),
            prefix: "apps".to_owned(),
            url: "http://127.0.0.1:5000".to_owned(),
            username: String::new(),
            password: Secret::default(),
        });
        registry.expect("made")
    }

    fn engine() -> Engine {
        Engine::new("/nonexistent".into(), "i1".to_owned(), LabelKey::new([1; 32]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_is_removed_while_another_one_is_pushed_but_nothing_is_collected() {
        let (registry, log) = (registry(), Log::new(Clock::manual(0), 1 << 20));
        registry.unsettled.store(false, Ordering::SeqCst);
        let upload = registry.upload(&engine(), &log).await.expect("nobody has it");
        let removal = timeout(PATIENCE, registry.share()).await.expect("beside the push");
        timeout(PATIENCE, registry.hold()).await.expect_err("not beside a push");
        drop(upload);
        timeout(PATIENCE, registry.hold()).await.expect_err("not beside a removal");
        drop(removal);
        drop(timeout(PATIENCE, registry.hold()).await.expect("alone"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_that_waits_too_long_is_told_that_the_registry_is_being_cleaned() {
        let (registry, log) = (registry(), Log::new(Clock::manual(0), 1 << 20));
        let cleaning = registry.hold().await;
        let error = registry.upload(&engine(), &log).await.err().expect("it is held");
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::Unavailable, "the registry is being cleaned")
        );
        assert_eq!(log.from(1).len(), 1, "and the pusher knew what it waited for");
        drop(cleaning);
    }

    #[test]
    fn the_digest_is_in_a_pushs_last_line_alone() {
        let line = "0f: digest: sha256:abc size: 528";
        assert_eq!(digest(line).as_deref(), Some("sha256:abc"));
        for other in ["The push refers to repository [127.0.0.1:5000/apps/x]", "Pushed", "digest:", ""] {
            assert_eq!(digest(other), None, "{other}");
        }
    }
}
