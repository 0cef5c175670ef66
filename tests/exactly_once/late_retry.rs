//! Retries that come late: onto a later launch of the same name, and of CreateLaunch and FinishLaunch.
use stagepages_proto::v1::{
    AbortLaunchRequest, DeleteLaunchRequest, FinishLaunchRequest, LaunchState, PageType,
    RenewLeaseRequest, WatchLaunchRequest,
};
use stagepages_tests::{Bench, Contents, Extent, Key, PAGE, page, refused, region, snapshot, spec};

use super::on_every_platform;
use super::talk::Talk;

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_requests_never_hit_a_later_launch_of_the_same_name() {
    on_every_platform(async |bench: &Bench| {
        let yesterday = bench.launch("vm").await;
        let extent = Extent::normal(page(0), Contents::new(51).pages(2));
        let mut request = Key::name("once").request(&yesterday.name, extent);
        request.uid = yesterday.uid.clone();
        bench.api.stage_request(request.clone()).await.unwrap();
        bench.api.abort("launches/vm").await.unwrap();
        bench.api.delete("launches/vm").await.unwrap();

        let today = bench.launch("vm").await;
        assert_ne!(today.uid, yesterday.uid);
        let (name, uid) = (yesterday.name.clone(), yesterday.uid);
        refused(
            bench.api.stage_request(request.clone()).await,
            "LAUNCH_NOT_FOUND",
        );
        let mut talk = Talk::open(&bench.api).await;
        talk.say(request.clone());
        refused(talk.heard().await, "LAUNCH_NOT_FOUND");
        let mut launches = bench.api.launches.clone();
        let finish = FinishLaunchRequest {
            name: name.clone(),
            uid: uid.clone(),
            ..FinishLaunchRequest::default()
        };
        refused(launches.finish_launch(finish).await, "LAUNCH_NOT_FOUND");
        let abort = AbortLaunchRequest {
            name: name.clone(),
            uid: uid.clone(),
        };
        refused(launches.abort_launch(abort).await, "LAUNCH_NOT_FOUND");
        let delete = DeleteLaunchRequest {
            name: name.clone(),
            uid: uid.clone(),
        };
        refused(launches.delete_launch(delete).await, "LAUNCH_NOT_FOUND");
        let renew = RenewLeaseRequest {
            name: name.clone(),
            uid: uid.clone(),
        };
        refused(launches.renew_lease(renew).await, "LAUNCH_NOT_FOUND");
        let watch = WatchLaunchRequest { name, uid };
        refused(launches.watch_launch(watch).await, "LAUNCH_NOT_FOUND");

        let now = bench.api.get("launches/vm").await.unwrap();
        assert_eq!(
            (now.state(), now.installed_pages),
            (LaunchState::Created, 0)
        );
        // Today's launch knows nothing of yesterday's names.
        request.uid = today.uid;
        let answer = bench.api.stage_request(request).await.unwrap();
        assert_eq!(answer.installed_pages, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create_launch_repeats_its_first_answer_whatever_came_of_the_launch() {
    on_every_platform(async |bench: &Bench| {
        let spec = spec(bench.platform, [region(page(0), 16 * PAGE)]);
        let first = bench.api.create("vm", spec.clone()).await.unwrap();
        let again = async |after: &str| {
            let again = bench.api.create("vm", spec.clone()).await.unwrap();
            assert_eq!(again, first, "after {after}");
        };
        again("nothing").await;
        let extent = Extent::length(page(0), PageType::Zero, PAGE);
        bench.api.stage("launches/vm", extent).await.unwrap();
        again("a page").await;
        bench.api.finish("launches/vm", "").await.unwrap();
        again("finish").await;
        bench.api.abort("launches/vm").await.unwrap();
        again("abort").await;
        // Only with the same spec.
        let mut other = spec.clone();
        other.lease = Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        });
        refused(bench.api.create("vm", other).await, "LAUNCH_EXISTS");
        bench.api.delete("launches/vm").await.unwrap();
        let new = bench.api.create("vm", spec.clone()).await.unwrap();
        assert_ne!(new.uid, first.uid);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_creates_of_one_id_at_once_make_one_launch() {
    on_every_platform(async |bench: &Bench| {
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let api = bench.api.clone();
            let spec = spec(bench.platform, [region(page(0), 16 * PAGE)]);
            racing.spawn(async move { api.create("vm", spec).await.unwrap() });
        }
        let mut answers = racing.join_all().await;
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finish_launch_repeats_its_first_answer() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let extent = Extent::normal(page(0), Contents::new(52).pages(3));
        bench.api.stage(&launch.name, extent).await.unwrap();
        // Where there is a digest it is one of the arguments.
        let digest = bench.api.get(&launch.name).await.unwrap().launch_digest;
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (api, name, digest) = (bench.api.clone(), launch.name.clone(), digest.clone());
            racing.spawn(async move { api.finish(&name, digest).await.unwrap() });
        }
        let mut answers = racing.join_all().await;
        answers.dedup();
        let [first] = answers.as_slice() else {
            panic!("more than one answer: {answers:?}");
        };
        assert_eq!(first.state(), LaunchState::Finished);
        let picture = snapshot(&bench.api, &launch.name).await;
        let again = bench.api.finish(&launch.name, digest.clone()).await;
        assert_eq!(again.unwrap(), *first);
        let other = if digest.is_empty() {
            vec![7; 48]
        } else {
            Vec::new()
        };
        refused(bench.api.finish(&launch.name, other).await, "WRONG_STATE");
        assert_eq!(snapshot(&bench.api, &launch.name).await, picture);
        bench.api.abort(&launch.name).await.unwrap();
        let again = bench.api.finish(&launch.name, digest).await;
        assert_eq!(again.unwrap(), *first, "also after the end");
    })
    .await;
}
