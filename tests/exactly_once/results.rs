//! GetStageResult: in every state of a launch, while a call runs, and for the calls whose own answer never arrived.
use prost::Message as _;
use stagepages_proto::v1::{GetStageResultRequest, PageType};
use stagepages_tests::{
    Bench, Contents, Extent, Key, PAGE, Raw, Refusal, Slow, call_result, eventually, frame, page,
    refused, snapshot,
};

use super::calls::{assert_complete, sequenced};
use super::on_every_platform;

#[tokio::test(flavor = "multi_thread")]
async fn every_state_but_that_of_a_dead_host_knows_the_answers() {
    on_every_platform(async |bench: &Bench| {
        let launch = sequenced(bench, "vm").await;
        let number = Key::Number(0);
        let unknown = |told, next: u64| {
            let refusal = refused(told, "RESULT_NOT_FOUND");
            assert_eq!(refusal.number("next_sequence"), next);
        };
        unknown(number.result(&bench.api, &launch.name).await, 0);
        unknown(Key::name("a").result(&bench.api, &launch.name).await, 0);

        let extent = Extent::normal(page(0), Contents::new(41).pages(3));
        let request = number.request(&launch.name, extent);
        let first = bench.api.stage_request(request).await.unwrap();
        for state in ["STAGING", "FINISHED", "ABORTED"] {
            match state {
                "FINISHED" => drop(bench.api.finish(&launch.name, "").await.unwrap()),
                "ABORTED" => drop(bench.api.abort(&launch.name).await.unwrap()),
                _ => {}
            }
            let told = number.result(&bench.api, &launch.name).await;
            assert_eq!(told.unwrap(), first, "{state}");
            unknown(Key::Number(1).result(&bench.api, &launch.name).await, 1);
            unknown(Key::name("a").result(&bench.api, &launch.name).await, 1);
        }
        bench.api.delete(&launch.name).await.unwrap();
        let told = number.result(&bench.api, &launch.name).await;
        refused(told, "LAUNCH_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_key_is_asked_for() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let ask = |sequence, request_id: &str, uid: &str| {
            let request = GetStageResultRequest {
                name: launch.name.clone(),
                uid: uid.to_owned(),
                sequence,
                request_id: request_id.to_owned(),
            };
            call_result(&bench.api, request)
        };
        refused(ask(None, "", "").await, "MALFORMED_REQUEST");
        refused(ask(Some(0), "a", "").await, "MALFORMED_REQUEST");
        refused(ask(Some(0), "", &launch.uid).await, "RESULT_NOT_FOUND");
        refused(ask(Some(0), "", &"0".repeat(32)).await, "LAUNCH_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_an_abort_stopped_is_told_with_its_count() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let key = Key::name("stopped");
        let request = key.request(&slow.launch.name, slow.extent());
        let api = bench.api.clone();
        let call = tokio::spawn(async move { api.stage_request(request).await });
        slow.underway(bench).await;
        let ended = bench.api.abort(&slow.launch.name).await.unwrap();
        let own = refused(call.await.unwrap(), "ABORTED_DURING_CALL");
        own.state("ABORTED").installed(ended.installed_pages);
        let told = key.result(&bench.api, &slow.launch.name).await;
        refused(told, "ABORTED_DURING_CALL")
            .state("ABORTED")
            .installed(ended.installed_pages);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_is_waited_for_and_told() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let key = Key::name("cancelled");
        let request = key.request(&slow.launch.name, slow.extent());
        let api = bench.api.clone();
        let call = tokio::spawn(async move { api.stage_request(request).await });
        slow.underway(bench).await;
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        let told = key.result(&bench.api, &slow.launch.name).await;
        assert_complete(&told.unwrap(), 0, slow.pages);
        // It has waited: nothing of the extent was left to install.
        let now = bench.api.get(&slow.launch.name).await.unwrap();
        assert_eq!(now.installed_pages, slow.pages);
        snapshot(&bench.api, &slow.launch.name).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_deadline_passed_is_waited_for_and_told() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let key = Key::name("late");
        // By hand, because client libraries enforce deadlines themselves and would drown the server's answer.
        let mut raw = Raw::open(bench.daemon.socket()).await;
        let request = key.request(&slow.launch.name, slow.extent());
        let answer = raw
            .call(
                "/stagepages.v1.LaunchService/StagePages",
                &[("grpc-timeout", "100m")],
                frame(0, &request.encode_to_vec()),
            )
            .await
            .unwrap();
        refused(answer.error(), "DEADLINE_EXPIRED");
        let told = key.result(&bench.api, &slow.launch.name).await;
        assert_complete(&told.unwrap(), 0, slow.pages);
        let again = bench.api.stage_request(request).await;
        assert_complete(&again.unwrap(), 0, slow.pages);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_host_takes_its_answers_along_and_that_is_said() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let key = Key::name("lost");
        let extent = || Extent::length(page(0), PageType::Zero, PAGE);
        let request = key.request(&launch.name, extent());
        bench.api.stage_request(request.clone()).await.unwrap();
        let host = nix::unistd::Pid::from_raw(launch.host_pid.try_into().unwrap());
        nix::sys::signal::kill(host, nix::sys::signal::Signal::SIGKILL).unwrap();
        eventually("the end of the launch", async || {
            let now = bench.api.get(&launch.name).await.unwrap();
            now.abort
        })
        .await;
        refused(key.result(&bench.api, &launch.name).await, "HOST_DIED").state("ABORTED");
        let again = bench.api.stage_request(request).await.unwrap_err();
        let reason = Refusal::of(&again).reason;
        assert!(
            ["HOST_DIED", "WRONG_STATE"].contains(&reason.as_str()),
            "{again:?}"
        );
    })
    .await;
}
