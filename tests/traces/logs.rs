//! What the log has of a call.
use std::time::Duration;

use serde_json::Value;
use stagepages_proto::v1::{FinishLaunchRequest, Platform};
use stagepages_tests::{Bench, DaemonOptions, SimScript, eventually, on_platform, page, region};

use crate::rig::{called, create, get, lines, of_call, of_span, small, stage};

/// Runs on each platform with this log.
async fn logged(level: &str, format: &str, test: impl AsyncFn(&Bench)) {
    let options = DaemonOptions::new()
        .environment("STAGEPAGES_LOG_FORMAT", format)
        .environment("STAGEPAGES_LOG", level);
    on_platform(&options, Platform::Sim, &test).await;
    on_platform(&options, Platform::Kvm, &test).await;
}

fn finish(id: &str) -> FinishLaunchRequest {
    FinishLaunchRequest {
        name: format!("launches/{id}"),
        ..FinishLaunchRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_call_has_its_request_and_its_launch() {
    logged("debug", "json", async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        let made = api
            .create_launch(called(create("found", small(bench.platform)), "make"))
            .await
            .unwrap();
        let uid = made.into_inner().launch.unwrap().uid;
        api.stage_pages(called(stage("found", 3), "fill"))
            .await
            .unwrap();
        api.finish_launch(called(finish("found"), "seal"))
            .await
            .unwrap();
        // The line about a call's end is written behind its answer.
        let lines = eventually("the ends of the calls", async || {
            let lines = lines(&bench.daemon);
            let ended = |id: &str| {
                of_call(&lines, "daemon", id)
                    .iter()
                    .any(|line| line["fields"]["message"] == "call ended")
            };
            ["make", "fill", "seal"]
                .iter()
                .all(|id| ended(id))
                .then_some(lines)
        })
        .await;
        for (id, method) in [
            ("make", "CreateLaunch"),
            ("fill", "StagePages"),
            ("seal", "FinishLaunch"),
        ] {
            let daemon = of_call(&lines, "daemon", id);
            let end = daemon.last().unwrap();
            assert_eq!(end["fields"]["code"], "Ok", "{end}");
            assert!(end["fields"]["seconds"].as_f64().unwrap() > 0.0, "{end}");
            let method = format!("stagepages.v1.LaunchService/{method}");
            assert_eq!(of_span(end, "method"), Some(method.as_str()), "{end}");
            assert_eq!(of_span(end, "launch"), Some("found"), "{end}");
            assert_eq!(of_span(end, "uid"), Some(uid.as_str()), "{end}");
            // The launch host says what it did for the same call, and for which launch.
            let host = of_call(&lines, "host", id);
            assert!(!host.is_empty(), "the host says nothing of {id}");
            for line in host {
                assert_eq!(of_span(line, "uid"), Some(uid.as_str()), "{line}");
            }
        }
        let created = lines
            .iter()
            .find(|line| line["fields"]["message"] == "launch created")
            .unwrap();
        assert_eq!(of_span(created, "request"), Some("make"), "{created}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_has_them_too_and_an_id_cannot_pretend_to_be_a_field() {
    logged("debug", "text", async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        api.create_launch(called(create("plain", small(bench.platform)), "make"))
            .await
            .unwrap();
        let id = r#"a" launch="other"#;
        api.stage_pages(called(stage("plain", 3), id))
            .await
            .unwrap();
        let quoted = r#"request="a\" launch=\"other""#;
        eventually("lines of the call", async || {
            let log = bench.daemon.log();
            let of = |role: &str, said: &str| {
                log.lines().any(|line| {
                    line.starts_with(role) && line.contains(quoted) && line.contains(said)
                })
            };
            (of("daemon", "call ended") && of("host", "extent")).then_some(())
        })
        .await;
        assert!(!bench.daemon.log().contains(r#" launch="other""#));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_them_where_nothing_else_is_logged() {
    logged("info", "json", async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        api.get_launch(called(get("nobody"), "lost"))
            .await
            .unwrap_err();
        let end = eventually("the refused call's line", async || {
            let lines = lines(&bench.daemon);
            of_call(&lines, "daemon", "lost").first().copied().cloned()
        })
        .await;
        assert_eq!(end["level"], "INFO", "{end}");
        assert_eq!(end["fields"]["message"], "call refused", "{end}");
        assert_eq!(end["fields"]["code"], "NotFound", "{end}");
        assert_eq!(end["fields"]["reason"], "LAUNCH_NOT_FOUND", "{end}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_calls_does_not_fill_the_log() {
    const FLOOD: usize = 2000;
    logged("info", "json", async |bench: &Bench| {
        let mut api = bench.api.launches.clone();
        for _ in 0..FLOOD {
            api.get_launch(called(get("nobody"), "flood"))
                .await
                .unwrap_err();
        }
        let lines = lines(&bench.daemon);
        let said = of_call(&lines, "daemon", "flood").len();
        assert!(said > 0, "nothing is said of refused calls");
        // 50 in ten seconds.
        assert!(said < FLOOD / 4, "{said} lines about {FLOOD} calls");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_left_behind_is_still_its_own() {
    let options = DaemonOptions::new()
        .environment("STAGEPAGES_LOG_FORMAT", "json")
        .environment("STAGEPAGES_LOG", "debug");
    on_platform(&options, Platform::Sim, async |bench: &Bench| {
        let slow = SimScript::new().latency(Duration::from_millis(30));
        let spec = slow.spec([region(page(0), 64 * 4096)]);
        let mut api = bench.api.launches.clone();
        api.create_launch(create("left", spec)).await.unwrap();
        let mut calling = api.clone();
        let call =
            tokio::spawn(
                async move { calling.stage_pages(called(stage("left", 64), "gone")).await },
            );
        eventually("a page", async || {
            let launch = bench.api.get("launches/left").await.unwrap();
            (launch.installed_pages > 0).then_some(())
        })
        .await;
        call.abort();
        let has = async |message: &str| {
            eventually(message, async || {
                let lines = lines(&bench.daemon);
                let of_it = of_call(&lines, "daemon", "gone");
                let found = |line: &&&Value| line["fields"]["message"] == message;
                of_it.iter().find(found).map(|line| (**line).clone())
            })
            .await
        };
        let given_up = has("call given up by its caller").await;
        assert_eq!(of_span(&given_up, "launch"), Some("left"), "{given_up}");
        let answered = has("call answered by its host behind its end").await;
        assert_eq!(answered["fields"]["done"], true, "{answered}");
        assert_eq!(of_span(&answered, "launch"), Some("left"), "{answered}");
        let lines = lines(&bench.daemon);
        let host = of_call(&lines, "host", "gone");
        assert!(
            host.iter().any(|line| line["fields"]["pages"] == 64),
            "{host:?}"
        );
    })
    .await;
}
