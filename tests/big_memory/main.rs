//! A launch of 64 GiB, more than this machine may have: pages at its ends and in its middle, verified, aborted, and the memory comes back.
//!
//! The platforms take turns in one test, because the memory of the whole machine is what is watched.
//!
//! **Invariant:** only pages that are in the ledger are read, since reading another would create it.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

use stagepages_proto::v1::{LaunchState, PageType, Platform};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, GuestMemory, PAGE, eventually, on_platform, page,
    refused, region, snapshot, spec,
};

const BYTES: u64 = 64 << 30;
const PAGES: u64 = BYTES / PAGE;
/// Zeros that are staged as well, so that there is something to come back.
const RUN: u64 = 1 << 30;
/// How much less than before may be available in the end: what else the machine does meanwhile.
const SLACK: u64 = 256 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_of_64_gib_takes_pages_anywhere_and_gives_them_back() {
    // The default cap is twice the machine's memory, which may be less.
    let options = DaemonOptions::new().config("max_memory_bytes = 137438953472");
    on_platform(&options, Platform::Sim, stage_verify_abort).await;
    on_platform(&options, Platform::Kvm, stage_verify_abort).await;
}

async fn stage_verify_abort(bench: &Bench) {
    let before = available_bytes();
    let launch = bench
        .api
        .create("big", spec(bench.platform, [region(page(0), BYTES)]))
        .await
        .unwrap();
    let memory = GuestMemory::open(launch.host_pid, BYTES);
    let mut contents = Contents::new(64);
    let mut staged = Vec::new();
    for first in [0, PAGES - 1, PAGES / 2] {
        let data = contents.pages(1);
        let answer = bench
            .api
            .stage(&launch.name, Extent::normal(page(first), data.clone()))
            .await
            .unwrap();
        assert_eq!((answer.installed_pages, answer.stop), (1, None));
        staged.push((first, data));
    }
    snapshot(&bench.api, &launch.name).await;
    let zeros = Extent::length(page(PAGES / 4), PageType::Normal, RUN);
    assert_eq!(
        bench
            .api
            .stage(&launch.name, zeros)
            .await
            .unwrap()
            .installed_pages,
        RUN / PAGE
    );
    refused(
        bench
            .api
            .stage(
                &launch.name,
                Extent::length(page(PAGES), PageType::Zero, PAGE),
            )
            .await,
        "OUTSIDE_MEMORY",
    )
    .at(page(PAGES));
    snapshot(&bench.api, &launch.name).await;
    for (first, data) in &staged {
        assert_eq!(memory.read(page(*first), data.len()), *data, "page {first}");
    }
    let during = available_bytes();
    assert!(
        during + RUN / 2 < before,
        "a gigabyte is installed, but available memory went from {before} to {during} bytes"
    );

    // An open /proc/PID/mem holds no memory; drop it all the same, so that nothing of the test can.
    drop(memory);
    let aborted = bench.api.abort(&launch.name).await.unwrap();
    assert_eq!(
        (aborted.state(), aborted.installed_pages),
        (LaunchState::Aborted, RUN / PAGE + 3)
    );
    // The kernel gives up the structures of so large a memslot with a delay.
    eventually("the memory of 64 GiB to come back", async || {
        let released = bench
            .api
            .get(&launch.name)
            .await
            .unwrap()
            .resources_released;
        (released && available_bytes() + SLACK > before).then_some(())
    })
    .await;
    bench.api.delete(&launch.name).await.unwrap();
}

/// Memory that the machine could give to somebody.
fn available_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .expect("Linux 3.14 or later");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}
