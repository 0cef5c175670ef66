//! One blob into the cache, going on where an earlier pull broke off.
//!
//! **Invariant:** at most as many bytes are written as the manifest says, and none are held but those on their way; what they are, the cache verifies. A registry that
//! sends next to nothing is given up like one that is silent.

use std::{path::Path, time::Duration};

use oci_client::Reference;
use reqwest::{
    Response,
    header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE},
};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout_at},
};

use super::{Puller, manifest::Layer, wrong};
use crate::{backoff::Backoff, fault::Fault};

/// How often in a row one pull goes on with no headway before it is a failure.
const TRIES: u32 = 3;
/// What is headway: so many bytes come at least within the time that a registry may be silent.
const HEADWAY: u64 = 256 << 10;

/// Between two tries.
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(5);

/// How an answer ended, and how far the file went with it.
struct Piece {
    reached: u64,
    ended: Result<(), Fault>,
}

fn unwritable(error: &std::io::Error) -> Fault {
    let text = format!("cannot write to the cache of this node: {error}; make room on its disk");
    Fault::passing("CACHE_UNWRITABLE", text)
}

impl Puller {
    /// Fills `partial` up to the layer's length; false where it went on from what was there.
    pub(super) async fn blob(
        &self,
        reference: &Reference,
        layer: &Layer,
        partial: &Path,
    ) -> Result<bool, Fault> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(partial)
            .await
            .map_err(|error| super::cache::unwritable(partial, &error))?;
        let (mut tries, mut first, mut furthest) = (0, None, 0);
        let mut backoff = Backoff::new(LEAST, MOST);
        loop {
            let mut at = { file.seek(std::io::SeekFrom::End(0)).await }
                .map_err(|error| unwritable(&error))?;
            if at > layer.bytes {
                // Of a manifest that said otherwise of it.
                at = emptied(&mut file).await?;
            }
            furthest = at.max(furthest);
            let is_fresh = *first.get_or_insert(at) == 0;
            if at == layer.bytes {
                return Ok(is_fresh);
            }
            let piece = self.piece(reference, layer, &mut file, at).await;
            // What was written counts, however it ended.
            let flushed = file.flush().await;
            flushed.map_err(|error| unwritable(&error))?;
            // What came before, and comes again from a registry that knows of no parts, is no headway.
            if piece.reached.saturating_sub(furthest) >= HEADWAY {
                tries = 0;
                backoff.reset();
            }
            furthest = piece.reached.max(furthest);
            match piece.ended {
                Ok(()) => {}
                Err(fault) if fault.reason == wrong::UNREACHABLE && tries + 1 < TRIES => {
                    tracing::debug!(digest = layer.digest, fault = %fault, "broke off; going on");
                    tries += 1;
                    sleep(backoff.after_failure()).await;
                }
                Err(fault) => {
                    if fault.reason == wrong::MISMATCH {
                        emptied(&mut file).await?;
                    }
                    return Err(fault);
                }
            }
        }
    }

    /// Writes what comes from byte `at` on.
    async fn piece(&self, reference: &Reference, layer: &Layer, file: &mut File, at: u64) -> Piece {
        match self.answer(reference, layer, at).await {
            Err(fault) => Piece {
                reached: at,
                ended: Err(fault),
            },
            Ok(answer) => self.written(reference, layer, file, at, answer).await,
        }
    }

    /// Asks for what comes from byte `at` on.
    async fn answer(
        &self,
        reference: &Reference,
        layer: &Layer,
        at: u64,
    ) -> Result<Response, Fault> {
        let mut headers = HeaderMap::new();
        if at > 0 {
            let range = HeaderValue::try_from(format!("bytes={at}-"));
            headers.extend(range.ok().map(|range| (RANGE, range)));
        }
        let what = format!("blobs/{}", layer.digest);
        let answer = self.registries.get(reference, &what, &headers).await?;
        match answer.status().as_u16() {
            416 => Err(wrong::mismatch(
                reference,
                &format!("it has no more than {at} of {} bytes", layer.bytes),
            )),
            206 if begins_at(&answer) != Some(at) => Err(wrong::mismatch(
                reference,
                &format!("it sends another part than from byte {at} on"),
            )),
            _ => Ok(answer),
        }
    }

    async fn written(
        &self,
        reference: &Reference,
        layer: &Layer,
        file: &mut File,
        from: u64,
        mut answer: Response,
    ) -> Piece {
        let mut at = from;
        let writing = async {
            if answer.status() != 206 {
                // It does not know of parts, and sends all of it again.
                at = emptied(file).await?;
            }
            let silence = self.registries.silence();
            let (mut until, mut since) = (Instant::now() + silence, 0);
            while let Some(piece) = timeout_at(until, answer.chunk())
                .await
                .map_err(|_late| wrong::slow(reference, since, silence))?
                .map_err(|error| wrong::broken(reference, error))?
            {
                let length = piece.len() as u64;
                at = at.saturating_add(length);
                if at > layer.bytes {
                    return Err(wrong::too_much(reference, layer.bytes));
                }
                let written = file.write_all(&piece).await;
                written.map_err(|error| unwritable(&error))?;
                since += length;
                if since >= HEADWAY {
                    (until, since) = (Instant::now() + silence, 0);
                }
            }
            match at == layer.bytes {
                true => Ok(()),
                false => Err(wrong::unreachable(
                    reference,
                    &format!("it ended after {at} of {} bytes", layer.bytes),
                )),
            }
        };
        let ended = writing.await;
        Piece { reached: at, ended }
    }
}

/// Begins the file anew.
async fn emptied(file: &mut File) -> Result<u64, Fault> {
    let cut = file.set_len(0).await;
    cut.map_err(|error| unwritable(&error))?;
    { file.rewind().await }.map_err(|error| unwritable(&error))
}

/// Where a part begins.
fn begins_at(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (first, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    first.parse().ok()
}
