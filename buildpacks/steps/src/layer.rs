//! Layers that are kept from build to build as long as their key stays the same.

use std::path::{Path, PathBuf};

use libcnb::{
    Buildpack,
    build::BuildContext,
    data::layer::LayerName,
    layer::{
        CachedLayerDefinition, EmptyLayerCause, InvalidMetadataAction, LayerRef, LayerState,
        RestoredLayerAction,
    },
    layer_env::LayerEnv,
};
use serde::{Deserialize, Serialize};

/// Who sees a cached layer besides the buildpack that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptFor {
    /// Nobody: a tool's own cache.
    Cache,
    /// Buildpacks that come later.
    Build,
    /// The running app.
    Launch,
    /// Both.
    BuildAndLaunch,
}

/// A cached layer that is either as the last build left it or empty.
pub struct KeyedLayer<B: Buildpack> {
    layer: LayerRef<B, (), bool>,
    key: String,
    /// Whether it holds what the last build put there.
    pub restored: bool,
    /// Whether the last build left something under another key, which is gone now.
    pub outdated: bool,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    key: String,
}

/// Takes the layer up again when the last build completed it under the same key, and empties it otherwise.
pub fn keyed_layer<B: Buildpack>(
    context: &BuildContext<B>,
    name: LayerName,
    kept_for: KeptFor,
    key: String,
) -> libcnb::Result<KeyedLayer<B>, B::Error> {
    let layer = context.cached_layer(
        name,
        CachedLayerDefinition {
            build: matches!(kept_for, KeptFor::Build | KeptFor::BuildAndLaunch),
            launch: matches!(kept_for, KeptFor::Launch | KeptFor::BuildAndLaunch),
            invalid_metadata_action: &|_| InvalidMetadataAction::<Metadata>::DeleteLayer,
            restored_layer_action: &|metadata: &Metadata, _| {
                if metadata.key == key {
                    (RestoredLayerAction::KeepLayer, true)
                } else {
                    (RestoredLayerAction::DeleteLayer, false)
                }
            },
        },
    )?;
    let restored = matches!(layer.state, LayerState::Restored { .. });
    let outdated = matches!(
        layer.state,
        LayerState::Empty {
            cause: EmptyLayerCause::RestoredLayerAction { .. }
                | EmptyLayerCause::InvalidMetadataAction { .. }
        }
    );
    Ok(KeyedLayer { layer, key, restored, outdated })
}

impl<B: Buildpack> KeyedLayer<B> {
    /// Where the layer lies.
    pub fn path(&self) -> PathBuf {
        self.layer.path()
    }

    /// A path inside the layer.
    pub fn join(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.path().join(inside)
    }

    /// Marks the layer complete, so that the next build with this key takes it up again.
    pub fn complete(&self) -> libcnb::Result<(), B::Error> {
        self.layer.write_metadata(Metadata { key: self.key.clone() })
    }

    /// Sets the variables that the layer brings.
    pub fn write_env(&self, env: &LayerEnv) -> libcnb::Result<(), B::Error> {
        self.layer.write_env(env)
    }
}
