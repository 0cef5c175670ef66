//! Leases: what runs out when nobody touches it, what keeps it, and what is said afterwards.
use std::time::{Duration, SystemTime};

use stagepages_proto::v1::{
    AbortReason, Launch, LaunchSpec, LaunchState, PageType, RenewLeaseRequest,
};
use stagepages_tests::{Bench, Extent, Key, PAGE, Refusal, Watcher, page, refused, region, spec};
use tonic::Status;

use super::on_every_platform;

fn leased(bench: &Bench, seconds: i64, nanos: i32) -> LaunchSpec {
    LaunchSpec {
        lease: Some(prost_types::Duration { seconds, nanos }),
        ..spec(bench.platform, [region(page(0), 16 * PAGE)])
    }
}

async fn renew(bench: &Bench, name: &str) -> Result<Launch, Status> {
    let request = RenewLeaseRequest {
        name: name.to_owned(),
        uid: String::new(),
    };
    let answer = bench.api.launches.clone().renew_lease(request).await?;
    Ok(answer.into_inner().launch.unwrap())
}

fn expires(launch: &Launch) -> SystemTime {
    SystemTime::try_from(launch.lease_expire_time.unwrap()).unwrap()
}

fn page_of(number: u64) -> Extent {
    Extent::length(page(number), PageType::Zero, PAGE)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_launch_is_aborted_and_its_calls_say_why() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.api.create("vm", leased(bench, 1, 0)).await.unwrap();
        let mut watcher = Watcher::of(bench, &launch.name).await.unwrap();
        let key = Key::name("before");
        let staged = bench
            .api
            .stage_request(key.request(&launch.name, page_of(0)))
            .await
            .unwrap();
        // Watching is not touching.
        let last = loop {
            let told = watcher.next().await.unwrap();
            if told.state() == LaunchState::Aborted {
                break told;
            }
        };
        let cause = last.abort.as_ref().unwrap();
        assert_eq!(cause.reason(), AbortReason::LeaseExpired, "{cause:?}");
        assert_eq!(last.lease_expire_time, None);
        assert!(watcher.next().await.is_none());

        refused(
            bench.api.stage(&launch.name, page_of(1)).await,
            "LEASE_EXPIRED",
        )
        .installed(0)
        .state("ABORTED");
        refused(renew(bench, &launch.name).await, "LEASE_EXPIRED").state("ABORTED");
        refused(bench.api.finish(&launch.name, "").await, "LEASE_EXPIRED").state("ABORTED");
        let mut talk = super::talk::Talk::open(&bench.api).await;
        talk.say(page_of(1).request(&launch.name));
        refused(talk.answer().await, "LEASE_EXPIRED").state("ABORTED");
        // What was counted is known still.
        let told = key.result(&bench.api, &launch.name).await;
        assert_eq!(told.unwrap(), staged);
        // Ending it again changes nothing.
        let ended = bench.api.abort(&launch.name).await.unwrap();
        assert_eq!(ended.abort.unwrap().reason(), AbortReason::LeaseExpired);
        bench.api.delete(&launch.name).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_launch_has_its_lease_too() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.api.create("vm", leased(bench, 1, 0)).await.unwrap();
        let watcher = Watcher::of(bench, &launch.name).await.unwrap();
        bench.api.finish(&launch.name, "").await.unwrap();
        let told = watcher.rest().await;
        let last = told.last().unwrap();
        assert_eq!(
            last.abort.as_ref().unwrap().reason(),
            AbortReason::LeaseExpired
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renewing_and_every_change_begin_the_lease_anew() {
    on_every_platform(async |bench: &Bench| {
        let hour = Duration::from_secs(3600);
        let before = SystemTime::now();
        let launch = bench
            .api
            .create("vm", leased(bench, 3600, 0))
            .await
            .unwrap();
        // To the wall clock's and the protocol's precision.
        let slack = Duration::from_millis(1);
        assert!(expires(&launch) + slack >= before + hour);
        let mut last = expires(&launch);
        for round in 0..3 {
            let renewed = renew(bench, &launch.name).await.unwrap();
            assert!(expires(&renewed) > last, "round {round}: {renewed:?}");
            assert!(expires(&renewed) <= SystemTime::now() + hour + slack);
            bench.api.stage(&launch.name, page_of(round)).await.unwrap();
            let now = bench.api.get(&launch.name).await.unwrap();
            assert!(expires(&now) > expires(&renewed), "staging touches");
            last = expires(&now);
        }
        let finished = bench.api.finish(&launch.name, "").await.unwrap();
        assert!(expires(&finished) > last, "finishing touches");
        bench.api.abort(&launch.name).await.unwrap();
        refused(renew(bench, &launch.name).await, "WRONG_STATE").has_precondition();
        refused(renew(bench, "launches/none").await, "LAUNCH_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lies_within_the_advertised_bounds() {
    on_every_platform(async |bench: &Bench| {
        let limits = bench.api.node_info().await.limits.unwrap();
        let longest = i64::try_from(limits.max_lease_seconds).unwrap();
        for (seconds, nanos) in [
            (0, 0),
            (0, 999_999_999),
            (-1, 0),
            (longest, 1),
            (longest + 1, 0),
            (i64::MAX, 0),
            (i64::MIN, 0),
        ] {
            let created = bench.api.create("vm", leased(bench, seconds, nanos)).await;
            let refusal: Refusal = refused(created, "INVALID_LAUNCH");
            refusal.blames("spec.lease");
        }
        for (id, (seconds, nanos)) in [("short", (1, 0)), ("odd", (1, 5)), ("long", (longest, 0))] {
            let spec = leased(bench, seconds, nanos);
            let lease = spec.lease;
            let launch = bench.api.create(id, spec).await.unwrap();
            assert_eq!(launch.spec.unwrap().lease, lease);
        }
        let launch = bench.launch("unset").await;
        let lease = launch.spec.unwrap().lease.unwrap();
        assert_eq!(
            (u64::try_from(lease.seconds), lease.nanos),
            (Ok(limits.default_lease_seconds), 0)
        );
    })
    .await;
}
