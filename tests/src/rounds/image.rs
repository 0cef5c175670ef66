//! An image, and whether a launch holds it: exactly, and with the digest of a run that nobody disturbed.
use bytes::Bytes;
use stagepages_proto::v1::{LaunchSpec, LedgerOrder, OrderingMode, Platform};

use super::plan::{Task, plan};
use crate::api::Extent;
use crate::bench::Bench;
use crate::calls::Key;
use crate::contents::{Contents, PAGE, page};
use crate::ledger::{ledger, page_hashes};
use crate::spec::{region, spec};

/// What is staged.
#[derive(Debug)]
pub struct Image {
    /// Its contents.
    pub bytes: Bytes,
    /// How many pages.
    pub pages: u64,
    /// Of each page.
    pub hashes: Vec<[u8; 32]>,
    /// Of a SEQUENCED launch that was staged without any trouble; empty where the platform has none.
    pub digest: Bytes,
}

impl Image {
    /// Contents without a digest to compare with. Another `seed` gives other bytes in most pages.
    ///
    /// # Panics
    /// If that many bytes do not fit the address space.
    #[must_use]
    pub fn random(seed: u64, pages: u64) -> Self {
        let mut bytes = Contents::new(seed).pages(pages).to_vec();
        // Some pages of zeros, and some like their neighbours: nothing may rest on all being different.
        for (number, page) in bytes.chunks_mut(4096).enumerate() {
            match number % 16 {
                3 => page.fill(0),
                7 | 8 => page.fill(7),
                _ => {}
            }
        }
        let hashes = bytes
            .chunks(4096)
            .map(|page| blake3::hash(page).into())
            .collect();
        Self {
            bytes: bytes.into(),
            pages,
            hashes,
            digest: Bytes::new(),
        }
    }

    /// The same image for each platform, with its digest there.
    ///
    /// # Panics
    /// If staging it is refused.
    pub async fn new(bench: &Bench, pages: u64) -> Self {
        let mut image = Self::random(0x1337, pages);
        image.digest = image.undisturbed(bench).await;
        image
    }

    /// A launch that the image fills.
    #[must_use]
    pub fn spec(&self, platform: Platform, mode: OrderingMode) -> LaunchSpec {
        LaunchSpec {
            ordering: mode.into(),
            ..spec(platform, [region(page(0), self.pages * PAGE)])
        }
    }

    /// Creates a launch that the image fills.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn launch(&self, bench: &Bench, mode: OrderingMode) -> String {
        let spec = self.spec(bench.platform, mode);
        bench.api.create("", spec).await.unwrap().name
    }

    /// The extent of a task.
    ///
    /// # Panics
    /// If the task is not of this image.
    #[must_use]
    pub fn extent(&self, task: &Task) -> Extent {
        let at = |page: u64| usize::try_from(page * PAGE).unwrap();
        let bytes = self
            .bytes
            .slice(at(task.first)..at(task.first + task.pages));
        Extent::normal(page(task.first), bytes)
    }

    async fn undisturbed(&self, bench: &Bench) -> Bytes {
        let name = self.launch(bench, OrderingMode::Sequenced).await;
        for (number, task) in (0..).zip(plan(self.pages, &mut Contents::new(0), "")) {
            let request = Key::Number(number).request(&name, self.extent(&task));
            bench.api.stage_request(request).await.unwrap();
        }
        let digest = self.end(bench, &name, OrderingMode::Unordered).await;
        let bytes = bench.info().await.launch_digest_bytes;
        assert_eq!(u32::try_from(digest.len()), Ok(bytes));
        digest
    }

    /// Holds a launch against the image, and returns its digest.
    ///
    /// # Panics
    /// If it does not hold the image.
    pub async fn check(&self, bench: &Bench, name: &str, mode: OrderingMode) -> Bytes {
        let runs = ledger(&bench.api, name, LedgerOrder::Gpa, 0).await;
        let installed = page_hashes(&runs);
        let expected = (0..).map(page).zip(self.hashes.iter().copied().map(Some));
        assert!(
            installed.into_iter().eq(expected),
            "the ledger of {name} does not hold the image"
        );
        let verified = bench.api.verify(name).await.unwrap();
        assert!(verified.consistent, "{verified:?}");
        let seen = bench.verified(self.pages);
        assert_eq!(verified.contents_checked, seen, "{verified:?}");
        let launch = bench.api.get(name).await.unwrap();
        assert_eq!(launch.installed_pages, self.pages);
        if mode == OrderingMode::Sequenced {
            assert_eq!(
                launch.launch_digest, self.digest,
                "the digest of an undisturbed run"
            );
        }
        launch.launch_digest
    }

    /// As [`Self::check`], and ends the launch.
    ///
    /// # Panics
    /// If it does not hold the image.
    pub async fn end(&self, bench: &Bench, name: &str, mode: OrderingMode) -> Bytes {
        let digest = self.check(bench, name, mode).await;
        bench.api.abort(name).await.unwrap();
        bench.api.delete(name).await.unwrap();
        digest
    }
}
