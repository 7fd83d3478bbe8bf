//! Whether the services behind the api answer it.

use super::{Facts, Finding};

pub(super) fn check(facts: &Facts<'_>) -> [Finding; 2] {
    let next = "start it; if it runs, see its log, and whether the certificates are one installation's";
    let git = match &facts.repositories {
        Ok(held) => Finding::ok("git-controller", format!("answers; {} repositories", held.len())),
        Err(why) => Finding::error("git-controller", why, next),
    };
    let engine = match &facts.engine {
        Ok(held) => {
            let (containers, images) = (held.containers.len(), held.images.len());
            Finding::ok(
                "pomegranate",
                format!("answers, and so does the engine; {containers} containers, {images} images"),
            )
        }
        Err(why) => Finding::error("pomegranate", why, format!("start the engine and Pomegranate: {next}")),
    };
    [git, engine]
}
