//! Refused calls in the audit log: told one by one up to a bound, and counted beyond it.

use stagepages_proto::v1::{AbortLaunchRequest, CreateLaunchRequest, Platform};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, on_platform, page, refused, region, spec,
};
use tonic::Request;

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

/// A message with this id for its call.
fn named<T>(message: T, request: &str) -> Request<T> {
    let mut message = Request::new(message);
    let id = request.parse().unwrap();
    message.metadata_mut().insert("x-request-id", id);
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_call_has_the_id_by_which_its_lines_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit");
    let options = DaemonOptions::new().state_dir(dir.path());
    let bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let mut launches = bench.api.launches.clone();
    let create = CreateLaunchRequest {
        launch_id: "vm".to_owned(),
        spec: Some(spec(bench.platform, [region(page(0), PAGE)])),
    };
    let created = launches.create_launch(named(create, "made \"by\" 7"));
    let name = created.await.unwrap().into_inner().launch.unwrap().name;
    for (name, request) in [("launches/none", "refused-1"), (name.as_str(), "ended-1")] {
        let abort = AbortLaunchRequest {
            name: name.to_owned(),
            ..AbortLaunchRequest::default()
        };
        drop(launches.abort_launch(named(abort, request)).await);
    }
    // Whoever names none is given one.
    refused(bench.api.abort("launches/none").await, "LAUNCH_NOT_FOUND");
    bench.end().await;
    let all = records(&log);
    let by_id: Vec<_> = all
        .iter()
        .filter(|it| it["identity"].is_string())
        .map(|it| {
            (
                it["event"].as_str().unwrap(),
                it["request"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        by_id[..3],
        [
            ("launch.created", "made \"by\" 7"),
            ("call.refused", "refused-1"),
            ("launch.aborted", "ended-1"),
        ]
    );
    let (event, made) = by_id[3];
    assert_eq!((event, made.len()), ("call.refused", 16));
    let of_nobody = all.iter().filter(|it| it["identity"].is_null());
    assert!(of_nobody.into_iter().all(|it| it["request"].is_null()));
    sound(&log);
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
