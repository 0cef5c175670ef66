//! A launch from its creation to the end of its host, with its staging timed.
//!
//! **Invariant:** every page is counted, and the next launch begins only when the memory of this one is given back.

use std::{
    path::Path,
    thread::{self, Builder},
    time::{Duration, Instant},
};

use bytes::Bytes;

use stagepages_client::{
    Client, LaunchRef,
    addr::Gpa,
    session::{Options, Part, Session},
    stage::Source,
    v1::{Launch, LaunchSpec, PageType},
};
use stagepages_tests::{Bench, eventually};

use crate::world::{World, client};

/// Creates a launch.
pub(crate) async fn create(client: &Client, spec: LaunchSpec) -> Launch {
    client.create_launch(None, spec).await.unwrap()
}

/// Stages `source` at GPA 0, `times` times one behind the other, through one StagePagesStream of a session. Returns what that took, from the first request to
/// the last answer.
pub(crate) async fn stage(
    client: &Client,
    launch: &Launch,
    source: &Bytes,
    times: u64,
) -> Duration {
    let bytes = source.len() as u64;
    let part = |n: u64| Part {
        gpa: Gpa::new(n * bytes),
        page_type: PageType::Normal,
        source: Source::bytes(source.clone()).unwrap(),
    };
    stage_parts(client, launch, (0..times).map(part).collect()).await
}

/// Stages `plan`. Returns what that took, from the first request to the last answer.
pub(crate) async fn stage_parts(client: &Client, launch: &Launch, plan: Vec<Part<'_>>) -> Duration {
    let session = Session::open(
        client,
        &LaunchRef::from(launch),
        Options::unnamed().unwrap(),
    )
    .await
    .unwrap();
    let pages: u64 = plan.iter().map(|part| part.source.pages()).sum();
    let begun = Instant::now();
    let outcome = session.stage(plan, |_| {}).await;
    let took = begun.elapsed();
    assert_eq!(outcome.mine, pages, "{outcome:?}");
    took
}

/// Makes `count` launches, each with a connection of its own, stages into all of them at once, and ends them. Launch number `n` gets `source(n)`. Returns when
/// each was staged, counted from the moment when all of them could begin.
///
/// A thread drives each session: its future stays on one.
pub(crate) fn stage_at_once(
    world: &World,
    bench: &Bench,
    count: usize,
    spec: &LaunchSpec,
    source: impl Fn(usize) -> Bytes,
) -> Vec<Duration> {
    let runtime = &world.runtime;
    let ready: Vec<_> = runtime.block_on(async {
        let mut ready = Vec::new();
        for number in 0..count {
            let client = client(bench).await;
            let launch = create(&client, spec.clone()).await;
            ready.push((client, launch, source(number)));
        }
        ready
    });
    let begun = Instant::now();
    let took = thread::scope(|scope| {
        let start = |(client, launch, source): &'_ (Client, Launch, Bytes)| {
            let (client, launch, source) = (client.clone(), launch.clone(), source.clone());
            let session = move || {
                runtime.block_on(stage(&client, &launch, &source, 1));
                begun.elapsed()
            };
            let thread = Builder::new().name("session".to_owned());
            thread.spawn_scoped(scope, session).unwrap()
        };
        let sessions: Vec<_> = ready.iter().map(start).collect();
        let ended = sessions.into_iter().map(|session| session.join().unwrap());
        ended.collect()
    });
    runtime.block_on(async {
        for (client, launch, _) in &ready {
            end(client, launch).await;
        }
    });
    took
}

/// Ends a launch and forgets it, and waits until its process is gone: with it goes its memory.
pub(crate) async fn end(client: &Client, launch: &Launch) {
    let named = LaunchRef::from(launch);
    client.abort_launch(&named).await.unwrap();
    client.delete_launch(&named).await.unwrap();
    let process = format!("/proc/{}", launch.host_pid);
    let gone = async || (!Path::new(&process).exists()).then_some(());
    eventually("the end of a launch host", gone).await;
}
