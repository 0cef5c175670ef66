//! vCPU states that no vCPU can have: refused by field, and nothing is created or changed.
use bytes::Bytes;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    LaunchSpec, LongModeState, RealModeState, SetVcpuStateRequest, VcpuRegisters, VcpuState,
};
use stagepages_tests::{Bench, lease_aside, refused};
use tonic::Status;

use crate::listing::{SERIAL, assemble, print};
use crate::program::{CODE, PAGES, get, guest, image, long, on_kvm, real, stage, start};
use crate::terminal::Terminal;

fn with(state: State) -> VcpuState {
    VcpuState {
        index: 0,
        state: Some(state),
    }
}

/// States that the launch host refuses, each with the path of the field.
fn bad() -> Vec<(VcpuState, &'static str)> {
    let long_mode = |change: fn(&mut LongModeState)| {
        let mut state = LongModeState {
            rip: CODE,
            cr3: 0x4000,
            ..LongModeState::default()
        };
        change(&mut state);
        with(State::LongMode(state))
    };
    let real_mode = |change: fn(&mut RealModeState)| {
        let mut state = RealModeState::default();
        change(&mut state);
        with(State::RealMode(state))
    };
    let registers = |change: fn(&mut VcpuRegisters)| {
        let mut state = VcpuRegisters::default();
        change(&mut state);
        with(State::Registers(state))
    };
    vec![
        (real_mode(|state| state.cs = 0x1_0000), "real_mode.cs"),
        (real_mode(|state| state.ip = 0x1_0000), "real_mode.ip"),
        (real_mode(|state| state.sp = 0x1_0000), "real_mode.sp"),
        (long_mode(|state| state.rip = 1 << 63), "long_mode.rip"),
        (long_mode(|state| state.rsp = 1 << 63), "long_mode.rsp"),
        (long_mode(|state| state.cr3 = 0x4001), "long_mode.cr3"),
        (long_mode(|state| state.cr3 = PAGES << 12), "long_mode.cr3"),
        (registers(|state| state.cr0 = 1 << 31), "registers.cr0"),
        (registers(|state| state.cr0 = 1 << 63), "registers.cr0"),
        (registers(|state| state.efer = 1 << 63), "registers.efer"),
    ]
}

async fn set(bench: &Bench, name: &str, state: Option<VcpuState>) -> Result<(), Status> {
    let request = SetVcpuStateRequest {
        name: name.to_owned(),
        uid: String::new(),
        state,
    };
    bench
        .api
        .launches
        .clone()
        .set_vcpu_state(request)
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_with_a_bad_state_is_not_created() {
    on_kvm(async |bench: &Bench| {
        for (state, field) in bad() {
            let refusal = refused(
                bench.api.create("bad", guest([state])).await,
                "INVALID_VCPU_STATE",
            );
            let path = format!("spec.vcpu_states[0].{field}");
            refusal.blames(&path);
            refused(bench.api.get("launches/bad").await, "LAUNCH_NOT_FOUND");
        }
        // The id is free.
        bench.api.create("bad", guest([real(0)])).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_state_changes_nothing() {
    on_kvm(async |bench: &Bench| {
        let code = assemble(16, |a| {
            print(a, SERIAL, "as before")?;
            a.hlt()
        });
        let launch = bench.api.create("vm", guest([real(0)])).await.unwrap();
        for (state, field) in bad() {
            let refusal = refused(
                set(bench, &launch.name, Some(state)).await,
                "INVALID_VCPU_STATE",
            );
            let path = format!("state.{field}");
            refusal.blames(&path);
            assert_eq!(refusal.meta("launch_state"), "CREATED");
        }
        assert_eq!(
            lease_aside(&get(bench, &launch.name).await),
            lease_aside(&launch)
        );
        stage(bench, &launch, image(&code)).await;
        bench.api.finish(&launch.name, Bytes::new()).await.unwrap();
        start(bench, &launch.name).await.unwrap();
        let mut terminal = Terminal::attach(bench, &launch.name).await;
        assert_eq!(terminal.hear_out().await.0, "as before");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_without_a_shape_is_refused_by_the_daemon() {
    on_kvm(async |bench: &Bench| {
        let launch = bench.api.create("vm", guest([real(0)])).await.unwrap();
        let empty = VcpuState::default();
        for (state, field) in [
            (None, "state"),
            (Some(empty), "state.state"),
            (Some(long(1)), "state.index"),
        ] {
            let refusal = refused(set(bench, &launch.name, state).await, "MALFORMED_REQUEST");
            refusal.blames(field);
        }
        for (spec, field) in [
            (guest([real(0), real(0)]), "spec.vcpu_states[1].index"),
            (guest([empty]), "spec.vcpu_states[0].state"),
            (guest([real(7)]), "spec.vcpu_states[0].index"),
            (
                LaunchSpec {
                    vcpus: 10_000,
                    ..guest([])
                },
                "spec.vcpus",
            ),
        ] {
            let refusal = refused(bench.api.create("bad", spec).await, "INVALID_LAUNCH");
            refusal.blames(field);
        }
        // Not after it is finished.
        bench.api.finish(&launch.name, Bytes::new()).await.unwrap();
        let late = set(bench, &launch.name, Some(real(0))).await;
        assert_eq!(
            refused(late, "WRONG_STATE").meta("launch_state"),
            "FINISHED"
        );
    })
    .await;
}
