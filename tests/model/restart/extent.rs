//! The daemon dies while its host installs an extent: the host completes it, and everything can be found.
//!
//! **Invariant:** what the new daemon says of the launch is held against what was staged, what it says of a call against what the call asked for.
use stagepages_kernel_model::Event;
use stagepages_proto::v1::{
    Launch, LaunchSpec, LaunchState, OrderingMode, PageType, Platform, StagePagesRequest,
    StagePagesResponse,
};
use stagepages_tests::{
    Contents, Extent, Key, PAGE, answered, page, refused, region, snapshot, spec, when,
};

use super::Mortal;
use crate::faults::left;
use crate::measured::{Measured, hex};
use crate::rig::Mark;
use crate::trace::{checks, order};

/// Pages of the extent that is interrupted: as many as one message takes.
const LONG: u64 = 512;
/// Its first page.
const FIRST: u64 = 0x100;
const CHUNK: u64 = 64;

/// A launch whose calls are numbered, or named by their numbers.
struct Story {
    mark: Mark,
    launch: Launch,
    mode: OrderingMode,
    measured: Measured,
    contents: Contents,
}

impl Story {
    async fn begin(mortal: &Mortal, mode: OrderingMode) -> Self {
        let asked = LaunchSpec {
            vcpus: 2,
            ordering: mode.into(),
            ..spec(mortal.rig.platform, [region(page(0), 2048 * PAGE)])
        };
        Self {
            mark: mortal.rig.mark(),
            launch: mortal.rig.api.create("", asked).await.unwrap(),
            mode,
            measured: Measured::default(),
            contents: Contents::new(211),
        }
    }

    fn key(&self, number: u64) -> Key {
        match self.mode {
            OrderingMode::Sequenced => Key::Number(number),
            OrderingMode::Unordered | OrderingMode::Unspecified => {
                Key::name(format!("call {number}"))
            }
        }
    }

    /// A call with NORMAL pages that are going to be installed.
    fn call(&mut self, number: u64, gfn: u64, pages: u64) -> StagePagesRequest {
        let data = self.contents.pages(pages);
        self.measured.add(gfn, PageType::Normal, &data);
        let extent = Extent::normal(page(gfn), data);
        self.key(number).request(&self.launch.name, extent)
    }

    async fn stage(&mut self, mortal: &Mortal, number: u64, gfn: u64, pages: u64) -> Staged {
        let request = self.call(number, gfn, pages);
        let answer = mortal.rig.api.stage_request(request.clone()).await.unwrap();
        assert_eq!((answer.installed_pages, answer.stop), (pages, None));
        (request, answer)
    }

    /// The answer to a call is told again, by its key and to a repeat; the key takes nothing else.
    async fn is_kept(&self, mortal: &Mortal, number: u64, (request, answer): Staged) {
        let api = &mortal.rig.api;
        let kept = self.key(number).result(api, &self.launch.name).await;
        assert_eq!(kept.unwrap(), answer);
        assert_eq!(api.stage_request(request.clone()).await.unwrap(), answer);
        let other = StagePagesRequest {
            gpa: page(0x700).get(),
            ..request
        };
        let reason = match self.mode {
            OrderingMode::Sequenced => "SEQUENCE_CONFLICT",
            OrderingMode::Unordered | OrderingMode::Unspecified => "REQUEST_ID_REUSED",
        };
        refused(api.stage_request(other).await, reason);
    }

    fn events(&self, mortal: &Mortal) -> Vec<Event> {
        mortal.events(self.mark, &self.launch)
    }

    /// Count, digest and ledger are those of all pages so far; `runs` in their order.
    async fn agrees(&self, mortal: &Mortal, runs: &[(u64, u64)]) {
        let now = mortal.rig.api.get(&self.launch.name).await.unwrap();
        assert_eq!(
            (now.state(), now.installed_pages, now.host_pid),
            (
                LaunchState::Staging,
                self.measured.pages(),
                self.launch.host_pid
            )
        );
        left::check_digest(&mortal.rig, &now, &self.measured);
        let runs: Vec<_> = runs
            .iter()
            .map(|(gfn, pages)| (*gfn, *pages, PageType::Normal))
            .collect();
        assert_eq!(left::runs(&mortal.rig, &now.name).await, runs);
        left::check_guest(&self.events(mortal), self.measured.pages());
    }
}

/// A call and its answer.
type Staged = (StagePagesRequest, StagePagesResponse);

async fn is_completed(platform: Platform, mode: OrderingMode) {
    let mut mortal = Mortal::start(platform).await;
    let other = mortal.launch("other", 64).await;
    let extent = Extent::normal(page(0), Contents::new(3).pages(5));
    mortal.rig.api.stage(&other.name, extent).await.unwrap();
    let before = snapshot(&mortal.rig.api, &other.name).await;

    mortal.slow_down();
    let mut story = Story::begin(&mortal, mode).await;
    let name = story.launch.name.clone();
    let first = story.stage(&mortal, 0, 0, 8).await;
    let request = story.call(1, FIRST, LONG);
    let (api, sent) = (mortal.rig.api.clone(), request.clone());
    let call = tokio::spawn(async move { api.stage_request(sent).await });
    when(&mortal.bench, &name, "the first chunk", |launch| {
        launch.installed_pages > 8
    })
    .await;
    let sev = sev_file(&story, &mortal);
    mortal.bench.daemon.kill_daemon();
    let broken = call.await.unwrap().unwrap_err();
    assert!(broken.details().is_empty(), "{broken:?}");
    mortal.reborn().await;

    // It was not asked anything new, and the extent that it had is all there.
    answered(&mortal.bench, &name).await;
    story.agrees(&mortal, &[(0, 8), (FIRST, LONG)]).await;
    let kept = story.key(1).result(&mortal.rig.api, &name).await.unwrap();
    assert_eq!(
        (kept.installed_pages, kept.next_gpa, kept.stop),
        (LONG, page(FIRST + LONG).get(), None)
    );
    story.is_kept(&mortal, 0, first).await;
    story.is_kept(&mortal, 1, (request, kept)).await;
    assert_eq!(snapshot(&mortal.rig.api, &other.name).await, before);

    // Staging goes on where it was, to its end.
    if mode == OrderingMode::Sequenced {
        let early = Extent::normal(page(0x500), vec![1; 4096]);
        let early = Key::Number(3).request(&name, early);
        let refusal = refused(mortal.rig.api.stage_request(early).await, "OUT_OF_SEQUENCE");
        assert_eq!(refusal.number("next_sequence"), 2);
    }
    let last = story.stage(&mortal, 2, 0x400, 70).await;
    story.is_kept(&mortal, 2, last).await;
    let runs = [(0, 8), (FIRST, LONG), (0x400, 70)];
    story.agrees(&mortal, &runs).await;
    assert_eq!(sev_file(&story, &mortal), sev, "the same /dev/sev");
    let finished = mortal.rig.api.finish(&name, vec![]).await.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    is_sound(&story, &mortal);
    mortal.rig.api.abort(&name).await.unwrap();
    mortal.end().await;
}

/// The trace of the whole launch reads as that of one which nobody disturbed.
fn is_sound(story: &Story, mortal: &Mortal) {
    let events = story.events(mortal);
    checks::every_rule(&events, CHUNK).unwrap();
    let asked = left::installs(&events);
    let asked: Vec<_> = asked.iter().map(|note| note.gfn.zip(note.pages)).collect();
    let chunks = (FIRST..FIRST + LONG).step_by(64).map(|gfn| (gfn, CHUNK));
    let expected = std::iter::once((0, 8))
        .chain(chunks)
        .chain([(0x400, CHUNK), (0x400 + CHUNK, 6)]);
    assert_eq!(asked, expected.map(Some).collect::<Vec<_>>());
    if story.launch.spec.as_ref().unwrap().platform() == Platform::Tdx {
        order::tdx(&events).unwrap();
        let mut told = events.iter().filter_map(checks::digest_told);
        let digest = hex(&story.measured.tdx());
        assert_eq!(told.next(), Some(digest.as_str()));
    } else {
        order::snp(&events).unwrap();
        checks::one_sev_descriptor(&events).unwrap();
    }
}

/// On SNP, the file that the host has under the number which it gave as /dev/sev.
fn sev_file(story: &Story, mortal: &Mortal) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let events = story.events(mortal);
    let mut numbers = events.iter().filter_map(|event| event.ended()?.sev_fd);
    let number = numbers.next()?;
    let file = format!("/proc/{}/fd/{number}", story.launch.host_pid);
    let file = std::fs::metadata(file).expect("/dev/sev is open until the finish");
    Some((file.dev(), file.ino()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extent_of_snp_that_a_host_has_is_completed_without_a_daemon() {
    is_completed(Platform::SevSnp, OrderingMode::Unordered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_numbered_extent_of_snp_that_a_host_has_is_completed_without_a_daemon() {
    is_completed(Platform::SevSnp, OrderingMode::Sequenced).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extent_of_tdx_that_a_host_has_is_completed_without_a_daemon() {
    is_completed(Platform::Tdx, OrderingMode::Unordered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_numbered_extent_of_tdx_that_a_host_has_is_completed_without_a_daemon() {
    is_completed(Platform::Tdx, OrderingMode::Sequenced).await;
}
