//! SNP launches, call by call.
//!
//! **Invariant:** the digest that firmware ends up with is held against the one that was told before, and that against one computed from what the test staged.
use stagepages_kernel_model::Profile;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    FinishLaunchRequest, LaunchState, PageType, Platform, RealModeState, SevSnpFinish,
};

use super::flow::Flow;
use super::{checks, order};
use crate::measured::hex;
use crate::rig::start;

const POLICY: u64 = 0x3_0000;

/// An ID block for that policy and this digest.
fn arguments(digest: &[u8]) -> SevSnpFinish {
    let mut block = vec![0; 96];
    block[..48].copy_from_slice(digest);
    block[80] = 1;
    block[88..].copy_from_slice(&POLICY.to_le_bytes());
    SevSnpFinish {
        id_block: block.into(),
        id_auth: vec![0; 4096].into(),
        host_data: vec![0x5a; 32].into(),
        ..SevSnpFinish::default()
    }
}

async fn whole_launch(profile: Profile, config: &str, limit: u64, sets_vcpus: bool) {
    let (bench, rig) = start(Platform::SevSnp, profile, config).await;
    let mut flow = Flow::create(&bench, &rig).await;
    let real_mode = |ip| {
        State::RealMode(RealModeState {
            ip,
            ..RealModeState::default()
        })
    };
    if sets_vcpus {
        flow.set_vcpu(0, real_mode(0x100)).await;
    }
    flow.stage(0, PageType::Normal, 200).await;
    flow.stage(0x100, PageType::Zero, 130).await;
    flow.stage(0x200, PageType::Unmeasured, 70).await;
    flow.stage(0x280, PageType::Secrets, 3).await;
    flow.stage(0x290, PageType::Cpuid, 1).await;
    flow.stage_blank(0x300, 65).await;
    if sets_vcpus {
        flow.set_vcpu(1, real_mode(0x200)).await;
    }
    flow.crowd(0x400, 40).await;
    flow.stage(0x4_0000, PageType::Normal, 64).await;
    flow.stage(0x4_00ff, PageType::Normal, 1).await;
    let digest = flow.agrees().await;
    flow.closes_all_on_exec();

    let request = FinishLaunchRequest {
        name: flow.launch.name.clone(),
        expected_launch_digest: digest.clone(),
        sev_snp: Some(arguments(&digest)),
        ..FinishLaunchRequest::default()
    };
    let finished = rig.api.launches.clone().finish_launch(request).await;
    let finished = finished.unwrap().into_inner().launch.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    assert_eq!(hex(&finished.launch_digest), hex(&digest));
    assert_eq!(flow.final_digest(), hex(&digest), "what was told before");
    flow.closes_all_on_exec();
    flow.follows_the_rules(limit);
    let events = flow.events();
    order::snp(&events).unwrap();
    checks::one_sev_descriptor(&events).unwrap();
    rig.api.abort(&flow.launch.name).await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snp_launches_follow_the_rules_on_every_kernel() {
    for profile in Profile::ALL {
        whole_launch(profile, "", 64, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snp_launches_measure_pages_and_then_vcpus() {
    whole_launch(Profile::V6_18, "", 64, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snp_launches_take_as_many_pages_at_once_as_they_are_told() {
    whole_launch(Profile::V7_1, "chunk_pages = 4", 4, true).await;
}
