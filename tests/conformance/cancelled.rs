//! Cancellation and deadlines in the middle of a call: what was handed to the host is completed, whoever still waits for it.
use super::on_every_platform;
use prost::Message as _;
use stagepages_proto::v1::{GetLaunchRequest, LaunchState};
use stagepages_tests::{Api, Bench, Raw, frame, page, refused, snapshot};

use stagepages_tests::Slow;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_completes_its_extent() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let call = slow.start(bench);
        let seen = slow.underway(bench).await;
        assert_eq!(seen.state(), LaunchState::Staging);
        // Drops the call, which resets its stream.
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled(), "{seen:?}");
        slow.complete(bench).await;
        snapshot(&bench.api, &slow.launch.name).await;
        // A repeat meets its own pages.
        let refusal = refused(
            bench.api.stage(&slow.launch.name, slow.extent()).await,
            "ALREADY_INSTALLED",
        );
        refusal.at(page(0)).installed(0);
        assert_eq!(
            (refusal.meta("identical"), refusal.number("identical_pages")),
            ("true", slow.pages)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_completes_its_extent() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        // A runtime of its own takes its connection with it when it goes.
        let doomed = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (socket, name, extent) = (
            bench.daemon.socket().to_owned(),
            slow.launch.name.clone(),
            slow.extent(),
        );
        doomed.spawn(async move { Api::unix(&socket).await.stage(&name, extent).await });
        slow.underway(bench).await;
        doomed.shutdown_background();
        slow.complete(bench).await;
        snapshot(&bench.api, &slow.launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_in_the_middle_of_a_call_is_told_and_the_extent_completes() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        // By hand, because client libraries enforce deadlines themselves and would drown the server's answer.
        let mut raw = Raw::open(bench.daemon.socket()).await;
        let request = frame(0, &slow.extent().request(&slow.launch.name).encode_to_vec());
        let answer = raw
            .call(
                "/stagepages.v1.LaunchService/StagePages",
                &[("grpc-timeout", "200m")],
                request,
            )
            .await
            .unwrap();
        refused(answer.error(), "DEADLINE_EXPIRED");
        slow.complete(bench).await;
        snapshot(&bench.api, &slow.launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_already_is_told_too() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut raw = Raw::open(bench.daemon.socket()).await;
        let get = GetLaunchRequest {
            name: launch.name.clone(),
            uid: String::new(),
        }
        .encode_to_vec();
        let answer = raw
            .call(
                "/stagepages.v1.LaunchService/GetLaunch",
                &[("grpc-timeout", "0n")],
                frame(0, &get),
            )
            .await
            .unwrap();
        refused(answer.error(), "DEADLINE_EXPIRED");
        let answer = raw
            .call(
                "/stagepages.v1.LaunchService/GetLaunch",
                &[("grpc-timeout", "99999999H")],
                frame(0, &get),
            )
            .await
            .unwrap();
        assert_eq!(
            answer.status.as_ref().map(tonic::Status::code),
            Some(tonic::Code::Ok),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_answers_while_a_call_installs() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let call = slow.start(bench);
        let first = slow.underway(bench).await;
        let mut counts = vec![first.installed_pages];
        while !call.is_finished() {
            counts.push(
                bench
                    .api
                    .get(&slow.launch.name)
                    .await
                    .unwrap()
                    .installed_pages,
            );
        }
        assert!(counts.is_sorted(), "{counts:?}");
        counts.dedup();
        assert!(
            counts.len() > 2,
            "the count grows chunk by chunk, not {counts:?}"
        );
        let answer = call.await.unwrap().unwrap();
        assert_eq!((answer.installed_pages, answer.stop), (slow.pages, None));
    })
    .await;
}
