//! Deadlines that pass at random points of a call: the ledger is never wrong, and GetStageResult tells every count.
use std::fmt;
use std::time::Duration;

use prost::Message as _;
use stagepages_proto::v1::{
    Launch, LaunchSpec, OrderingMode, Platform, StagePagesRequest, StagePagesStreamRequest,
    stage_pages_stream_response::Answer,
};
use stagepages_tests::{
    Bench, Contents, Extent, Key, PAGE, Raw, Refusal, SimScript, call_status, frame, page, refused,
    region, say, snapshot, spec,
};
use tonic::{Request, Status};

use super::calls::assert_complete;
use super::on_every_platform;
use super::rounds::rounds;

/// Calls of one round.
const CALLS: u64 = 16;
/// Pages of the longest.
const LONGEST: u64 = 64;
/// Longest deadline, in microseconds: about twice what a call takes.
const DEADLINE: u64 = 4000;

/// How often a deadline was in time, and how often it was not.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    calls: u64,
    expired: u64,
    /// Of these: applied all the same.
    applied: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls,
            expired,
            applied,
        } = self;
        write!(
            f,
            "{calls} calls, {expired} deadlines passed, {applied} of these applied all the same, each counted once"
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_at_any_point_of_a_call_loses_no_count() {
    on_every_platform(async |bench: &Bench| {
        for mode in [OrderingMode::Sequenced, OrderingMode::Unordered] {
            let mut random = Contents::new(0xdead);
            let mut tally = Tally::default();
            for round in 0..rounds() {
                println!("{mode:?}, round {round}");
                one_launch(bench, mode, &mut random, &mut tally).await;
            }
            say(&format!(
                "exactly once, deadlines, {} {}: {tally}",
                bench.platform.as_str_name(),
                mode.as_str_name()
            ));
        }
    })
    .await;
}

async fn create(bench: &Bench, mode: OrderingMode) -> Launch {
    let regions = [region(page(0), CALLS * LONGEST * PAGE)];
    let spec = if bench.platform == Platform::Sim {
        let script = SimScript::new().latency(Duration::from_micros(20));
        script.spec(regions)
    } else {
        spec(bench.platform, regions)
    };
    let spec = LaunchSpec {
        ordering: mode.into(),
        ..spec
    };
    bench.api.create("", spec).await.unwrap()
}

async fn one_launch(bench: &Bench, mode: OrderingMode, random: &mut Contents, tally: &mut Tally) {
    let launch = create(bench, mode).await;
    let mut raw = Raw::open(bench.daemon.socket()).await;
    let mut counted = 0;
    for number in 0..CALLS {
        let key = if mode == OrderingMode::Sequenced {
            Key::Number(number)
        } else {
            Key::name(format!("call {number}"))
        };
        let (first, pages) = (number * LONGEST, 1 + random.below(LONGEST));
        let request = key.request(
            &launch.name,
            Extent::normal(page(first), random.pages(pages)),
        );
        let deadline = Duration::from_micros(random.below(DEADLINE));
        tally.calls += 1;
        let answered = match random.below(3) {
            0 => by_server(&mut raw, deadline, &request).await,
            1 => by_client(bench, deadline, &request).await,
            _ => on_a_stream(bench, deadline, &request).await,
        };
        let told = key.result(&bench.api, &launch.name).await;
        if answered {
            assert_complete(told.as_ref().unwrap(), first, pages);
        } else {
            tally.expired += 1;
            tally.applied += u64::from(told.is_ok());
        }
        let answer = match told {
            Ok(told) => told,
            Err(status) => {
                refused::<()>(Err(status), "RESULT_NOT_FOUND");
                // Not applied, or not yet: the client gave up on a call that may still be on its way. Either way it counts once.
                bench.api.stage_request(request.clone()).await.unwrap()
            }
        };
        assert_complete(&answer, first, pages);
        assert_eq!(bench.api.stage_request(request).await.unwrap(), answer);
        counted += answer.installed_pages;
    }
    let now = bench.api.get(&launch.name).await.unwrap();
    assert_eq!(now.installed_pages, counted);
    snapshot(&bench.api, &launch.name).await;
    bench.api.abort(&launch.name).await.unwrap();
    bench.api.delete(&launch.name).await.unwrap();
}

/// The server enforces the deadline. Whether there was an answer in time.
async fn by_server(raw: &mut Raw, deadline: Duration, request: &StagePagesRequest) -> bool {
    let answer = raw
        .call(
            "/stagepages.v1.LaunchService/StagePages",
            &[("grpc-timeout", &format!("{}u", deadline.as_micros()))],
            frame(0, &request.encode_to_vec()),
        )
        .await
        .unwrap();
    match answer.error() {
        Ok(_) => true,
        Err(status) => {
            assert_late(&status);
            false
        }
    }
}

/// The deadline passed, or (where firmware has a queue) it was seen beforehand that it would.
#[track_caller]
fn assert_late(status: &Status) {
    let reason = Refusal::of(status).reason;
    assert!(
        reason == "DEADLINE_EXPIRED" || reason == "DEADLINE_UNREACHABLE",
        "{status:?}"
    );
}

/// Client and server both enforce it; whoever is first.
async fn by_client(bench: &Bench, deadline: Duration, request: &StagePagesRequest) -> bool {
    let mut request = Request::new(request.clone());
    request.set_timeout(deadline);
    match bench.api.launches.clone().stage_pages(request).await {
        Ok(_) => true,
        // The client's own refusal has no details.
        Err(status) if status.details().is_empty() => false,
        Err(status) => {
            assert_late(&status);
            false
        }
    }
}

async fn on_a_stream(bench: &Bench, deadline: Duration, request: &StagePagesRequest) -> bool {
    let message = StagePagesStreamRequest {
        request: Some(request.clone()),
    };
    let mut request = Request::new(tokio_stream::iter([message]));
    request.set_timeout(deadline);
    let mut launches = bench.api.launches.clone();
    let Ok(stream) = launches.stage_pages_stream(request).await else {
        return false;
    };
    let Ok(Some(answer)) = stream.into_inner().message().await else {
        return false;
    };
    match answer.answer.unwrap() {
        Answer::Result(_) => true,
        Answer::Error(error) => {
            assert_late(&call_status(error));
            false
        }
    }
}
