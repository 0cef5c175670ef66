//! Manifests that were pulled, by digest.
//!
//! **Invariant:** no more of them than a number; one that is given out is what it is called.

use std::{fs, time::SystemTime};

use sha2::{Digest as _, Sha256};
use stagepages_client::hex;

use super::{Cache, files, gone, unwritable};
use crate::{blocking::blocking, fault::Fault};

/// Manifests that are kept; each is 4 MiB at most, and most are a few hundred bytes.
const MANIFESTS: usize = 256;

impl Cache {
    /// A manifest that was kept, and is needed: others go before it.
    pub(in crate::registry) async fn manifest(&self, digest: &str) -> Option<Vec<u8>> {
        let path = self.path("manifests", digest);
        let bytes = tokio::fs::read(&path).await.ok()?;
        let found = format!("sha256:{}", hex::digits(&Sha256::digest(&bytes)));
        let touched = blocking(move || fs::File::open(path)?.set_modified(SystemTime::now()));
        // It is as good where another went for it meanwhile.
        drop(touched.await);
        (found == digest).then_some(bytes)
    }

    /// Keeps a manifest. What was needed longest ago goes where there are many.
    pub(in crate::registry) async fn keep_manifest(
        &self,
        digest: &str,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let path = self.path("manifests", digest);
        let (to, folder, bytes) = (
            path.clone(),
            self.directory.join("manifests"),
            bytes.to_vec(),
        );
        blocking(move || {
            let mut all = files(&folder)?;
            all.sort_by_key(|it| it.modified);
            let more = (all.len() + 1).saturating_sub(MANIFESTS);
            for old in all.iter().take(more) {
                gone(fs::remove_file(&old.path))?;
            }
            let new = tempfile::NamedTempFile::new_in(&folder)?;
            fs::write(new.path(), bytes)?;
            new.persist(to)?;
            Ok(())
        })
        .await
        .map_err(|error| unwritable(&path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> String {
        format!("sha256:{}", hex::digits(&Sha256::digest(bytes)))
    }

    #[tokio::test]
    async fn a_manifest_that_is_needed_stays_where_there_are_many() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 0).unwrap();
        let keep = async |text: &str| {
            let digest = digest(text.as_bytes());
            cache.keep_manifest(&digest, text.as_bytes()).await.unwrap();
            cache.path("manifests", &digest)
        };
        for number in 0..MANIFESTS {
            let path = keep(&number.to_string()).await;
            let old = SystemTime::UNIX_EPOCH;
            fs::File::open(path).unwrap().set_modified(old).unwrap();
        }
        let needed = digest(b"7");
        assert!(cache.manifest(&needed).await.is_some());
        for number in MANIFESTS..2 * MANIFESTS - 1 {
            keep(&number.to_string()).await;
        }
        assert!(cache.manifest(&needed).await.is_some());
        let left = files(&cache.directory.join("manifests")).unwrap();
        assert_eq!(left.len(), MANIFESTS);
    }
}
