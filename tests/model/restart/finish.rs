//! FinishLaunch and its repeats, across deaths: the first answer is every later one's, as long as there is a record.
//!
//! **Invariant:** firmware is asked to finish once.
use nix::sys::signal::{Signal, kill};
use stagepages_proto::v1::{
    FinishLaunchRequest, Launch, LaunchState, PageType, Platform, SevSnpFinish,
};
use stagepages_tests::{Contents, Extent, over, page, refused};
use tonic::Status;

use super::{Mortal, times};
use crate::measured::Measured;
use crate::rig::Mark;

const POLICY: u64 = 0x3_0000;

/// An ID block for the ordinary policy and the pages of every launch here, an ID authentication, host data.
fn arguments() -> SevSnpFinish {
    let mut measured = Measured::default();
    measured.add(0, PageType::Normal, &pages());
    let mut block = vec![0; 96];
    block[..48].copy_from_slice(&measured.snp_with_vcpus(2));
    block[80] = 1;
    block[88..].copy_from_slice(&POLICY.to_le_bytes());
    SevSnpFinish {
        id_block: block.into(),
        id_auth: vec![0; 4096].into(),
        host_data: vec![0x5a; 32].into(),
        ..SevSnpFinish::default()
    }
}

/// Arguments that differ in one part each.
fn others() -> Vec<Option<SevSnpFinish>> {
    let mut block = arguments();
    let mut bytes = block.id_block.to_vec();
    bytes[0] ^= 1;
    block.id_block = bytes.into();
    let mut auth = arguments();
    let mut bytes = auth.id_auth.to_vec();
    bytes[4095] ^= 1;
    auth.id_auth = bytes.into();
    let mut host_data = arguments();
    host_data.host_data = vec![0x5b; 32].into();
    let mut bare = arguments();
    bare.host_data = Vec::new().into();
    let some = [block, auth, host_data, bare, SevSnpFinish::default()];
    some.into_iter().map(Some).chain([None]).collect()
}

async fn finish(
    mortal: &Mortal,
    name: &str,
    sev_snp: Option<SevSnpFinish>,
) -> Result<Launch, Status> {
    let request = FinishLaunchRequest {
        name: name.to_owned(),
        sev_snp,
        ..FinishLaunchRequest::default()
    };
    let answer = mortal
        .rig
        .api
        .launches
        .clone()
        .finish_launch(request)
        .await?;
    Ok(answer.into_inner().launch.unwrap())
}

fn pages() -> bytes::Bytes {
    Contents::new(9).pages(3)
}

/// A launch with some pages.
async fn staged(mortal: &Mortal, id: &str) -> (Mark, Launch) {
    let mark = mortal.rig.mark();
    let launch = mortal.launch(id, 64).await;
    let extent = Extent::normal(page(0), pages());
    mortal.rig.api.stage(&launch.name, extent).await.unwrap();
    (mark, launch)
}

/// A repeat with `given` gets the first answer, and one with anything else is refused by a launch in this state.
async fn repeats(mortal: &Mortal, first: &Launch, given: Option<SevSnpFinish>, state: &str) {
    let again = finish(mortal, &first.name, given.clone()).await.unwrap();
    assert_eq!(again, *first, "the first answer, of a launch now {state}");
    for other in others().into_iter().chain([Some(arguments())]) {
        if other != given {
            let refusal = refused(finish(mortal, &first.name, other).await, "WRONG_STATE");
            refusal.state(state).has_precondition();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_finish_of_snp_is_known_by_all_of_its_arguments() {
    let mut mortal = Mortal::start(Platform::SevSnp).await;
    let (mark, launch) = staged(&mortal, "vm").await;
    let (_, killed) = staged(&mortal, "killed").await;
    let (_, bare) = staged(&mortal, "bare").await;
    let given = Some(arguments());
    let first = finish(&mortal, &launch.name, given.clone()).await.unwrap();
    assert_eq!(first.state(), LaunchState::Finished);
    let of_killed = finish(&mortal, &killed.name, given.clone()).await.unwrap();
    let of_bare = finish(&mortal, &bare.name, None).await.unwrap();
    for _ in 0..2 {
        repeats(&mortal, &first, given.clone(), "FINISHED").await;
        repeats(&mortal, &of_killed, given.clone(), "FINISHED").await;
        repeats(&mortal, &of_bare, None, "FINISHED").await;
        mortal.renew_daemon().await;
    }
    repeats(&mortal, &first, given.clone(), "FINISHED").await;
    let events = mortal.events(mark, &launch);
    assert_eq!(times(&events, mortal.finish()), 1);

    // The launch is over, its host is gone, and then so is the daemon that saw it.
    mortal.rig.api.abort(&launch.name).await.unwrap();
    mortal.rig.api.abort(&bare.name).await.unwrap();
    kill(mortal.bench.daemon.host(&killed), Signal::SIGKILL).unwrap();
    for name in [&launch.name, &bare.name, &killed.name] {
        over(&mortal.bench, name).await;
    }
    for _ in 0..2 {
        repeats(&mortal, &first, given.clone(), "ABORTED").await;
        repeats(&mortal, &of_killed, given.clone(), "ABORTED").await;
        repeats(&mortal, &of_bare, None, "ABORTED").await;
        mortal.renew_service().await;
    }
    mortal.end().await;
}

/// The daemon dies while the platform finishes: the host has it done, and the repeat is told so.
async fn is_carried_out(platform: Platform, given: Option<SevSnpFinish>) {
    let mut mortal = Mortal::start(platform).await;
    mortal.slow_down();
    let (mark, launch) = staged(&mortal, "vm").await;
    let name = launch.name.clone();
    let (mut launches, request) = (
        mortal.rig.api.launches.clone(),
        FinishLaunchRequest {
            name: name.clone(),
            sev_snp: given.clone(),
            ..FinishLaunchRequest::default()
        },
    );
    let call = tokio::spawn(async move { launches.finish_launch(request).await });
    mortal.is_in(mark, &launch, mortal.finish()).await;
    mortal.bench.daemon.kill_daemon();
    let broken = call.await.unwrap().unwrap_err();
    assert!(broken.details().is_empty(), "{broken:?}");
    mortal.reborn().await;

    let found = stagepages_tests::answered(&mortal.bench, &name).await;
    assert_eq!(
        (found.state(), found.installed_pages),
        (LaunchState::Finished, 3)
    );
    let first = finish(&mortal, &name, given.clone()).await.unwrap();
    assert_eq!(first.state(), LaunchState::Finished);
    if platform == Platform::SevSnp {
        repeats(&mortal, &first, given.clone(), "FINISHED").await;
    }
    mortal.renew_daemon().await;
    assert_eq!(finish(&mortal, &name, given).await.unwrap(), first);
    let events = mortal.events(mark, &launch);
    assert_eq!(times(&events, mortal.finish()), 1);
    crate::trace::checks::every_rule(&events, 64).unwrap();
    mortal.rig.api.abort(&name).await.unwrap();
    mortal.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_snp_is_at_is_carried_out_without_a_daemon() {
    is_carried_out(Platform::SevSnp, Some(arguments())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_tdx_is_at_is_carried_out_without_a_daemon() {
    is_carried_out(Platform::Tdx, None).await;
}
