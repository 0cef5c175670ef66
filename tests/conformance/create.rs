//! CreateLaunch and GetLaunch: what a launch is when it is born, and what a repeat means.
use std::collections::HashMap;

use super::on_every_platform;
use stagepages_proto::v1::{
    CreateLaunchRequest, GetLaunchRequest, LaunchSpec, LaunchState, OrderingMode, Platform,
    VerifyLaunchRequest,
};
use stagepages_tests::{Bench, PAGE, SNP_ACTIVE, page, refused, region, spec, with_vcpus_at_reset};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_launch_is_what_was_asked_for_and_holds_nothing() {
    on_every_platform(async |bench: &Bench| {
        let asked = LaunchSpec {
            labels: HashMap::from([
                ("team".to_owned(), "red".to_owned()),
                ("empty".to_owned(), String::new()),
            ]),
            ..spec(
                bench.platform,
                [
                    region(page(0), PAGE),
                    region(page(1), 2 * PAGE),
                    region(page(1 << 20), 4 * PAGE),
                ],
            )
        };
        let launch = bench.api.create("Vm-1.a_b", asked.clone()).await.unwrap();
        assert_eq!(launch.name, "launches/Vm-1.a_b");
        // What was left to the daemon is said.
        let spec = launch.spec.clone().unwrap();
        assert_eq!(spec.ordering(), OrderingMode::Unordered);
        assert!(spec.lease.is_some_and(|lease| lease.seconds > 0));
        assert_eq!(spec.vcpus, 1);
        let said = LaunchSpec {
            ordering: 0,
            lease: None,
            vcpus: 0,
            ..spec
        };
        assert_eq!(said, asked);
        assert_eq!(launch.state(), LaunchState::Created);
        assert!(
            launch.uid.len() == 32 && launch.uid.chars().all(|c| c.is_ascii_hexdigit()),
            "{}",
            launch.uid
        );
        let abilities = bench.abilities();
        assert_eq!(launch.confidential, abilities.confidential);
        assert!(launch.abort.is_none() && !launch.resources_released);
        assert!(launch.installed_pages == 0 && launch.end_time.is_none() && launch.host_pid > 0);
        assert!(
            launch
                .create_time
                .is_some_and(|time| time.seconds > 1_700_000_000)
        );
        let digest = &launch.launch_digest;
        let bytes = bench.info().await.launch_digest_bytes;
        assert_eq!(u32::try_from(digest.len()), Ok(bytes));
        if abilities.snp_digest {
            let vcpu = with_vcpus_at_reset([0; 48], 1, SNP_ACTIVE);
            assert_eq!(**digest, vcpu, "SNP's starts from zeros");
        }
        assert_eq!(launch.measured_pages, 0);
        assert_eq!(bench.api.get("launches/Vm-1.a_b").await.unwrap(), launch);

        let verified = bench.api.verify(&launch.name).await.unwrap();
        assert!(
            verified.consistent && verified.pages_checked == 0,
            "{verified:?}"
        );
        let info = bench.api.node_info().await.usage.unwrap();
        assert_eq!(
            (info.launches, info.live_launches, info.draining),
            (1, 1, false)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_an_equal_spec_is_the_same_launch() {
    on_every_platform(async |bench: &Bench| {
        let first = bench.launch("vm").await;
        assert_eq!(bench.launch("vm").await, first);

        // A label more is another spec, and so is a page more.
        let mut labelled = first.spec.clone().unwrap();
        labelled.labels.insert("a".to_owned(), "b".to_owned());
        let longer = spec(bench.platform, [region(page(0), 1025 * PAGE)]);
        for other in [labelled, longer] {
            let refusal = refused(bench.api.create("vm", other).await, "LAUNCH_EXISTS");
            assert_eq!(refusal.meta("launch"), "launches/vm");
        }
        assert_eq!(bench.api.get("launches/vm").await.unwrap(), first);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_creates_of_one_id_make_one_launch() {
    on_every_platform(async |bench: &Bench| {
        let mut racers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (api, spec) = (
                bench.api.clone(),
                spec(bench.platform, [region(page(0), 16 * PAGE)]),
            );
            racers.spawn(async move { api.create("raced", spec).await.unwrap().uid });
        }
        let uids = racers.join_all().await;
        assert!(uids.iter().all(|uid| *uid == uids[0]), "{uids:?}");
        assert_eq!(bench.api.node_info().await.usage.unwrap().live_launches, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_makes_ids_that_differ() {
    on_every_platform(async |bench: &Bench| {
        let (first, second) = (bench.launch("").await, bench.launch("").await);
        assert_ne!(first.name, second.name);
        assert_ne!(first.uid, second.uid);
        for launch in [&first, &second] {
            assert!(
                launch.name.starts_with("launches/") && launch.name.len() > "launches/".len(),
                "{}",
                launch.name
            );
            assert_eq!(bench.api.get(&launch.name).await.unwrap(), *launch);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uid_tells_a_launch_from_an_earlier_one_of_its_name() {
    on_every_platform(async |bench: &Bench| {
        let old = bench.launch("vm").await;
        bench.api.abort(&old.name).await.unwrap();
        bench.api.delete(&old.name).await.unwrap();
        let new = bench.launch("vm").await;
        assert_ne!(old.uid, new.uid);

        let mut client = bench.api.launches.clone();
        let get = |uid: &str| GetLaunchRequest {
            name: new.name.clone(),
            uid: uid.to_owned(),
        };
        refused(client.get_launch(get(&old.uid)).await, "LAUNCH_NOT_FOUND");
        assert_eq!(
            client
                .get_launch(get(&new.uid))
                .await
                .unwrap()
                .into_inner()
                .launch
                .unwrap(),
            new
        );
        let stale = VerifyLaunchRequest {
            name: new.name.clone(),
            uid: old.uid.clone(),
        };
        refused(client.verify_launch(stale).await, "LAUNCH_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_platform_only_a_confidential_one_will_do() {
    on_every_platform(async |bench: &Bench| {
        let info = bench.api.node_info().await;
        let confidential = info
            .platforms
            .iter()
            .any(|platform| platform.confidential && platform.available);
        let request = CreateLaunchRequest {
            launch_id: "any".to_owned(),
            spec: Some(spec(Platform::Unspecified, [region(page(0), PAGE)])),
        };
        let answer = bench.api.launches.clone().create_launch(request).await;
        if confidential {
            assert!(answer.unwrap().into_inner().launch.unwrap().confidential);
        } else {
            refused(answer, "PLATFORM_UNAVAILABLE").has_precondition();
            refused(bench.api.get("launches/any").await, "LAUNCH_NOT_FOUND");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_missing_is_refused_with_every_missing_thing() {
    on_every_platform(async |bench: &Bench| {
        for info in bench
            .api
            .node_info()
            .await
            .platforms
            .iter()
            .filter(|info| !info.available)
        {
            let created = bench
                .api
                .create("nowhere", spec(info.platform(), [region(page(0), PAGE)]))
                .await;
            let refusal = refused(created, "PLATFORM_UNAVAILABLE");
            refusal.has_precondition();
            for check in info.checks.iter().filter(|check| !check.ok) {
                let said = format!("{refusal:?}");
                assert!(
                    said.contains(&check.subject),
                    "does not name {}: {said}",
                    check.subject
                );
            }
        }
    })
    .await;
}
