//! Refused calls in the audit log: told one by one up to a bound, and counted beyond it.

use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, on_platform, page, refused, region, spec,
};

use super::audit_log::{events, of, place, records, sound, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_that_would_have_changed_something_is_told_with_its_reason() {
    on_platform(&DaemonOptions::new(), Platform::Sim, async |bench| {
        let launch = bench.launch("vm").await;
        let other = spec(bench.platform, [region(page(0), PAGE)]);
        refused(bench.api.create("vm", other).await, "LAUNCH_EXISTS");
        let extent = || Extent::normal(page(0), Contents::new(1).pages(1));
        bench.api.stage(&launch.name, extent()).await.unwrap();
        refused(
            bench.api.stage(&launch.name, extent()).await,
            "ALREADY_INSTALLED",
        );
        refused(bench.api.delete(&launch.name).await, "WRONG_STATE");
        // Looking for what is not there changes nothing.
        refused(bench.api.get("launches/none").await, "LAUNCH_NOT_FOUND");
        let all = until(&place(bench), "three refusals", |all| {
            all.iter()
                .filter(|it| it["event"] == "call.refused")
                .count()
                == 3
        })
        .await;
        let refused: Vec<_> = all
            .iter()
            .filter(|it| it["event"] == "call.refused")
            .map(|it| {
                (
                    it["outcome"].as_str().unwrap(),
                    it["method"].as_str().unwrap().rsplit('/').next().unwrap(),
                    it["launch"]["id"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            refused,
            [
                ("LAUNCH_EXISTS", "CreateLaunch", "vm"),
                ("ALREADY_INSTALLED", "StagePages", "vm"),
                ("WRONG_STATE", "DeleteLaunch", "vm"),
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_calls_neither_fills_the_log_nor_hides_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit");
    let options = DaemonOptions::new().state_dir(dir.path());
    let bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let launch = bench.launch("vm").await;
    for _ in 0..500 {
        refused(bench.api.abort("launches/none").await, "LAUNCH_NOT_FOUND");
    }
    bench.api.abort(&launch.name).await.unwrap();
    bench.end().await;
    let all = records(&log);
    assert_eq!(
        events(&of(&all, &launch.uid)),
        ["launch.created", "launch.aborted"]
    );
    let told = all
        .iter()
        .filter(|it| it["event"] == "call.refused")
        .count();
    let flood = all.iter().filter(|it| it["event"] == "calls.suppressed");
    let counted: u64 = flood.map(|it| it["count"].as_u64().unwrap()).sum();
    assert_eq!(told as u64 + counted, 500);
    // A minute has room for five of one caller and reason; a slow machine may take two.
    assert!(told <= 10, "{told}");
    sound(&log);
}
