//! `cargo xtask builder`: the images that build and run apps pushed without a Dockerfile: `paastech/lifecycle`,
//! `paastech/run` and `paastech/builder`. Each is made anew only when something that goes into it has changed.

mod buildpacks;
pub(crate) mod context;
pub(crate) mod images;
mod lifecycle;

use anyhow::Result;

use crate::{base_image, engine::Engine};

/// Makes what the engine does not hold in its present form.
pub(crate) async fn ensure(engine: &Engine) -> Result<()> {
    base_image::ensure(engine).await?;
    let lifecycle = lifecycle::ensure().await?;
    let buildpacks = buildpacks::compile().await?;
    images::ensure(engine, &lifecycle, &buildpacks).await
}
