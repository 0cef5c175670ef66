//! The launch digest that is told before the end, against the one that the modelled firmware ends up with: vCPUs in every state, features, and the guard.
//!
//! The model makes save areas of what the kernel was told by ioctl, and measures them itself; the product foretells them from what the API was told.
//!
//! **Invariant:** what is compared was computed by two programs that share no code.
use stagepages_kernel_model::{Call, Event, Profile};
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    DescriptorTable, GeneralRegisters, Launch, LaunchSpec, LaunchState, LongModeState, PageType,
    Platform, RealModeState, Segment, SetVcpuStateRequest, SevSnpSettings, TdxVcpuState,
    VcpuRegisters, VcpuReset, VcpuState,
};
use stagepages_tests::{Contents, Extent, PAGE, page, refused, region, spec};

use crate::measured::hex;
use crate::rig::{Mark, Rig, of_process, start};
use crate::trace::checks;

/// Bits of SEV_FEATURES that this machine's KVM takes: debug swap, and one that no kernel has yet.
const FEATURES: u64 = 1 << 5 | 1 << 40;

fn general(seed: u64) -> GeneralRegisters {
    let value = |nth: u64| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) ^ nth;
    GeneralRegisters {
        rax: value(1),
        rbx: value(2),
        rcx: value(3),
        rdx: value(4),
        rsi: value(5),
        rdi: value(6),
        rbp: value(7),
        r8: value(8),
        r9: value(9),
        r10: value(10),
        r11: value(11),
        r12: value(12),
        r13: value(13),
        r14: value(14),
        r15: value(15),
    }
}

/// 32-bit protected mode, with nothing as reset leaves it.
fn protected() -> State {
    let segment = |selector, attributes| {
        Some(Segment {
            selector,
            attributes,
            limit: 0xffff_ffff,
            base: 0,
        })
    };
    let table = |base| Some(DescriptorTable { base, limit: 0x7f });
    State::Registers(VcpuRegisters {
        rip: 0x1234,
        rsp: 0x8000,
        rflags: 0x202,
        general: Some(general(3)),
        cs: segment(0x8, 0xc09b),
        ds: segment(0x10, 0xc093),
        es: segment(0x18, 0xc093),
        fs: segment(0x20, 0xc093),
        gs: segment(0x28, 0xc093),
        ss: segment(0x10, 0xc093),
        tr: Some(Segment {
            selector: 0x30,
            attributes: 0x8b,
            limit: 0x67,
            base: 0x5000,
        }),
        ldtr: None,
        gdtr: table(0x6000),
        idtr: table(0x7000),
        cr0: 0x31,
        cr2: 0xdead_b000,
        cr3: 0x3000,
        cr4: 0x640,
        efer: 0,
        pat: Some(0x0006_0406_0007_0406),
    })
}

fn states() -> [State; 4] {
    let real = RealModeState {
        cs: 0x1000,
        ip: 0x20,
        sp: 0xfff0,
        general: Some(general(1)),
    };
    let long = LongModeState {
        rip: 0x4000,
        rsp: 0x9000,
        cr3: 0x2000,
        general: Some(general(2)),
    };
    [
        State::Reset(VcpuReset {}),
        State::RealMode(real),
        State::LongMode(long),
        protected(),
    ]
}

async fn set(rig: &Rig, launch: &Launch, index: u32, state: State) {
    let request = SetVcpuStateRequest {
        name: launch.name.clone(),
        uid: String::new(),
        state: Some(VcpuState {
            index,
            state: Some(state),
        }),
    };
    let set = rig.api.launches.clone().set_vcpu_state(request).await;
    set.unwrap();
}

async fn stage(rig: &Rig, launch: &Launch) {
    let data = Contents::new(23).pages(70);
    for extent in [
        Extent::normal(page(0), data),
        Extent::length(page(0x80), PageType::Zero, 3 * PAGE),
        Extent::data(page(0x90), PageType::Unmeasured, vec![5; 4096]),
    ] {
        rig.api.stage(&launch.name, extent).await.unwrap();
    }
}

/// What the launch's host asked of the kernel to end staging.
fn ends(rig: &Rig, since: Mark, launch: &Launch) -> usize {
    let ends = |event: &&Event| {
        checks::begun(event).is_some_and(|note| {
            let calls = [Call::SnpLaunchFinish, Call::TdxFinalizeVm, Call::CreateVcpu];
            // A TD's vCPUs are made before its first page.
            calls.iter().any(|call| {
                note.is(*call) && (rig.platform, *call) != (Platform::Tdx, Call::CreateVcpu)
            })
        })
    };
    let events = of_process(&rig.events(since), launch.host_pid);
    events.iter().filter(ends).count()
}

/// Finishes it: with a wrong digest, which nothing comes of, and then with the one that it tells. Both are told; that is the one that firmware has.
async fn finishes_under_its_digest(rig: &Rig, since: Mark, launch: &Launch) -> String {
    let before = rig.api.get(&launch.name).await.unwrap();
    assert_eq!(before.measured_pages, before.installed_pages);
    let digest = before.launch_digest.clone();
    for at in [0, 47] {
        let mut other = digest.to_vec();
        other[at] ^= 0x80;
        let answer = rig.api.finish(&launch.name, other.clone()).await;
        let refusal = refused(answer, "DIGEST_MISMATCH");
        refusal.state("STAGING");
        assert_eq!(refusal.meta("field"), "expected_launch_digest");
        assert_eq!(refusal.meta("expected"), hex(&other));
        assert_eq!(refusal.meta("actual"), hex(&digest));
    }
    assert_eq!(
        ends(rig, since, launch),
        0,
        "the kernel was asked to end it"
    );
    let finished = rig.api.finish(&launch.name, digest.clone()).await.unwrap();
    assert_eq!(
        (finished.state(), &finished.launch_digest),
        (LaunchState::Finished, &digest)
    );
    assert_ne!(ends(rig, since, launch), 0);
    let events = of_process(&rig.events(since), launch.host_pid);
    let measured: Vec<_> = events.iter().filter_map(checks::digest_told).collect();
    assert_eq!(measured, [hex(&digest)], "what was told before");
    rig.api.abort(&launch.name).await.unwrap();
    hex(&digest)
}

/// A launch with these vCPUs: half of them told at creation how to begin, and half between the pages and the end.
async fn launched(rig: &Rig, states: &[State], vmsa_features: u64) -> String {
    let (mark, half) = (rig.mark(), states.len() / 2);
    let numbered = || (0..).zip(states.iter().cloned());
    let at_creation = numbered().take(half).map(|(index, state)| VcpuState {
        index,
        state: Some(state),
    });
    let asked = LaunchSpec {
        vcpus: u32::try_from(states.len()).unwrap(),
        vcpu_states: at_creation.collect(),
        sev_snp: (rig.platform == Platform::SevSnp).then(|| SevSnpSettings {
            vmsa_features,
            ..SevSnpSettings::default()
        }),
        ..spec(rig.platform, [region(page(0), 256 * PAGE)])
    };
    let launch = rig.api.create("", asked).await.unwrap();
    if rig.platform == Platform::Tdx {
        for (index, state) in numbered().skip(half) {
            set(rig, &launch, index, state).await;
        }
        stage(rig, &launch).await;
    } else {
        stage(rig, &launch).await;
        for (index, state) in numbered().skip(half) {
            set(rig, &launch, index, state).await;
        }
    }
    finishes_under_its_digest(rig, mark, &launch).await
}

#[tokio::test(flavor = "multi_thread")]
async fn snp_firmware_ends_up_with_the_digest_that_was_told_whatever_the_vcpus() {
    for profile in Profile::ALL {
        let (bench, rig) = start(Platform::SevSnp, profile, "").await;
        let mut script = rig.script();
        script.vmsa_features = Some(FEATURES);
        rig.play(&script);
        let mut digests = Vec::new();
        for state in states() {
            digests.push(launched(&rig, &[state], 0).await);
        }
        digests.push(launched(&rig, &states(), 0).await);
        digests.push(launched(&rig, &states(), FEATURES).await);
        let mut turned = states();
        turned.reverse();
        digests.push(launched(&rig, &turned, 0).await);
        digests.push(launched(&rig, &[states(), states()].concat(), 1 << 5).await);
        let count = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), count, "each is another launch");
        bench.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tdx_module_ends_up_with_the_digest_that_was_told_whatever_the_vcpus() {
    let (bench, rig) = start(Platform::Tdx, Profile::V7_1, "").await;
    let mut digests = Vec::new();
    for vcpus in [1, 3] {
        let states: Vec<_> = (0..vcpus)
            .map(|rcx| State::Tdx(TdxVcpuState { rcx }))
            .collect();
        digests.push(launched(&rig, &states, 0).await);
    }
    assert_eq!(digests[0], digests[1], "MRTD has no vCPUs");
    bench.end().await;
}
