//! What a client that is slow does to the launches of others: nothing, and a trace of all that was installed shows it.
//!
//! **Invariant:** the order is told by what watchers were told, never by clocks.
use stagepages_proto::v1::{LaunchSpec, Platform};
use stagepages_tests::{
    Bench, Contents, Extent, PAGE, SimScript, Watcher, on_every_platform, page, region, say,
    snapshot, spec,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::slowly::{STREAM, Slowly};
use crate::stalls::of_stream;

/// Pages of each call.
const PAGES: u64 = 64;
/// Calls of the launch that goes on.
const CALLS: u64 = 8;

/// Who has how many pages.
type Step = (&'static str, u64);

/// On `sim` with firmware that takes its time, so that there is a queue to be held up in.
fn a_launch(platform: Platform) -> LaunchSpec {
    let regions = [region(page(0), CALLS * PAGES * PAGE)];
    if platform == Platform::Sim {
        let script = SimScript::new().latency(std::time::Duration::from_micros(200));
        script.spec(regions)
    } else {
        spec(platform, regions)
    }
}

/// Has every count of a launch told, in order.
async fn watch(bench: &Bench, id: &'static str, told: UnboundedSender<Step>) {
    let name = format!("launches/{id}");
    let mut watcher = Watcher::of(bench, &name).await.unwrap();
    tokio::spawn(async move {
        while let Some(launch) = watcher.next().await {
            if told.send((id, launch.installed_pages)).is_err() {
                return;
            }
        }
    });
}

/// Takes what is told until this is.
async fn until(steps: &mut UnboundedReceiver<Step>, last: Step, trace: &mut Vec<String>) {
    while let Some(step) = steps.recv().await {
        trace.push(format!("{} {}", step.0, step.1));
        if step == last {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_in_a_message_and_goes_on_slowly_delays_no_other_launch() {
    on_every_platform(async |bench: &Bench| {
        let (told, mut steps) = unbounded_channel();
        for id in ["slow", "swift"] {
            bench
                .api
                .create(id, a_launch(bench.platform))
                .await
                .unwrap();
            watch(bench, id, told.clone()).await;
        }
        let client = Slowly::open(bench.daemon.socket()).await;
        let call = client.call(STREAM, &[]);
        let data = Contents::new(1).pages(PAGES);
        let whole = of_stream(Extent::normal(page(0), data).request("launches/slow"));
        let mut pieces = whole.chunks(whole.len() / usize::try_from(CALLS).unwrap());
        let mut trace = Vec::new();
        for number in 0..CALLS {
            // A part of the slow one's message, never all of it, and then all that the other wants.
            let piece = pieces.next().unwrap();
            assert!(call.send(whole.slice_ref(piece)).await);
            trace.push("slow sends a part".to_owned());
            let data = Contents::new(number).pages(PAGES);
            let extent = Extent::normal(page(number * PAGES), data);
            let answer = bench.api.stage("launches/swift", extent).await.unwrap();
            assert_eq!(answer.installed_pages, PAGES);
            until(&mut steps, ("swift", (number + 1) * PAGES), &mut trace).await;
            if number + 2 == CALLS {
                break;
            }
        }
        for piece in pieces {
            assert!(call.send(whole.slice_ref(piece)).await);
        }
        trace.push("slow sends the rest".to_owned());
        call.finish().await.unwrap();
        until(&mut steps, ("slow", PAGES), &mut trace).await;
        say(&format!(
            "a slow client, {}: {}",
            bench.platform.as_str_name(),
            trace.join(", ")
        ));
        let rest = trace.iter().position(|it| it == "slow sends the rest");
        let first = trace
            .iter()
            .position(|it| it.starts_with("slow ") && !it.contains("sends") && it != "slow 0");
        assert!(rest < first, "{trace:?}");
        for id in ["slow", "swift"] {
            snapshot(&bench.api, &format!("launches/{id}")).await;
        }
    })
    .await;
}
