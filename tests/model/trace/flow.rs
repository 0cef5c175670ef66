//! A whole launch with pages of every type, in big extents and small, from one caller and from several, on two regions.
//!
//! **Invariant:** what was installed in which order is read from the ledger, from the trace and from the guest's memory, and all of them agree with what was staged.
use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use stagepages_kernel_model::Event;
use stagepages_kvm::Gpa;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    Launch, LaunchSpec, LedgerOrder, PageType, Platform, SetVcpuStateRequest, VcpuState,
};
use stagepages_tests::{Bench, Contents, Extent, PAGE, ledger, page, region, spec};

use super::checks;
use crate::faults::left;
use crate::measured::{Measured, hex};
use crate::pages::{contents, extent};
use crate::rig::{Mark, Rig, of_process};

/// Pages of the first region, from GFN 0 on.
const LOW: u64 = 2048;
/// The second region: its first GFN, and its pages.
const HIGH: (u64, u64) = (0x4_0000, 256);

const VCPUS: u32 = 2;

/// A launch, and all that was staged into it by GFN.
pub(super) struct Flow<'a> {
    bench: &'a Bench,
    rig: &'a Rig,
    mark: Mark,
    pub(super) launch: Launch,
    staged: BTreeMap<u64, (PageType, Bytes)>,
    contents: Contents,
    /// No vCPU of it was told how to begin.
    at_reset: bool,
}

impl<'a> Flow<'a> {
    /// A launch of two vCPUs.
    pub(super) async fn create(bench: &'a Bench, rig: &'a Rig) -> Self {
        let asked = LaunchSpec {
            vcpus: VCPUS,
            ..spec(
                rig.platform,
                [
                    region(page(0), LOW * PAGE),
                    region(page(HIGH.0), HIGH.1 * PAGE),
                ],
            )
        };
        Self {
            bench,
            rig,
            mark: rig.mark(),
            launch: rig.api.create("", asked).await.unwrap(),
            staged: BTreeMap::new(),
            contents: Contents::new(11),
            at_reset: true,
        }
    }

    /// Says how a vCPU begins.
    pub(super) async fn set_vcpu(&mut self, index: u32, state: State) {
        let request = SetVcpuStateRequest {
            name: self.launch.name.clone(),
            uid: String::new(),
            state: Some(VcpuState {
                index,
                state: Some(state),
            }),
        };
        let set = self.rig.api.launches.clone().set_vcpu_state(request).await;
        set.unwrap();
        self.at_reset = false;
    }

    /// Notes what is going to be staged, and asks for it.
    fn extent(&mut self, gfn: u64, page_type: PageType, pages: u64) -> Extent {
        let data = contents(&mut self.contents, page_type, pages);
        for (gfn, at) in (gfn..).zip((0..data.len()).step_by(4096)) {
            let page = data.slice(at..at + 4096);
            self.staged.insert(gfn, (page_type, page));
        }
        extent(gfn, page_type, &data)
    }

    pub(super) async fn stage(&mut self, gfn: u64, page_type: PageType, pages: u64) {
        let extent = self.extent(gfn, page_type, pages);
        let staged = self.rig.api.stage(&self.launch.name, extent).await.unwrap();
        assert_eq!((staged.installed_pages, staged.stop), (pages, None));
    }

    /// A run of zeros as contents.
    pub(super) async fn stage_blank(&mut self, gfn: u64, pages: u64) {
        for gfn in gfn..gfn + pages {
            let zeros = (PageType::Normal, Bytes::from(vec![0; 4096]));
            self.staged.insert(gfn, zeros);
        }
        let extent = Extent::length(page(gfn), PageType::Normal, pages * PAGE);
        self.rig.api.stage(&self.launch.name, extent).await.unwrap();
    }

    /// Callers that come together, each with three extents of `pages` pages.
    pub(super) async fn crowd(&mut self, gfn: u64, pages: u64) {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..4 {
            let extents: Vec<_> = (0..3)
                .map(|nth| self.extent(gfn + (caller * 3 + nth) * pages, PageType::Normal, pages))
                .collect();
            let (api, name) = (self.rig.api.clone(), self.launch.name.clone());
            callers.spawn(async move {
                for extent in extents {
                    let staged = api.stage(&name, extent).await.unwrap();
                    assert_eq!(staged.installed_pages, pages);
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
    }

    /// What the host did so far.
    pub(super) fn events(&self) -> Vec<Event> {
        of_process(&self.rig.events(self.mark), self.launch.host_pid)
    }

    /// What was staged, in the order of the ledger.
    async fn by_ledger(&self) -> Measured {
        let mut measured = Measured::default();
        for run in ledger(
            &self.rig.api,
            &self.launch.name,
            LedgerOrder::Installation,
            0,
        )
        .await
        {
            for gfn in (run.gpa / PAGE..).take(usize::try_from(run.pages).expect("few pages")) {
                let (page_type, bytes) = &self.staged[&gfn];
                assert_eq!(run.page_type(), *page_type, "GFN {gfn:#x}");
                measured.add(gfn, *page_type, bytes);
            }
        }
        measured
    }

    /// What the guest's memory has, in the order of the trace.
    fn by_guest(&self) -> Measured {
        let memory = |bytes| {
            self.bench
                .memory_of(&self.launch, bytes)
                .expect("a model's")
        };
        let (low, high) = (memory(LOW * PAGE), memory(HIGH.1 * PAGE));
        let events = self.events();
        let mut measured = Measured::default();
        for note in left::installs(&events) {
            let (Some(first), Some(done)) = (note.gfn, note.pages_done) else {
                continue;
            };
            for gfn in first..first + done {
                let (region, at) = if gfn < LOW {
                    (&low, gfn)
                } else {
                    (&high, gfn - HIGH.0)
                };
                let bytes = Bytes::from(region.read(Gpa::new(at * PAGE), 4096));
                let (page_type, submitted) = &self.staged[&gfn];
                assert!(
                    bytes == *submitted,
                    "other bytes at GFN {gfn:#x} than were staged"
                );
                measured.add(gfn, *page_type, &bytes);
            }
        }
        measured
    }

    /// Ledger, digest, trace and guest agree on everything so far; the digest that is expected at the end is returned.
    pub(super) async fn agrees(&self) -> Bytes {
        let (ledger, guest) = (self.by_ledger().await, self.by_guest());
        let all = self.staged.len() as u64;
        assert_eq!((ledger.pages(), guest.pages()), (all, all));
        let digest = |pages| checks::digest_of(self.rig.platform, pages, VCPUS);
        assert_eq!(hex(&digest(&ledger)), hex(&digest(&guest)));
        let now = self.rig.api.get(&self.launch.name).await.unwrap();
        assert_eq!(now.measured_pages, now.installed_pages);
        // What a vCPU that was told how to begin adds, the model knows when it is finished.
        if self.at_reset || self.rig.platform == Platform::Tdx {
            assert_eq!(hex(&now.launch_digest), hex(&digest(&ledger)));
        }
        now.launch_digest
    }

    /// Nothing that the host has opened survives an exec.
    pub(super) fn closes_all_on_exec(&self) {
        const CLOEXEC: u32 = 0o2_000_000;
        let host = self.launch.host_pid;
        let mut opened = 0;
        for entry in fs::read_dir(format!("/proc/{host}/fd")).expect("the host lives") {
            let link = entry.unwrap().path();
            let number = link.file_name().unwrap().to_str().unwrap().to_owned();
            // One that was closed since it was listed has nothing to say.
            let Ok(target) = fs::read_link(&link) else {
                continue;
            };
            // Whoever starts the tests may leave them descriptors of its own, and the tests leave them to the daemon.
            let is_inherited = fs::read_link(format!("/proc/self/fd/{number}"));
            if is_inherited.is_ok_and(|own| own == target) || ["0", "1", "2"].contains(&&*number) {
                continue;
            }
            let Ok(info) = fs::read_to_string(format!("/proc/{host}/fdinfo/{number}")) else {
                continue;
            };
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = u32::from_str_radix(flags.expect("flags").trim(), 8).unwrap();
            assert_ne!(flags & CLOEXEC, 0, "{} survives an exec", target.display());
            opened += 1;
        }
        assert!(opened > 4, "a host with {opened} descriptors");
    }

    /// The digest that the platform ended up with.
    pub(super) fn final_digest(&self) -> String {
        let events = self.events();
        let mut digests = events.iter().filter_map(checks::digest_told);
        let digest = digests.next().expect("a launch that was finished");
        assert_eq!(digests.next(), None, "finished twice");
        digest.to_owned()
    }

    /// Every rule that holds of any trace.
    pub(super) fn follows_the_rules(&self, limit: u64) {
        let events = self.events();
        checks::every_rule(&events, limit).unwrap();
        let longest = left::installs(&events)
            .iter()
            .filter_map(|note| note.pages)
            .max();
        assert_eq!(longest, Some(limit), "big extents use what a call may have");
    }
}
