//! One blob into the cache, going on where an earlier pull broke off.
//!
//! **Invariant:** at most as many bytes are written as the manifest says; what they are, the cache verifies.

use std::path::Path;

use oci_client::{Reference, client::BlobResponse};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tokio_stream::StreamExt as _;

use super::{Puller, manifest::Layer, wrong};
use crate::fault::Fault;

/// How often one pull goes on before it is a failure.
const TRIES: u32 = 3;

impl Puller {
    /// Fills `partial` up to the layer's length.
    pub(super) async fn blob(
        &self,
        reference: &Reference,
        layer: &Layer,
        partial: &Path,
    ) -> Result<(), Fault> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(partial)
            .await
            .map_err(|error| super::cache::unwritable(partial, &error))?;
        let mut tries = 0;
        loop {
            let at = file
                .seek(std::io::SeekFrom::End(0))
                .await
                .map_err(|error| super::cache::unwritable(partial, &error))?;
            if at == layer.bytes {
                return Ok(());
            }
            let done = self.piece(reference, layer, &mut file, at).await;
            // What was written counts, however it ended.
            let flushed = file.flush().await;
            flushed.map_err(|error| super::cache::unwritable(partial, &error))?;
            match done {
                Ok(()) => {}
                Err(fault) if fault.reason == "REGISTRY_UNREACHABLE" && tries + 1 < TRIES => {
                    tracing::debug!(digest = layer.digest, fault = %fault, "broke off; going on");
                    tries += 1;
                }
                Err(fault) => {
                    if fault.reason != "REGISTRY_UNREACHABLE" {
                        drop(file.set_len(0).await);
                    }
                    return Err(fault);
                }
            }
        }
    }

    /// Writes what comes from byte `at` on.
    async fn piece(
        &self,
        reference: &Reference,
        layer: &Layer,
        file: &mut File,
        at: u64,
    ) -> Result<(), Fault> {
        let silence = self.registries.silence();
        let auth = self.registries.auth(reference);
        let oci = &self.registries.oci;
        oci.store_auth_if_needed(reference.resolve_registry(), &auth)
            .await;
        let asked = oci.pull_blob_stream_partial(reference, layer.digest.as_str(), at, None);
        let answer = timeout(silence.saturating_mul(2), asked)
            .await
            .map_err(|_late| wrong::silent(reference, silence))?
            .map_err(|error| wrong::fault(reference, &error))?;
        let unwritable = |error: std::io::Error| {
            Fault::passing(
                "CACHE_UNWRITABLE",
                format!("cannot write to the cache of this node: {error}; make room on its disk"),
            )
        };
        let (mut stream, mut at) = match answer {
            BlobResponse::Partial(stream) => (stream, at),
            // It does not know of parts, and sends all of it again.
            BlobResponse::Full(stream) => {
                file.set_len(0).await.map_err(unwritable)?;
                file.rewind().await.map_err(unwritable)?;
                (stream, 0)
            }
        };
        loop {
            let piece = timeout(silence, stream.next())
                .await
                .map_err(|_late| wrong::silent(reference, silence))?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|error| wrong::broken(reference, &error))?;
            at = at.saturating_add(piece.len() as u64);
            if at > layer.bytes {
                return Err(wrong::too_much(reference, layer.bytes));
            }
            file.write_all(&piece).await.map_err(unwritable)?;
        }
        match at == layer.bytes {
            true => Ok(()),
            false => Err(wrong::unreachable(
                reference,
                &format!("it ended after {at} of {} bytes", layer.bytes),
            )),
        }
    }
}
