//! The image of all rounds, and whether a launch holds it: exactly, and with the digest of a run that nobody disturbed.
use bytes::Bytes;
use stagepages_proto::v1::{LedgerOrder, OrderingMode, Platform};
use stagepages_tests::{Bench, Contents, Extent, PAGE, ledger, page, page_hashes, region, spec};

use super::plan::{Task, plan};
use crate::calls::Key;

/// MiB of the image: enough to be cut off many times, or what the caller asks for.
fn mib() -> u64 {
    std::env::var("STAGEPAGES_IMAGE_MIB").map_or(4, |mib| {
        mib.parse().expect("STAGEPAGES_IMAGE_MIB is a number")
    })
}

#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) bytes: Bytes,
    pub(crate) pages: u64,
    hashes: Vec<[u8; 32]>,
    /// Of a SEQUENCED launch that was staged without any trouble; empty where the platform has none.
    digest: Bytes,
}

impl Image {
    pub(crate) async fn new(bench: &Bench) -> Self {
        let pages = (mib() << 20) / PAGE;
        let mut bytes = Contents::new(0x1337).pages(pages).to_vec();
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
        let mut image = Self {
            bytes: bytes.into(),
            pages,
            hashes,
            digest: Bytes::new(),
        };
        image.digest = image.undisturbed(bench).await;
        image
    }

    /// Creates a launch that the image fills.
    pub(crate) async fn launch(&self, bench: &Bench, mode: OrderingMode) -> String {
        let mut spec = spec(bench.platform, [region(page(0), self.pages * PAGE)]);
        spec.ordering = mode.into();
        bench.api.create("", spec).await.unwrap().name
    }

    /// The extent of a task.
    pub(crate) fn extent(&self, task: &Task) -> Extent {
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
        assert_eq!(digest.is_empty(), bench.platform != Platform::Sim);
        digest
    }

    /// Holds a launch against the image, ends it, and returns its digest.
    pub(crate) async fn end(&self, bench: &Bench, name: &str, mode: OrderingMode) -> Bytes {
        let runs = ledger(&bench.api, name, LedgerOrder::Gpa, 0).await;
        let installed = page_hashes(&runs);
        let expected = (0..).map(page).zip(self.hashes.iter().copied().map(Some));
        assert!(
            installed.into_iter().eq(expected),
            "the ledger of {name} does not hold the image"
        );
        let verified = bench.api.verify(name).await.unwrap();
        assert!(verified.consistent, "{verified:?}");
        assert_eq!(verified.contents_checked, self.pages, "{verified:?}");
        let launch = bench.api.get(name).await.unwrap();
        assert_eq!(launch.installed_pages, self.pages);
        if mode == OrderingMode::Sequenced {
            assert_eq!(
                launch.launch_digest, self.digest,
                "the digest of an undisturbed run"
            );
        }
        bench.api.abort(name).await.unwrap();
        bench.api.delete(name).await.unwrap();
        launch.launch_digest
    }
}
