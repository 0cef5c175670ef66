//! The daemon dies between SetVcpuState and what it is for: the first page on `tdx`, the finish on `sev-snp`.
//!
//! **Invariant:** how a vCPU begins is read from what the platform was told, never from an answer of the daemon.
use stagepages_kernel_model::{Call, Event};
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    Launch, LaunchState, Platform, RealModeState, SetVcpuStateRequest, SetVcpuStateResponse,
    TdxVcpuState, VcpuState,
};
use stagepages_tests::{Contents, Extent, page, refused};
use tonic::{Response, Status};

use super::Mortal;
use crate::trace::checks;

async fn set(
    mortal: &Mortal,
    launch: &Launch,
    index: u32,
    state: State,
) -> Result<Response<SetVcpuStateResponse>, Status> {
    let request = SetVcpuStateRequest {
        name: launch.name.clone(),
        uid: String::new(),
        state: Some(VcpuState {
            index,
            state: Some(state),
        }),
    };
    let mut launches = mortal.rig.api.launches.clone();
    launches.set_vcpu_state(request).await
}

async fn stage(mortal: &Mortal, launch: &Launch, gfn: u64) {
    let extent = Extent::normal(page(gfn), Contents::new(gfn).pages(3));
    mortal.rig.api.stage(&launch.name, extent).await.unwrap();
}

/// What each vCPU of a TD was made with.
fn told_rcx(events: &[Event]) -> Vec<(u32, String)> {
    let ended = events.iter().filter_map(Event::ended);
    let made = ended.filter(|note| note.is(Call::TdxInitVcpu));
    made.map(|note| (note.vcpu.unwrap(), note.detail.clone().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_td_begins_with_is_kept_without_a_daemon() {
    let mut mortal = Mortal::start(Platform::Tdx).await;
    let rcx = |rcx| State::Tdx(TdxVcpuState { rcx });
    let mark = mortal.rig.mark();
    let launch = mortal.launch("vm", 64).await;
    set(&mortal, &launch, 0, rcx(0xdead)).await.unwrap();
    set(&mortal, &launch, 1, rcx(0x1234_5678_9abc_def0))
        .await
        .unwrap();
    mortal.renew_daemon().await;
    // The last call counts, whichever daemon it went to.
    set(&mortal, &launch, 0, rcx(0xbeef)).await.unwrap();
    mortal.renew_daemon().await;
    assert_eq!(told_rcx(&mortal.events(mark, &launch)), []);
    stage(&mortal, &launch, 0).await;
    let expected = [(0, "rcx=0xbeef"), (1, "rcx=0x123456789abcdef0")];
    let expected = expected.map(|(index, rcx)| (index, rcx.to_owned()));
    assert_eq!(told_rcx(&mortal.events(mark, &launch)), expected);

    mortal.renew_daemon().await;
    let late = set(&mortal, &launch, 1, rcx(1)).await;
    refused(late, "WRONG_STATE").state("STAGING");
    stage(&mortal, &launch, 8).await;
    let finished = mortal.rig.api.finish(&launch.name, vec![]).await.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    let events = mortal.events(mark, &launch);
    assert_eq!(told_rcx(&events), expected, "each once");
    checks::every_rule(&events, 64).unwrap();
    mortal.rig.api.abort(&launch.name).await.unwrap();
    mortal.end().await;
}

/// The digest that firmware ends up with when the daemon is killed `deaths` times, between the steps.
async fn measured(mortal: &mut Mortal, id: &str, deaths: bool) -> String {
    let real_mode = |ip| {
        State::RealMode(RealModeState {
            ip,
            ..RealModeState::default()
        })
    };
    let mark = mortal.rig.mark();
    let launch = mortal.launch(id, 64).await;
    for (index, gfn) in [(1, 0), (0, 8)] {
        let ip = 0x100 * (index + 1);
        set(mortal, &launch, index, real_mode(ip)).await.unwrap();
        if deaths {
            mortal.renew_daemon().await;
        }
        stage(mortal, &launch, gfn).await;
    }
    mortal.rig.api.finish(&launch.name, vec![]).await.unwrap();
    let events = mortal.events(mark, &launch);
    let digest = events.iter().find_map(checks::digest_told);
    mortal.rig.api.abort(&launch.name).await.unwrap();
    digest.expect("firmware finished a launch").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_snp_measures_of_vcpus_is_kept_without_a_daemon() {
    let mut mortal = Mortal::start(Platform::SevSnp).await;
    let undisturbed = measured(&mut mortal, "calm", false).await;
    assert_eq!(measured(&mut mortal, "vm", true).await, undisturbed);
    mortal.end().await;
}
