//! Settings of TDX.
//!
//! **Invariant:** no leaf is answered with what it may have at most, where it leaves a choice.
use stagepages_kernel_model::{Call, Profile};
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    LaunchSpec, Platform, TdxCpuidEntry, TdxSettings, TdxVcpuState, VcpuState,
};

use super::{bytes, calls, expected, launch_of, live, takes_anything, the_call, told};
use crate::measured::hex;
use crate::rig::{Rig, start};

/// EAX\[23:16\] of it is how wide guest-physical addresses are, which KVM takes as 48 or 52 only.
const ADDRESS_SIZES: u32 = 0x8000_0008;
const ATTRIBUTES: u64 = 0x1122_3344_5566_7788;
const XFAM: u64 = 0x99aa_bbcc_ddee_ff00;
/// Of each vCPU.
const RCX: [u64; 2] = [0x1020_3040_5060_7080, 0x8070_6050_4030_2010];

/// An answer for every leaf that can be chosen.
fn leaves(masks: &[TdxCpuidEntry]) -> Vec<TdxCpuidEntry> {
    let some_of = |mask: u32| match mask.count_ones() {
        0 | 1 => mask,
        _ => mask & (mask - 1),
    };
    let leaf = |mask: &TdxCpuidEntry| TdxCpuidEntry {
        function: mask.function,
        index: mask.index,
        eax: if mask.function == ADDRESS_SIZES {
            48 << 16
        } else {
            some_of(mask.eax)
        },
        ebx: some_of(mask.ebx),
        ecx: some_of(mask.ecx),
        edx: some_of(mask.edx),
    };
    masks.iter().map(leaf).collect()
}

async fn tdx_settings(rig: &Rig, masks: &[TdxCpuidEntry]) {
    let (mrconfigid, mrowner, mrownerconfig) = (bytes(0x11, 48), bytes(0x55, 48), bytes(0x99, 48));
    let cpuid = leaves(masks);
    let vcpu = |(index, rcx)| VcpuState {
        index,
        state: Some(State::Tdx(TdxVcpuState { rcx })),
    };
    let asked = LaunchSpec {
        tdx: Some(TdxSettings {
            attributes: Some(ATTRIBUTES),
            xfam: Some(XFAM),
            mrconfigid: mrconfigid.clone(),
            mrowner: mrowner.clone(),
            mrownerconfig: mrownerconfig.clone(),
            cpuid: cpuid.clone(),
        }),
        vcpu_states: (0..).zip(RCX).map(vcpu).collect(),
        ..launch_of(rig)
    };
    let events = live(rig, asked, |_| None).await;
    let mut init = expected([
        ("attributes", format!("{ATTRIBUTES:#x}")),
        ("xfam", format!("{XFAM:#x}")),
        ("mrconfigid", hex(&mrconfigid)),
        ("mrowner", hex(&mrowner)),
        ("mrownerconfig", hex(&mrownerconfig)),
        ("leaves", cpuid.len().to_string()),
    ]);
    for leaf in &cpuid {
        let TdxCpuidEntry {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
        } = leaf;
        let name = format!("cpuid.{function:#x}.{index:#x}");
        init.insert(name, format!("{eax:#x},{ebx:#x},{ecx:#x},{edx:#x}"));
    }
    assert_eq!(the_call(&events, Call::TdxInitVm), init);
    let vcpus = calls(&events, Call::TdxInitVcpu);
    let vcpus: Vec<_> = vcpus.iter().map(|note| (note.vcpu, told(note))).collect();
    let rcx = |(index, rcx)| (Some(index), expected([("rcx", format!("{rcx:#x}"))]));
    assert_eq!(vcpus, (0..).zip(RCX).map(rcx).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_of_tdx_reaches_the_kernel() {
    for profile in Profile::ALL.into_iter().filter(|kernel| kernel.has_tdx()) {
        let (bench, rig) = start(Platform::Tdx, profile, "").await;
        rig.play(&takes_anything(&rig));
        let masks = bench.info().await.tdx.expect("what KVM takes").cpuid;
        assert!(masks.len() > 2, "{masks:?}");
        tdx_settings(&rig, &masks).await;
        bench.end().await;
    }
}
