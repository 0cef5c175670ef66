//! SetVcpuState: how a vCPU begins is told before, between and behind the pages, where the platform makes its vCPUs last.
use super::on_every_platform;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    Launch, LaunchSpec, LongModeState, RealModeState, SetVcpuStateRequest, VcpuReset, VcpuState,
};
use stagepages_tests::{Bench, Contents, Extent, PAGE, lease_aside, page, refused, region, spec};
use tonic::Status;

async fn set(bench: &Bench, name: &str, index: u32, state: State) -> Result<Launch, Status> {
    let request = SetVcpuStateRequest {
        name: name.to_owned(),
        uid: String::new(),
        state: Some(VcpuState {
            index,
            state: Some(state),
        }),
    };
    let answer = bench.api.launches.clone().set_vcpu_state(request).await?;
    Ok(answer.into_inner().launch.unwrap())
}

fn reset() -> State {
    State::Reset(VcpuReset {})
}

fn real_mode() -> State {
    State::RealMode(RealModeState {
        ip: 0x1000,
        ..RealModeState::default()
    })
}

fn long_mode() -> State {
    State::LongMode(LongModeState {
        rip: 0x1000,
        cr3: 0x2000,
        ..LongModeState::default()
    })
}

async fn launch(bench: &Bench) -> String {
    let spec = LaunchSpec {
        vcpus: 2,
        ..spec(bench.platform, [region(page(0), 16 * PAGE)])
    };
    bench.api.create("vm", spec).await.unwrap().name
}

async fn stage(bench: &Bench, name: &str, number: u64) {
    let extent = Extent::normal(page(number), Contents::new(number).pages(1));
    let staged = bench.api.stage(name, extent).await.unwrap();
    assert_eq!((staged.installed_pages, staged.stop), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn vcpus_are_told_how_to_begin_before_between_and_behind_the_pages() {
    let case = "vcpus_are_told_how_to_begin_before_between_and_behind_the_pages";
    let subjects = super::subjects().that_can(case);
    subjects
        .run(async |bench: &Bench| {
            let name = launch(bench).await;
            let states = [reset(), long_mode(), real_mode()];
            for (number, state) in (0..).zip(states) {
                set(bench, &name, 0, state).await.unwrap();
                set(bench, &name, 1, state).await.unwrap();
                stage(bench, &name, number).await;
            }
            set(bench, &name, 1, long_mode()).await.unwrap();
            let finished = bench.api.finish(&name, vec![]).await.unwrap();
            assert_eq!(finished.installed_pages, 3);
            refused(set(bench, &name, 0, reset()).await, "WRONG_STATE").state("FINISHED");
        })
        .await;
}

/// The TDX module begins every vCPU, and KVM makes them before the first page.
#[tokio::test(flavor = "multi_thread")]
async fn every_platform_resets_its_vcpus_unless_it_is_told_otherwise() {
    on_every_platform(async |bench: &Bench| {
        let name = launch(bench).await;
        set(bench, &name, 1, reset()).await.unwrap();
        let others = bench.abilities().vcpu_states;
        if !others {
            for state in [real_mode(), long_mode()] {
                refused(set(bench, &name, 0, state).await, "INVALID_VCPU_STATE");
            }
        }
        stage(bench, &name, 0).await;
        let before = bench.api.get(&name).await.unwrap();
        let late = set(bench, &name, 1, reset()).await;
        if others {
            late.unwrap();
        } else {
            refused(late, "WRONG_STATE").state("STAGING");
        }
        let now = bench.api.get(&name).await.unwrap();
        assert_eq!(lease_aside(&now), lease_aside(&before));
        stage(bench, &name, 1).await;
        bench.api.finish(&name, vec![]).await.unwrap();
    })
    .await;
}
