//! A guest as a launch: its pages and its vCPUs.
//!
//! ```text
//!  0x1000  CODE    what the vCPU begins with
//!  0x2000  DATA    random bytes
//!  0x3000  RESULT  not staged: zeros, for the guest to write
//!  0x4000  PML4, PDPT, PD: the first 2 MiB of linear addresses are the physical ones
//! ```
use bytes::Bytes;
use stagepages_kvm::Gpa;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    GetLaunchRequest, Launch, LaunchSpec, LaunchState, LongModeState, Platform, RealModeState,
    StartLaunchRequest, StopLaunchRequest, VcpuState, WatchLaunchRequest,
};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, on_platform, page, region, spec,
};
use tonic::Status;

pub(crate) const CODE: u64 = 0x1000;
pub(crate) const DATA: u64 = 0x2000;
pub(crate) const RESULT: u64 = 0x3000;
const PML4: u64 = 0x4000;
const PDPT: u64 = 0x5000;
const DIRECTORY: u64 = 0x6000;

/// Present and writable.
const TABLE: u64 = 0x3;
/// The same for a page of 2 MiB.
const LARGE: u64 = 0x83;

/// Pages of a guest's memory.
pub(crate) const PAGES: u64 = 16;

/// Runs `test` on kvm, with a daemon of its own.
pub(crate) async fn on_kvm(test: impl AsyncFn(&Bench)) {
    on_kvm_with(&DaemonOptions::new(), test).await;
}

/// Runs `test` on kvm, with a daemon with these options.
pub(crate) async fn on_kvm_with(options: &DaemonOptions, test: impl AsyncFn(&Bench)) {
    on_platform(options, Platform::Kvm, test).await;
}

/// A page of `code` and one of data, which together are hashed.
pub(crate) fn image(code: &[u8]) -> Bytes {
    let page_bytes = usize::try_from(PAGE).unwrap();
    assert!(code.len() <= page_bytes, "a page of code at most");
    let mut image = code.to_vec();
    image.resize(page_bytes, 0xcc);
    image.extend_from_slice(&Contents::new(77).pages(1));
    image.into()
}

/// A vCPU that begins in real mode at [`CODE`].
pub(crate) fn real(index: u32) -> VcpuState {
    real_at(index, CODE)
}

/// A vCPU that begins in real mode at `ip`.
pub(crate) fn real_at(index: u32, ip: u64) -> VcpuState {
    let state = RealModeState {
        ip: ip.try_into().unwrap(),
        ..RealModeState::default()
    };
    VcpuState {
        index,
        state: Some(State::RealMode(state)),
    }
}

/// A vCPU that begins in 64-bit mode at [`CODE`].
pub(crate) fn long(index: u32) -> VcpuState {
    let state = LongModeState {
        rip: CODE,
        cr3: PML4,
        ..LongModeState::default()
    };
    VcpuState {
        index,
        state: Some(State::LongMode(state)),
    }
}

/// A launch with `states`, one for each vCPU.
pub(crate) fn guest(states: impl Into<Vec<VcpuState>>) -> LaunchSpec {
    let vcpu_states = states.into();
    LaunchSpec {
        vcpus: u32::try_from(vcpu_states.len().max(1)).unwrap(),
        vcpu_states,
        ..spec(Platform::Kvm, [region(page(0), PAGES * PAGE)])
    }
}

/// Stages `image` at [`CODE`], and page tables.
pub(crate) async fn stage(bench: &Bench, launch: &Launch, image: Bytes) {
    let table = |entry: u64| {
        let mut table = entry.to_le_bytes().to_vec();
        table.resize(usize::try_from(PAGE).unwrap(), 0);
        table
    };
    let tables = [table(PDPT | TABLE), table(DIRECTORY | TABLE), table(LARGE)].concat();
    for (gpa, data) in [(CODE, image), (PML4, tables.into())] {
        let extent = Extent::normal(Gpa::new(gpa), data);
        bench.api.stage(&launch.name, extent).await.unwrap();
    }
}

/// Creates, stages, finishes and starts a guest of `code`; the launch as StartLaunch answered.
pub(crate) async fn run(bench: &Bench, id: &str, spec: LaunchSpec, code: &[u8]) -> Launch {
    let launch = bench.api.create(id, spec).await.unwrap();
    stage(bench, &launch, image(code)).await;
    bench.api.finish(&launch.name, Bytes::new()).await.unwrap();
    start(bench, &launch.name).await.unwrap()
}

/// StartLaunch.
pub(crate) async fn start(bench: &Bench, name: &str) -> Result<Launch, Status> {
    let request = StartLaunchRequest {
        name: name.to_owned(),
        uid: String::new(),
    };
    let answer = bench.api.launches.clone().start_launch(request).await?;
    Ok(answer.into_inner().launch.unwrap())
}

/// StopLaunch.
pub(crate) async fn stop(bench: &Bench, name: &str) -> Result<Launch, Status> {
    let request = StopLaunchRequest {
        name: name.to_owned(),
        uid: String::new(),
    };
    let answer = bench.api.launches.clone().stop_launch(request).await?;
    Ok(answer.into_inner().launch.unwrap())
}

/// Every state that a watcher is told from now on, to the end.
pub(crate) async fn watch(bench: &Bench, name: &str) -> Vec<Launch> {
    let request = WatchLaunchRequest {
        name: name.to_owned(),
        uid: String::new(),
    };
    let mut changes = bench
        .api
        .launches
        .clone()
        .watch_launch(request)
        .await
        .unwrap()
        .into_inner();
    let mut told = Vec::new();
    while let Some(change) = changes.message().await.unwrap() {
        told.push(change.launch.unwrap());
    }
    told
}

/// Waits until the guest has stopped; the launch as it is then.
pub(crate) async fn stopped(bench: &Bench, name: &str) -> Launch {
    let last = watch(bench, name).await.pop().unwrap();
    assert_eq!(last.state(), LaunchState::Stopped, "{last:?}");
    last
}

/// The launch as it is.
pub(crate) async fn get(bench: &Bench, name: &str) -> Launch {
    let request = GetLaunchRequest {
        name: name.to_owned(),
        uid: String::new(),
    };
    let answer = bench.api.launches.clone().get_launch(request).await;
    answer.unwrap().into_inner().launch.unwrap()
}
