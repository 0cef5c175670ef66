//! Scripts that `sim` cannot follow.
use prost_types::Duration;
use stagepages_proto::v1::sim_fault::Effect;
use stagepages_proto::v1::{LaunchSpec, Platform, SimFault, SimSettings};
use stagepages_tests::{Bench, DaemonOptions, PAGE, on_platform, page, refused, region, spec};

fn with_script(platform: Platform, sim: SimSettings) -> LaunchSpec {
    LaunchSpec {
        sim: Some(sim),
        ..spec(platform, [region(page(0), PAGE)])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_scripts_are_refused() {
    let latency = |seconds, nanos| SimSettings {
        page_latency: Some(Duration { seconds, nanos }),
        faults: vec![],
    };
    let fault = |effect| SimFault {
        gpa: 0,
        times: 1,
        effect,
    };
    let faults = |faults: Vec<SimFault>| SimSettings {
        page_latency: None,
        faults,
    };
    let bad = [
        latency(10, 1),
        latency(-1, 0),
        latency(0, -1),
        latency(i64::MAX, 0),
        latency(0, 1_500_000_000),
        faults(vec![fault(None)]),
        faults(vec![SimFault {
            gpa: 1,
            ..fault(Some(Effect::StopShort(true)))
        }]),
        faults(vec![SimFault {
            times: 1001,
            ..fault(Some(Effect::StopShort(true)))
        }]),
        faults(vec![fault(Some(Effect::FirmwareStatus(0)))]),
        faults(vec![fault(Some(Effect::FirmwareStatus(65536)))]),
        faults(vec![fault(Some(Effect::KernelErrno(0)))]),
        faults(vec![fault(Some(Effect::KernelErrno(134)))]),
        faults(vec![fault(Some(Effect::StopShort(false)))]),
        faults(vec![fault(Some(Effect::StrayPage(false)))]),
        faults(vec![fault(Some(Effect::StopShort(true))); 65]),
    ];
    on_platform(
        &DaemonOptions::new(),
        Platform::Sim,
        async |bench: &Bench| {
            for script in &bad {
                refused(
                    bench
                        .api
                        .create("bad", with_script(Platform::Sim, script.clone()))
                        .await,
                    "INVALID_LAUNCH",
                )
                .blames("spec.sim");
            }
            bench.assert_no_launch().await;
        },
    )
    .await;
}
