//! A host dies while it stages: its launch is over, and nothing of it stays.
//!
//! **Invariant:** what is left is looked for among the files of every process of this machine.
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stagepages_proto::v1::{AbortReason, LaunchState, PageType, Platform};
use stagepages_tests::{
    Contents, Extent, PAGE, SharedMemory, eventually, over, page, refused, when,
};

use super::Mortal;
use crate::faults::left;
use crate::trace::checks;

/// Pages of the extent that is interrupted: seconds of firmware's time.
const PAGES: u64 = 1024;
const ID: &str = "vm";

/// Descriptors of supervisor and daemon.
fn descriptors(mortal: &Mortal) -> usize {
    let daemon = &mortal.bench.daemon;
    let of = |process: Pid| fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    of(daemon.pid()) + of(daemon.daemon_pid())
}

/// A launch of this name is staged, and its host is killed at that.
async fn dies(mortal: &Mortal) {
    let mark = mortal.rig.mark();
    let launch = mortal.launch(ID, PAGES).await;
    let (api, name) = (mortal.rig.api.clone(), launch.name.clone());
    let call = tokio::spawn(async move {
        let extent = Extent::length(page(0), PageType::Normal, PAGES * PAGE);
        api.stage(&name, extent).await
    });
    let seen = when(&mortal.bench, &launch.name, "the first chunk", |launch| {
        launch.installed_pages > 0
    })
    .await;
    let host = mortal.bench.daemon.host(&launch);
    let memory = SharedMemory::held_by(host);
    kill(host, Signal::SIGKILL).unwrap();

    refused(call.await.unwrap(), "HOST_DIED").state("ABORTED");
    let ended = over(&mortal.bench, &launch.name).await;
    let cause = ended.abort.unwrap();
    assert_eq!(
        (cause.reason(), cause.signal),
        (AbortReason::HostDied, Signal::SIGKILL as i32),
        "{cause:?}"
    );
    assert_eq!(mortal.bench.daemon.find_host(&launch), None);
    // What was told is true; of what came after nobody was told.
    let events = mortal.events(mark, &launch);
    let installed: u64 = left::installs(&events)
        .iter()
        .filter_map(|note| note.pages_done)
        .sum();
    assert!(
        seen.installed_pages <= ended.installed_pages && ended.installed_pages <= installed,
        "{} pages seen, {} told, {installed} installed",
        seen.installed_pages,
        ended.installed_pages
    );
    assert!(installed < PAGES, "it was in the middle of it");
    checks::chunks_are_bounded(&events, 64).unwrap();
    checks::no_page_is_submitted_twice(&events).unwrap();
    eventually("the release of the launch's memory", async || {
        memory.holders().is_empty().then_some(())
    })
    .await;
    mortal.rig.api.delete(&launch.name).await.unwrap();
}

async fn leaves_nothing(platform: Platform) {
    let mortal = Mortal::start(platform).await;
    let before = descriptors(&mortal);
    for _ in 0..3 {
        mortal.slow_down();
        dies(&mortal).await;
    }
    eventually("the close of every descriptor", async || {
        (descriptors(&mortal) <= before).then_some(())
    })
    .await;

    // The next one of this name is nobody's heir.
    mortal.rig.play(&mortal.rig.script());
    let mark = mortal.rig.mark();
    let launch = mortal.launch(ID, PAGES).await;
    assert_eq!(
        (launch.state(), launch.installed_pages),
        (LaunchState::Created, 0)
    );
    let extent = Extent::normal(page(0), Contents::new(5).pages(100));
    mortal.rig.api.stage(&launch.name, extent).await.unwrap();
    let finished = mortal.rig.api.finish(&launch.name, vec![]).await.unwrap();
    assert_eq!(
        (finished.state(), finished.installed_pages),
        (LaunchState::Finished, 100)
    );
    checks::every_rule(&mortal.events(mark, &launch), 64).unwrap();
    mortal.rig.api.abort(&launch.name).await.unwrap();
    mortal.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_snp_that_dies_leaves_nothing() {
    leaves_nothing(Platform::SevSnp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_tdx_that_dies_leaves_nothing() {
    leaves_nothing(Platform::Tdx).await;
}
