//! SNP launches, call by call.
//!
//! **Invariant:** the digest that firmware ends up with is held against one that was computed from what the test staged.
use stagepages_kernel_model::Profile;
use stagepages_kernel_model::snp::vmsa;
use stagepages_kernel_model::vcpu::Vcpu;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    FinishLaunchRequest, LaunchState, PageType, Platform, RealModeState, SevSnpFinish,
};

use super::flow::Flow;
use super::{checks, order};
use crate::measured::{extend, hex};
use crate::rig::start;

const POLICY: u64 = 0x3_0000;
const VMSA: u8 = 2;
const VMSA_GPA: u64 = 0xffff_ffff_f000;
const SNP_ACTIVE: u64 = 1;

/// An ID block for that policy. What it says of the digest only firmware compares, and the model's does so where a script says so.
fn arguments() -> SevSnpFinish {
    let mut block = vec![0; 96];
    block[80] = 1;
    block[88..].copy_from_slice(&POLICY.to_le_bytes());
    SevSnpFinish {
        id_block: block.into(),
        id_auth: vec![0; 4096].into(),
        host_data: vec![0x5a; 32].into(),
        ..SevSnpFinish::default()
    }
}

/// The digest with the VMSAs of two vCPUs as they are after reset.
fn with_vcpus_at_reset(digest: [u8; 48]) -> String {
    let digest = (0..2).fold(digest, |digest, index| {
        let page = vmsa(&Vcpu::new(index), SNP_ACTIVE);
        extend(digest, VMSA, VMSA_GPA, page.as_slice())
    });
    hex(&digest)
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
        sev_snp: Some(arguments()),
        ..FinishLaunchRequest::default()
    };
    let finished = rig.api.launches.clone().finish_launch(request).await;
    let finished = finished.unwrap().into_inner().launch.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    assert_eq!(hex(&finished.launch_digest), hex(&digest), "vCPUs aside");
    let at_reset = with_vcpus_at_reset(digest);
    assert_eq!(flow.final_digest() == at_reset, !sets_vcpus);
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
