//! Pages that were refused are nowhere: not in the error, not in the log, not in anybody's memory.
use stagepages_proto::v1::sim_fault::Effect;
use stagepages_proto::v1::{GetRejectedCpuidRequest, PageType, Platform};
use stagepages_tests::{
    Bench, DaemonOptions, Extent, Key, Marker, PAGE, SimScript, on_platform, page, refused, region,
};
use tonic::Status;

use super::memory::{connect, only_in, subjects, talkative};

#[tokio::test(flavor = "multi_thread")]
async fn refused_pages_are_neither_told_nor_kept() {
    subjects()
        .run(async |bench: &Bench| {
            let launch = bench.launch("refusing").await;
            let (held, marker) = (Marker::new(31), Marker::new(32));
            let api = connect(bench).await;
            let first = Extent::normal(page(0), held.pages(4));
            let first = Key::name("first").request(&launch.name, first);
            api.stage_request(first.clone()).await.unwrap();

            let marked = |first, pages| Extent::normal(page(first), marker.pages(pages));
            let cut = marker.pages(1).slice(..100);
            let other_content = Key::name("first").request(&launch.name, marked(0, 4));
            let refusals = [
                (marked(0, 4).request(&launch.name), "ALREADY_INSTALLED"),
                (other_content, "REQUEST_ID_REUSED"),
                (marked(1023, 2).request(&launch.name), "OUTSIDE_MEMORY"),
                (
                    Extent::normal(page(8), cut).request(&launch.name),
                    "INVALID_EXTENT",
                ),
                (
                    Extent::data(page(8), PageType::Zero, marker.pages(1)).request(&launch.name),
                    "INVALID_EXTENT",
                ),
                (
                    Extent::normal(page(8), marker.pages(513)).request(&launch.name),
                    "MESSAGE_TOO_LARGE",
                ),
                (marked(8, 1).request("launches/nobody"), "LAUNCH_NOT_FOUND"),
            ];
            for (request, reason) in refusals {
                let status = api.stage_request(request).await.unwrap_err();
                assert_silent(&marker, &status);
                refused::<()>(Err(status), reason);
            }
            drop(api);
            only_in(bench, &marker, "nowhere", |_| false).await;
            only_in(bench, &held, "in the guest", |found| found.guest).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_cpuid_page_is_kept_for_its_owner_until_the_launch_ends() {
    on_platform(
        &talkative(DaemonOptions::new()),
        Platform::Sim,
        async |bench| {
            let marker = Marker::new(41);
            // INVALID_PARAM: firmware has corrected the table.
            let spec = SimScript::new()
                .fault(page(3), 1, Effect::FirmwareStatus(0x16))
                .spec([region(page(0), 64 * PAGE)]);
            let launch = bench.api.create("cpuid", spec).await.unwrap();
            let api = connect(bench).await;
            let table = Extent::data(page(3), PageType::Cpuid, table(&marker));
            for _ in 0..2 {
                let status = api.stage(&launch.name, table.clone()).await.unwrap_err();
                assert_silent(&marker, &status);
                refused::<()>(Err(status), "CPUID_REJECTED");
            }
            let get = GetRejectedCpuidRequest {
                name: launch.name.clone(),
                uid: String::new(),
            };
            let mut launches = api.launches.clone();
            let kept = launches.get_rejected_cpuid(get).await.unwrap().into_inner();
            assert!(marker.is_in(&kept.rejected.unwrap().corrected_page));
            drop((launches, api));
            let found = only_in(bench, &marker, "in the host", |found| found.role == "host").await;
            assert!(!found.is_empty(), "it is promised to be kept");
            bench.api.abort(&launch.name).await.unwrap();
            only_in(bench, &marker, "gone", |_| false).await;
        },
    )
    .await;
}

/// A table that firmware corrects. The marker is behind its entries: what these hold, the processor's answers to CPUID, is in the error by design.
fn table(marker: &Marker) -> Vec<u8> {
    const HEADER: usize = 16;
    const ENTRY: usize = 48;
    let mut page = marker.pages(1).to_vec();
    page[..HEADER + 64 * ENTRY].fill(0);
    // One entry, of leaf 0xd: firmware wants 0x240 in its EBX (kernel.md, section 2.5).
    page[..4].copy_from_slice(&1_u32.to_le_bytes());
    page[HEADER..HEADER + 4].copy_from_slice(&0xd_u32.to_le_bytes());
    page
}

/// Asserts that an error tells nothing of the pages that it is about.
fn assert_silent(marker: &Marker, status: &Status) {
    let told = [status.message().as_bytes(), status.details()];
    assert!(!told.iter().any(|told| marker.is_in(told)), "{status:?}");
}
