//! Images from OCI registries, by digest.
//!
//! ```text
//! Artifact ──manifest──▶ the layer with its title ──cache──▶ there, and verified ──────────────▶ a file
//!                                                    └──────▶ pulled, from where it broke off ──▶ verified ──┘
//! ```
//!
//! | module     | one idea                                                       |
//! |------------|----------------------------------------------------------------|
//! | `named`    | an artifact by reference, or by the digest of what is here     |
//! | `manifest` | which blob a file of an artifact is                            |
//! | `blob`     | one blob into the cache                                        |
//! | `cache`    | files by digest                                                |
//! | `room`     | no more of them than there is room for                         |
//! | `access`   | how registries are reached                                     |
//! | `ask`      | one question to one of them                                    |
//! | `challenge` | what it wants to see first                                    |
//! | `credentials` | what the node has to show                                   |
//! | `wrong`    | what registries do wrong, as faults                            |
//!
//! **Invariant:** nothing is given out but bytes with the digest that was asked for; what a registry sends is bounded in size and in time before it is believed.

mod access;
mod ask;
mod blob;
mod cache;
mod challenge;
mod credentials;
mod manifest;
mod named;
mod room;
mod wrong;

use std::path::{Path, PathBuf};

use oci_client::Reference;

pub use access::Access;
pub(crate) use cache::NOT_KEPT;
pub(crate) use room::{Keeping, Purpose};

use crate::{fault::Fault, resources::Artifact};
use access::Registries;
use cache::Cache;
use manifest::Layer;
use named::Named;

/// A file that is in the cache, and was verified just now.
#[derive(Clone, Debug)]
pub(crate) struct Pulled {
    /// What the artifact calls it.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// Pulls files of artifacts.
#[derive(Debug)]
pub(crate) struct Puller {
    registries: Registries,
    cache: Cache,
}

impl Puller {
    /// One with this cache.
    pub(crate) fn new(directory: PathBuf, access: &Access) -> anyhow::Result<Self> {
        Ok(Self {
            registries: Registries::new(access)?,
            cache: Cache::new(directory, access.cache_bytes)?,
        })
    }

    /// Files that are to be kept at hand; none yet.
    pub(crate) fn keeping(&self) -> Keeping {
        self.cache.keeping()
    }

    /// The file of an artifact.
    pub(crate) async fn pull(
        &self,
        artifact: &Artifact,
        purpose: Purpose<'_>,
    ) -> Result<Pulled, Fault> {
        let named = Named::of(artifact)?;
        let layer = self.layer(&named, artifact.file.as_deref()).await?;
        let most = self.registries.most_bytes();
        if layer.bytes > most {
            let text = format!(
                "{} has {} bytes, and this node takes {most} at most; raise --image-bytes of the node agent, or take a smaller image",
                layer.name, layer.bytes
            );
            return Err(Fault::lasting("IMAGE_TOO_LARGE", text));
        }
        if let Purpose::Keep(keeping) = purpose {
            keeping.want(cache::name(&layer.digest));
        }
        let _gate = self.cache.gate(&layer.digest).await;
        if let Some(path) = self.cache.verified(&layer.digest, layer.bytes).await? {
            return Ok(Pulled {
                name: layer.name,
                path,
                bytes: layer.bytes,
            });
        }
        let Named::InRegistry(reference) = &named else {
            return Err(wrong::not_on_node(named.digest(), Some(&layer.name)));
        };
        let room = self.cache.room(&layer.digest, layer.bytes, purpose);
        let (partial, _promise) = room.await?;
        let path = self.whole(reference, &layer, &partial).await?;
        tracing::info!(
            %reference,
            digest = layer.digest,
            bytes = layer.bytes,
            "pulled"
        );
        Ok(Pulled {
            name: layer.name,
            path,
            bytes: layer.bytes,
        })
    }

    /// Pulls it. Where it went on from a part that an earlier pull left, that part may be what is wrong: then all of it is pulled, once.
    async fn whole(
        &self,
        reference: &Reference,
        layer: &Layer,
        partial: &Path,
    ) -> Result<PathBuf, Fault> {
        let is_fresh = self.blob(reference, layer, partial).await?;
        match self.cache.commit(&layer.digest, layer.bytes).await {
            Err(fault) if fault.reason == wrong::MISMATCH && !is_fresh => {
                self.blob(reference, layer, partial).await?;
                self.cache.commit(&layer.digest, layer.bytes).await
            }
            done => done,
        }
    }
}
