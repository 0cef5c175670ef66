//! TDX launches, call by call.
//!
//! **Invariant:** the measurement that the module ends up with is held against one that was computed from what the test staged.
use stagepages_kernel_model::Profile;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{LaunchState, PageType, Platform, TdxVcpuState};

use super::flow::Flow;
use super::order;
use crate::measured::hex;
use crate::rig::start;

async fn whole_launch(profile: Profile, config: &str, limit: u64) {
    let (bench, rig) = start(Platform::Tdx, profile, config).await;
    let mut flow = Flow::create(&bench, &rig).await;
    flow.set_vcpu(1, State::Tdx(TdxVcpuState { rcx: 0x1234 }))
        .await;
    flow.stage(0, PageType::Normal, 200).await;
    flow.stage(0x100, PageType::Zero, 130).await;
    flow.stage(0x200, PageType::Unmeasured, 70).await;
    flow.stage_blank(0x300, 65).await;
    flow.crowd(0x400, 40).await;
    flow.stage(0x4_0000, PageType::Normal, 64).await;
    flow.stage(0x4_00ff, PageType::Normal, 1).await;
    let digest = flow.agrees().await;
    flow.closes_all_on_exec();

    let finished = rig.api.finish(&flow.launch.name, digest.clone()).await;
    let finished = finished.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    assert_eq!(finished.launch_digest, digest);
    assert_eq!(flow.final_digest(), hex(&digest), "what was told before");
    flow.closes_all_on_exec();
    flow.follows_the_rules(limit);
    let events = flow.events();
    order::tdx(&events).unwrap();
    let told_rcx = events.iter().filter_map(|event| event.ended());
    let told_rcx: Vec<_> = told_rcx
        .filter(|note| note.call == "KVM_TDX_INIT_VCPU")
        .map(|note| (note.vcpu, note.detail.clone().unwrap_or_default()))
        .collect();
    let expected = [(Some(0), "rcx=0x0"), (Some(1), "rcx=0x1234")];
    assert_eq!(told_rcx, expected.map(|(vcpu, rcx)| (vcpu, rcx.to_owned())));
    rig.api.abort(&flow.launch.name).await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tdx_launches_follow_the_rules_on_every_kernel() {
    for profile in [Profile::V6_18, Profile::V6_19, Profile::V7_1] {
        whole_launch(profile, "", 64).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tdx_launches_take_as_many_pages_at_once_as_they_are_told() {
    whole_launch(Profile::V7_1, "chunk_pages = 4", 4).await;
}
