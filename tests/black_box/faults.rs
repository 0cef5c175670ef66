//! The scripted faults of `sim`: what the platform refuses, what it costs, and what is counted.
use stagepages_kvm::Gpa;
use stagepages_proto::v1::sim_fault::Effect;
use stagepages_proto::v1::{
    AbortReason, GetRejectedCpuidRequest, Launch, LaunchState, PageType, Platform,
};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, Refusal, SimScript, lease_aside, on_platform,
    page, refused, region, snapshot,
};

const EIO: u32 = 5;
const EINTR: u32 = 4;
const EAGAIN: u32 = 11;
const EBUSY: u32 = 16;
/// What SNP's firmware says of a CPUID page that it has corrected: INVALID_PARAM.
const INVALID_PARAM: u32 = 0x16;

async fn on_sim(test: impl AsyncFn(&Bench)) {
    on_platform(&DaemonOptions::new(), Platform::Sim, test).await;
}

/// A launch of 64 pages in which `effect` strikes `times` times at `gpa`.
async fn launch(bench: &Bench, gpa: Gpa, times: u32, effect: Effect) -> Launch {
    let spec = SimScript::new()
        .fault(gpa, times, effect)
        .spec([region(page(0), 64 * PAGE)]);
    bench.api.create("", spec).await.unwrap()
}

/// Asserts that a launch ended by the platform's refusal, with `pages` installed, and that its cause says as much as the refusal did.
async fn assert_over(bench: &Bench, launch: &Launch, refusal: &Refusal, pages: u64) {
    refusal.installed(pages).state("ABORTED");
    let now = bench.api.get(&launch.name).await.unwrap();
    assert_eq!(
        (now.state(), now.installed_pages),
        (LaunchState::Aborted, pages)
    );
    let cause = now.abort.unwrap();
    assert_eq!(cause.reason(), AbortReason::PlatformRefused);
    assert!(
        cause.message.contains(refusal.meta("gpa")),
        "{cause:?} does not name {}",
        refusal.meta("gpa")
    );
    assert!(now.end_time.is_some(), "ended, but when?");
    refused(
        bench
            .api
            .stage(&launch.name, Extent::normal(page(40), vec![1; 4096]))
            .await,
        "WRONG_STATE",
    );
    refused(bench.api.verify(&launch.name).await, "WRONG_STATE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_refusal_of_one_page_costs_only_the_call() {
    on_sim(async |bench: &Bench| {
        let data = Contents::new(51).pages(1);
        for page_type in [PageType::Normal, PageType::Unmeasured] {
            let launch = launch(bench, page(3), 2, Effect::FirmwareStatus(0x4_2)).await;
            for _ in 0..2 {
                let attempt = bench
                    .api
                    .stage(&launch.name, Extent::data(page(3), page_type, data.clone()))
                    .await;
                let refusal = refused(attempt, "FIRMWARE_REFUSED");
                refusal.at(page(3)).installed(0).state("CREATED");
                assert_eq!(refusal.number("firmware_status"), 0x42);
                let now = bench.api.get(&launch.name).await.unwrap();
                assert_eq!(lease_aside(&now), lease_aside(&launch), "unchanged");
            }
            let answer = bench
                .api
                .stage(&launch.name, Extent::data(page(3), page_type, data.clone()))
                .await
                .unwrap();
            assert_eq!((answer.installed_pages, answer.stop), (1, None));
            snapshot(&bench.api, &launch.name).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_inside_an_extent_ends_the_launch() {
    on_sim(async |bench: &Bench| {
        for struck in [0, 2, 7] {
            let launch = launch(bench, page(struck), 1, Effect::FirmwareStatus(0x1f)).await;
            let attempt = bench
                .api
                .stage(
                    &launch.name,
                    Extent::normal(page(0), Contents::new(52).pages(8)),
                )
                .await;
            let refusal = refused(attempt, "FIRMWARE_REFUSED");
            assert_eq!(refusal.number("firmware_status"), 0x1f);
            refusal.at(page(struck));
            assert_over(bench, &launch, &refusal, struck).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_cpuid_page_is_told_from_other_refusals() {
    on_sim(async |bench: &Bench| {
        let launch = launch(bench, page(3), 1, Effect::FirmwareStatus(INVALID_PARAM)).await;
        let table = Extent::data(page(3), PageType::Cpuid, Contents::new(53).pages(1));
        let refusal = refused(
            bench.api.stage(&launch.name, table.clone()).await,
            "CPUID_REJECTED",
        );
        assert_eq!(refusal.number("firmware_status"), u64::from(INVALID_PARAM));
        // One page that the platform took back cleanly.
        refusal.at(page(3)).installed(0).state("CREATED");
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(lease_aside(&now), lease_aside(&launch));
        // The fault has struck, and would let the page pass: but what firmware refused is not submitted again, and what it would have is.
        let again = refused(bench.api.stage(&launch.name, table).await, "CPUID_REJECTED");
        again.at(page(3)).installed(0).state("CREATED");
        let get = GetRejectedCpuidRequest {
            name: launch.name.clone(),
            uid: String::new(),
        };
        let mut launches = bench.api.launches.clone();
        let kept = launches.get_rejected_cpuid(get).await.unwrap();
        let kept = kept.into_inner().rejected.unwrap();
        assert_eq!(kept.gpa, page(3).get());
        let corrected = Extent::data(page(3), PageType::Cpuid, kept.corrected_page);
        bench.api.stage(&launch.name, corrected).await.unwrap();
        snapshot(&bench.api, &launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_does_not_say_why_ends_the_launch() {
    on_sim(async |bench: &Bench| {
        // Also for an extent of one page: there is no knowing what the page holds.
        for (struck, pages) in [(3, 8), (0, 8), (0, 1)] {
            let launch = launch(bench, page(struck), 1, Effect::KernelErrno(EIO)).await;
            let attempt = bench
                .api
                .stage(
                    &launch.name,
                    Extent::normal(page(0), Contents::new(54).pages(pages)),
                )
                .await;
            let refusal = refused(attempt, "KERNEL_REFUSED");
            assert_eq!(refusal.meta("errno"), "EIO");
            refusal.at(page(struck));
            assert_over(bench, &launch, &refusal, struck).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_was_interrupted_is_asked_again_but_not_for_ever() {
    on_sim(async |bench: &Bench| {
        for (errno, name) in [(EAGAIN, "EAGAIN"), (EBUSY, "EBUSY"), (EINTR, "EINTR")] {
            let passing = launch(bench, page(5), 3, Effect::KernelErrno(errno)).await;
            let answer = bench
                .api
                .stage(
                    &passing.name,
                    Extent::normal(page(0), Contents::new(55).pages(8)),
                )
                .await
                .unwrap();
            assert_eq!((answer.installed_pages, answer.stop), (8, None), "{name}");
            snapshot(&bench.api, &passing.name).await;

            let lasting = launch(bench, page(5), 1000, Effect::KernelErrno(errno)).await;
            let attempt = bench
                .api
                .stage(
                    &lasting.name,
                    Extent::normal(page(0), Contents::new(55).pages(8)),
                )
                .await;
            let refusal = refused(attempt, "KERNEL_REFUSED");
            assert_eq!(refusal.meta("errno"), name);
            refusal.at(page(5));
            assert_over(bench, &lasting, &refusal, 5).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_that_stopped_short_goes_on() {
    on_sim(async |bench: &Bench| {
        let script = SimScript::new()
            .fault(page(0), 1, Effect::StopShort(true))
            .fault(page(1), 2, Effect::StopShort(true))
            .fault(page(7), 1, Effect::StopShort(true));
        let launch = bench
            .api
            .create("", script.spec([region(page(0), 1024 * PAGE)]))
            .await
            .unwrap();
        let data = Contents::new(56).pages(200);
        let answer = bench
            .api
            .stage(&launch.name, Extent::normal(page(0), data.clone()))
            .await
            .unwrap();
        assert_eq!(
            (answer.installed_pages, answer.next_gpa, answer.stop),
            (200, page(200).get(), None)
        );
        snapshot(&bench.api, &launch.name).await;
        assert_eq!(bench.memory(&launch).read(page(0), data.len()), data);

        // The script changed how the pages were installed, not what was measured.
        let plain = bench.launch("plain").await;
        bench
            .api
            .stage(&plain.name, Extent::normal(page(0), data))
            .await
            .unwrap();
        let digest = bench.api.get(&plain.name).await.unwrap().launch_digest;
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().launch_digest,
            digest
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_installed_ends_the_launch() {
    on_sim(async |bench: &Bench| {
        for (struck, pages) in [(4, 8), (0, 8), (0, 1)] {
            let launch = launch(bench, page(struck), 1, Effect::StrayPage(true)).await;
            let attempt = bench
                .api
                .stage(
                    &launch.name,
                    Extent::normal(page(0), Contents::new(57).pages(pages)),
                )
                .await;
            // Never a short count: the ledger does not hold the page that stopped it.
            let refusal = refused(attempt, "KERNEL_REFUSED");
            refusal.at(page(struck));
            assert_over(bench, &launch, &refusal, struck).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_waits_for_its_page() {
    on_sim(async |bench: &Bench| {
        let launch = launch(bench, page(9), 1, Effect::KernelErrno(EIO)).await;
        for first in [0, 10] {
            bench
                .api
                .stage(
                    &launch.name,
                    Extent::normal(page(first), Contents::new(58).pages(9)),
                )
                .await
                .unwrap();
        }
        snapshot(&bench.api, &launch.name).await;
        // Stopped by page 10, which is installed, after page 9, which is refused: the refusal comes first.
        let refusal = refused(
            bench
                .api
                .stage(
                    &launch.name,
                    Extent::normal(page(9), Contents::new(58).pages(2)),
                )
                .await,
            "KERNEL_REFUSED",
        );
        refusal.installed(0).at(page(9));
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(
            (now.state(), now.installed_pages),
            (LaunchState::Aborted, 18)
        );
    })
    .await;
}
