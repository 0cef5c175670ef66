//! AbortLaunch in the middle of a big extent: it ends between two chunks, counts what firmware did, and gives the memory back.
//!
//! **Invariant:** the count is held against what the model installed, never against what was asked for.
use stagepages_proto::v1::{AbortReason, LaunchState, PageType, Platform};
use stagepages_tests::{Extent, Key, PAGE, SharedMemory, eventually, over, page, refused, when};

use super::Mortal;
use crate::faults::left;
use crate::trace::checks;

/// Seconds of firmware's time.
const PAGES: u64 = 4096;
const CHUNK: u64 = 64;

async fn is_cut_off(platform: Platform) {
    let mut mortal = Mortal::start(platform).await;
    mortal.slow_down();
    let mark = mortal.rig.mark();
    let launch = mortal.launch("vm", PAGES).await;
    let name = &launch.name;
    let key = Key::name("big");
    let extent = Extent::length(page(0), PageType::Normal, PAGES * PAGE);
    let (api, request) = (mortal.rig.api.clone(), key.request(name, extent));
    let call = tokio::spawn(async move { api.stage_request(request).await });
    when(&mortal.bench, name, "the first chunk", |launch| {
        launch.installed_pages > 0
    })
    .await;
    let memory = SharedMemory::held_by(mortal.bench.daemon.host(&launch));
    let aborted = mortal.rig.api.abort(name).await.unwrap();
    assert_eq!(
        (aborted.state(), aborted.abort.clone().unwrap().reason()),
        (LaunchState::Aborted, AbortReason::Requested)
    );

    let refusal = refused(call.await.unwrap(), "ABORTED_DURING_CALL");
    let counted = refusal.number("installed_pages");
    refusal.state("ABORTED").at(page(counted));
    assert!(0 < counted && counted < PAGES, "{refusal:?}");
    assert!(counted.is_multiple_of(CHUNK), "whole chunks: {refusal:?}");
    assert_eq!(aborted.installed_pages, counted);
    let ended = over(&mortal.bench, name).await;
    assert_eq!(ended.installed_pages, counted);
    let events = mortal.events(mark, &launch);
    checks::every_rule(&events, CHUNK).unwrap();
    left::check_guest(&events, counted);
    assert_eq!(
        left::installs(&events).len() as u64,
        counted / CHUNK,
        "nothing was asked for behind the abort"
    );
    eventually("the release of the launch's memory", async || {
        memory.holders().is_empty().then_some(())
    })
    .await;

    // Whoever asks later, and whomever, is told the same.
    for _ in 0..2 {
        let kept = key.result(&mortal.rig.api, name).await;
        let kept = refused(kept, "ABORTED_DURING_CALL");
        kept.installed(counted).state("ABORTED").at(page(counted));
        assert_eq!(mortal.rig.api.get(name).await.unwrap(), ended);
        mortal.renew_service().await;
    }
    mortal.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_extent_of_snp_is_cut_off_between_chunks() {
    is_cut_off(Platform::SevSnp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_extent_of_tdx_is_cut_off_between_chunks() {
    is_cut_off(Platform::Tdx).await;
}
