//! What a collector gets of calls.
use std::time::Duration;

use stagepages_proto::v1::{
    AbortLaunchRequest, FinishLaunchRequest, Platform, StagePagesStreamRequest,
};
use stagepages_tests::{
    Bench, DaemonOptions, Extent, SimScript, eventually, on_platform, page, region,
};

use crate::collector::{Collector, Mood, Seen, hex};
use crate::rig::{TRACE, called, create, get, small, stage, traced};

const STAGE: &str = "stagepages.v1.LaunchService/StagePages";

fn options(collector: &Collector) -> DaemonOptions {
    let endpoint = collector.endpoint();
    DaemonOptions::new().config(&format!("otlp_endpoint = {endpoint:?}"))
}

/// Runs with a daemon that sends its spans to this collector.
async fn collected(collector: &Collector, platform: Platform, test: impl AsyncFn(&Bench)) {
    on_platform(&options(collector), platform, test).await;
}

fn beneath<'a>(spans: &'a [Seen], parent: &Seen) -> Vec<&'a Seen> {
    let of = |seen: &&Seen| seen.span.parent_span_id == parent.span.span_id;
    spans.iter().filter(of).collect()
}

fn named<'a>(spans: &[&'a Seen], name: &str) -> &'a Seen {
    let found = spans.iter().copied();
    let found: Vec<_> = found.filter(|seen| seen.span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:?}");
    found[0]
}

/// The spans of a call and of its host: they are sent one service after the other.
fn has_both(spans: &[Seen]) -> bool {
    let has = |name: &str| spans.iter().any(|seen| seen.span.name == name);
    has(STAGE) && has("Stage")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_traced_through_daemon_and_host_in_its_callers_trace() {
    for platform in [Platform::Sim, Platform::Kvm] {
        let collector = Collector::start(Mood::Takes).await;
        collected(&collector, platform, async |bench: &Bench| {
            let mut api = bench.api.launches.clone();
            let made = api.create_launch(create("seen", small(platform))).await;
            let uid = made.unwrap().into_inner().launch.unwrap().uid;
            let mut request = traced(stage("seen", 8), "01");
            request
                .metadata_mut()
                .insert("x-request-id", crate::rig::ascii("followed"));
            api.stage_pages(request).await.unwrap();

            let spans = collector.trace_with(TRACE, "both spans", has_both).await;
            let call = named(&spans.iter().collect::<Vec<_>>(), STAGE);
            assert_eq!(call.service, "stagepages");
            assert_eq!(hex(&call.span.parent_span_id), crate::rig::SPAN);
            assert_eq!(call.text("rpc.system"), Some("grpc"));
            assert_eq!(call.text("rpc.method"), Some("StagePages"));
            assert_eq!(call.number("rpc.grpc.status_code"), Some(0));
            assert_eq!(call.text("stagepages.request"), Some("followed"));
            assert_eq!(call.text("stagepages.launch"), Some("seen"));
            assert_eq!(call.text("stagepages.launch_uid"), Some(uid.as_str()));
            assert_eq!(call.number("stagepages.installed_pages"), Some(8));

            let parts = beneath(&spans, call);
            let asked = named(&parts, "stagepages.host/Stage");
            // One behind the other, all within the call.
            let mut steps = vec![named(&parts, "queue"), named(&parts, "copy")];
            if platform == Platform::Sim {
                // One firmware for the whole machine, so there is a queue for it.
                steps.push(named(&parts, "turn"));
            }
            steps.push(asked);
            for step in &steps {
                step.is_inside(call);
            }
            assert!(
                steps.is_sorted_by_key(|step| step.span.start_time_unix_nano),
                "{steps:?}"
            );

            let host = beneath(&spans, asked);
            assert_eq!(host.len(), 1, "{host:?}");
            let host = host[0];
            assert_eq!(
                (host.service.as_str(), host.span.name.as_str()),
                ("stagepages-host", "Stage")
            );
            assert!(host.number("process.pid").is_some_and(|pid| pid > 1));
            host.is_inside(asked);
            let waits = beneath(&spans, host);
            assert!(
                waits.iter().any(|wait| wait.span.name == "ioctl"),
                "{waits:?}"
            );
            for wait in &waits {
                let known = ["queue", "turn", "copy", "attributes", "ioctl", "hash"];
                assert!(known.contains(&wait.span.name.as_str()), "{wait:?}");
                assert_eq!(wait.service, "stagepages-host");
                wait.is_inside(host);
            }
        })
        .await;
    }
}

/// The host's span of what the method's call asked it, after that of the call and of the request.
fn in_host<'a>(spans: &'a [Seen], method: &str, command: &str) -> &'a Seen {
    let all: Vec<_> = spans.iter().collect();
    let call = named(&all, &format!("stagepages.v1.LaunchService/{method}"));
    let asked = named(&beneath(spans, call), &format!("stagepages.host/{command}"));
    let host = named(&beneath(spans, asked), command);
    host.is_inside(asked);
    assert_eq!(host.service, "stagepages-host");
    assert!(host.number("process.pid").is_some_and(|pid| pid > 1));
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_launch_is_traced_into_its_host_too() {
    let collector = Collector::start(Mood::Takes).await;
    collected(&collector, Platform::Sim, async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        let made = api.create_launch(traced(create("seen", small(bench.platform)), "01"));
        made.await.unwrap();
        api.stage_pages(stage("seen", 8)).await.unwrap();
        let name = || "launches/seen".to_owned();
        let finish = FinishLaunchRequest {
            name: name(),
            ..FinishLaunchRequest::default()
        };
        api.finish_launch(traced(finish, "01")).await.unwrap();
        let abort = AbortLaunchRequest {
            name: name(),
            ..AbortLaunchRequest::default()
        };
        api.abort_launch(traced(abort, "01")).await.unwrap();
        let calls = [
            ("CreateLaunch", "Create"),
            ("FinishLaunch", "Finish"),
            ("AbortLaunch", "Abort"),
        ];
        // The service's own spans are sent apart from its hosts'.
        let spans = collector.trace_with(TRACE, "all spans", |spans| {
            let has = |name: &str| spans.iter().any(|seen| seen.span.name.ends_with(name));
            let ends = |(method, command): &(&str, &str)| {
                has(method) && spans.iter().any(|seen| seen.span.name == *command)
            };
            calls.iter().all(ends)
        });
        let spans = spans.await;
        let order: Vec<_> = calls
            .iter()
            .map(|(method, command)| in_host(&spans, method, command))
            .map(|host| host.span.start_time_unix_nano)
            .collect();
        assert!(order.is_sorted(), "{order:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_decides_whether_its_call_is_traced() {
    let collector = Collector::start(Mood::Takes).await;
    collected(&collector, Platform::Sim, async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        // Not sampled; nothing said; and what W3C calls malformed.
        api.get_launch(traced(get("nobody"), "00"))
            .await
            .unwrap_err();
        api.get_launch(called(get("nobody"), "silent"))
            .await
            .unwrap_err();
        for bad in [
            "",
            "01-abc",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            let request = crate::rig::with(get("nobody"), "traceparent", bad.as_bytes());
            api.get_launch(request).await.unwrap_err();
        }
        api.get_launch(traced(get("nobody"), "01"))
            .await
            .unwrap_err();
        let spans = collector
            .trace(TRACE, "stagepages.v1.LaunchService/GetLaunch")
            .await;
        // Sent in their order, so the others would be there.
        assert_eq!((spans.len(), collector.spans().len()), (1, 1), "{spans:?}");
        assert_eq!(spans[0].text("stagepages.reason"), Some("LAUNCH_NOT_FOUND"));
        assert_eq!(spans[0].number("rpc.grpc.status_code"), Some(5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_callers_that_say_nothing_a_share_is_traced() {
    let collector = Collector::start(Mood::Takes).await;
    let options = options(&collector).config("trace_ratio = 1.0");
    on_platform(&options, Platform::Sim, async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        api.get_launch(called(get("nobody"), "chosen"))
            .await
            .unwrap_err();
        api.get_launch(traced(get("nobody"), "00"))
            .await
            .unwrap_err();
        let chosen = eventually("a span", async || {
            let spans = collector.spans();
            let chosen = |seen: &Seen| seen.text("stagepages.request") == Some("chosen");
            spans.into_iter().find(chosen)
        })
        .await;
        assert!(chosen.span.parent_span_id.is_empty(), "{chosen:?}");
        // A caller that says no is heard all the same.
        bench.api.node_info().await;
        eventually("a span behind it", async || {
            let name = "stagepages.v1.NodeService/GetNodeInfo";
            let found = |seen: &Seen| seen.span.name == name;
            collector.spans().iter().any(found).then_some(())
        })
        .await;
        let spans = collector.spans();
        assert!(
            spans.iter().all(|seen| hex(&seen.span.trace_id) != TRACE),
            "{spans:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_a_span_for_each_of_its_first_extents() {
    const EXTENTS: u64 = 200;
    let collector = Collector::start(Mood::Takes).await;
    collected(&collector, Platform::Sim, async |bench: &Bench| {
        let spec = stagepages_tests::spec(Platform::Sim, [region(page(0), EXTENTS * 4096)]);
        bench.api.create("long", spec).await.unwrap();
        let requests = (0..EXTENTS).map(|number| StagePagesStreamRequest {
            request: Some(Extent::normal(page(number), vec![7; 4096]).request("launches/long")),
        });
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut api = bench.api.launches.clone();
        let mut answers = api
            .stage_pages_stream(traced(requests, "01"))
            .await
            .unwrap()
            .into_inner();
        while answers.message().await.unwrap().is_some() {}
        let name = "stagepages.v1.LaunchService/StagePagesStream";
        let spans = collector.trace(TRACE, name).await;
        let call = named(&spans.iter().collect::<Vec<_>>(), name);
        assert_eq!(call.number("stagepages.extents"), Some(200));
        assert_eq!(call.number("stagepages.installed_pages"), Some(200));
        let extents = beneath(&spans, call);
        assert_eq!(extents.len(), 128, "{extents:?}");
        for extent in extents {
            assert_eq!(extent.span.name, "extent");
            assert_eq!(extent.number("stagepages.installed_pages"), Some(1));
            extent.is_inside(call);
            let asked = beneath(&spans, extent);
            named(&asked, "stagepages.host/Stage").is_inside(extent);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_does_behind_the_end_of_a_call_is_in_its_trace() {
    let collector = Collector::start(Mood::Takes).await;
    collected(&collector, Platform::Sim, async |bench: &Bench| {
        let slow = SimScript::new().latency(Duration::from_millis(20));
        let spec = slow.spec([region(page(0), 64 * 4096)]);
        bench.api.create("left", spec).await.unwrap();
        let mut calling = bench.api.launches.clone();
        let call =
            tokio::spawn(async move { calling.stage_pages(traced(stage("left", 64), "01")).await });
        eventually("a page", async || {
            let launch = bench.api.get("launches/left").await.unwrap();
            (launch.installed_pages > 0).then_some(())
        })
        .await;
        call.abort();
        let spans = collector.trace_with(TRACE, "both spans", has_both).await;
        let call = named(&spans.iter().collect::<Vec<_>>(), STAGE);
        assert_eq!(call.number("rpc.grpc.status_code"), Some(1));
        let asked = named(&beneath(&spans, call), "stagepages.host/Stage");
        assert!(asked.span.end_time_unix_nano > call.span.end_time_unix_nano);
        named(&beneath(&spans, asked), "Stage").is_inside(asked);
    })
    .await;
}
