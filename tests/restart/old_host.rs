//! Host programs of older versions of the private protocol, which a newer daemon takes over and goes on with.
//!
//! They are built from this repository's own history: from the commit before the one that raised `protocol::VERSION`. Where there is no history, or
//! not that far back, one visible line says so.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stagepages_host::protocol;
use stagepages_proto::v1::{
    FinishLaunchRequest, GetRejectedCpuidRequest, Launch, LaunchState, ListInstalledPagesRequest,
    OrderingMode, Platform, SetVcpuStateRequest, SevSnpFinish, StartLaunchRequest, VcpuReset,
    VcpuState, vcpu_state,
};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, GuestMemory, Key, PAGE, page, refused, region, say,
    snapshot, spec,
};

use crate::rig::{answered, on, over, renew_daemon, renew_service};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The version of the private protocol that brought guests.
const GUESTS_SINCE: u32 = 3;
/// The one that brought settings of confidential platforms.
const SETTINGS_SINCE: u32 = 4;
/// The one that brought the ledgers of aborted launches.
const ENDED_LEDGERS_SINCE: u32 = 5;
/// The one whose hosts tell the digest that a launch is expected to end in.
const EXPECTED_SINCE: u32 = 5;
const CALLS: u64 = 8;
const LENGTH: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_the_oldest_version_is_adopted_and_goes_on() {
    goes_on(protocol::OLDEST_VERSION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_the_version_before_is_adopted_and_goes_on() {
    goes_on(protocol::VERSION - 1).await;
}

/// With hosts that speak `version`.
async fn goes_on(version: u32) {
    let Some(program) = tokio::task::block_in_place(|| old_program(version)) else {
        return;
    };
    for platform in [Platform::Sim, Platform::Kvm] {
        let name = if platform == Platform::Sim {
            "sim"
        } else {
            "kvm"
        };
        let calm = calm_digest(platform).await;
        let options = DaemonOptions::new()
            .config(&format!("[host.{name}]"))
            .config(&format!("program = {:?}", program.display().to_string()));
        on(&options, platform, async |mut bench| {
            adopted(&mut bench, version, &program, &calm).await;
            bench
        })
        .await;
    }
}

/// Numbered calls, some of them before each kill.
async fn adopted(bench: &mut Bench, version: u32, program: &Path, calm: &[u8]) {
    let mut wanted = spec(bench.platform, [region(page(0), CALLS * LENGTH * PAGE)]);
    wanted.ordering = OrderingMode::Sequenced.into();
    wanted.labels.insert("old".to_owned(), "host".to_owned());
    let launch = bench.api.create("vm", wanted).await.unwrap();
    let host = bench.daemon.host(&launch);
    let runs = std::fs::read_link(format!("/proc/{host}/exe")).unwrap();
    assert_eq!(runs, program, "the old program runs");
    let mut answers = Vec::new();
    for number in 0..CALLS {
        let answer = bench.api.stage_request(request(&launch.name, number)).await;
        answers.push(answer.unwrap());
        match number {
            2 => renew_daemon(bench).await,
            4 => renew_service(bench, |_| {}).await,
            _ => continue,
        }
        let now = answered(bench, &launch.name).await;
        assert_eq!((&now.uid, now.state()), (&launch.uid, LaunchState::Staging));
        assert_eq!(now.spec, launch.spec);
        assert_eq!(bench.daemon.host(&launch), host, "the same process");
        for (number, answer) in (0..).zip(&answers) {
            let kept = Key::Number(number).result(&bench.api, &launch.name).await;
            assert_eq!(kept.unwrap(), *answer);
        }
    }
    if version < GUESTS_SINCE {
        guests_are_refused(bench, &launch.name).await;
    }
    if version < SETTINGS_SINCE {
        settings_are_refused(bench, &launch.name).await;
    }
    let memory = GuestMemory::open(host.as_raw().unsigned_abs(), CALLS * LENGTH * PAGE);
    let length = usize::try_from(CALLS * LENGTH * PAGE).unwrap();
    assert!(memory.read(page(0), length) == data(), "other bytes");
    let calm = if version < EXPECTED_SINCE { &[] } else { calm };
    if version < EXPECTED_SINCE && bench.platform == Platform::Sim {
        // It would compare the digest of pages alone.
        let finish = bench.api.finish(&launch.name, vec![7; 48]).await;
        refused(finish, "UNSUPPORTED_OPERATION");
    }
    let finished = bench.api.finish(&launch.name, "").await.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    assert_eq!(finished.launch_digest, calm);
    assert_eq!(finished.measured_pages, measured(&finished));
    if version < GUESTS_SINCE {
        start_is_refused(bench, &launch.name).await;
    }
    snapshot(&bench.api, &launch.name).await;
    renew_daemon(bench).await;
    answered(bench, &launch.name).await;
    snapshot(&bench.api, &launch.name).await;
    bench.api.abort(&launch.name).await.unwrap();
    over(bench, &launch.name).await;
    if version < ENDED_LEDGERS_SINCE {
        ledger_is_refused(bench, &launch.name, version).await;
    }
}

/// All pages, where there is a digest.
fn measured(launch: &Launch) -> u64 {
    if launch.launch_digest.is_empty() {
        0
    } else {
        launch.installed_pages
    }
}

/// What came with version 4 is refused by name, and costs the launch nothing.
async fn settings_are_refused(bench: &Bench, name: &str) {
    let mut launches = bench.api.launches.clone();
    let finish = FinishLaunchRequest {
        name: name.to_owned(),
        sev_snp: Some(SevSnpFinish::default()),
        ..FinishLaunchRequest::default()
    };
    refused(
        launches.finish_launch(finish).await,
        "UNSUPPORTED_OPERATION",
    );
    let get = GetRejectedCpuidRequest {
        name: name.to_owned(),
        uid: String::new(),
    };
    refused(
        launches.get_rejected_cpuid(get).await,
        "UNSUPPORTED_OPERATION",
    );
}

/// What came with version 3 likewise.
async fn guests_are_refused(bench: &Bench, name: &str) {
    let mut launches = bench.api.launches.clone();
    let state = VcpuState {
        index: 0,
        state: Some(vcpu_state::State::Reset(VcpuReset {})),
    };
    let set = SetVcpuStateRequest {
        name: name.to_owned(),
        uid: String::new(),
        state: Some(state),
    };
    refused(launches.set_vcpu_state(set).await, "UNSUPPORTED_OPERATION");
}

async fn start_is_refused(bench: &Bench, name: &str) {
    let start = StartLaunchRequest {
        name: name.to_owned(),
        uid: String::new(),
    };
    let started = bench.api.launches.clone().start_launch(start).await;
    refused(started, "UNSUPPORTED_OPERATION");
}

/// What came with version 5: there is no ledger of an aborted launch, and why is said.
async fn ledger_is_refused(bench: &Bench, name: &str, version: u32) {
    let list = ListInstalledPagesRequest {
        name: name.to_owned(),
        ..ListInstalledPagesRequest::default()
    };
    let listed = bench.api.launches.clone().list_installed_pages(list).await;
    let text = listed.as_ref().unwrap_err().message().to_owned();
    refused(listed, "WRONG_STATE").state("ABORTED");
    assert!(text.contains(&format!("version {version} ")), "{text}");
}

/// The digest of the same calls to a host of today.
async fn calm_digest(platform: Platform) -> Vec<u8> {
    let Some(bench) = Bench::start(&DaemonOptions::new(), platform).await else {
        return Vec::new();
    };
    let mut wanted = spec(platform, [region(page(0), CALLS * LENGTH * PAGE)]);
    wanted.ordering = OrderingMode::Sequenced.into();
    let launch = bench.api.create("calm", wanted).await.unwrap();
    for number in 0..CALLS {
        let answer = bench.api.stage_request(request(&launch.name, number)).await;
        assert_eq!(answer.unwrap().installed_pages, LENGTH);
    }
    let digest = bench.api.get(&launch.name).await.unwrap().launch_digest;
    bench.end().await;
    digest.to_vec()
}

fn data() -> bytes::Bytes {
    Contents::new(0x01d).pages(CALLS * LENGTH)
}

fn request(name: &str, number: u64) -> stagepages_proto::v1::StagePagesRequest {
    let at = |call: u64| usize::try_from(call * LENGTH * PAGE).unwrap();
    let data = data().slice(at(number)..at(number + 1));
    Key::Number(number).request(name, Extent::normal(page(number * LENGTH), data))
}

/// The last program that spoke `version`, built once for each commit that it is of.
fn old_program(version: u32) -> Option<PathBuf> {
    let line = format!("-Spub const VERSION: u32 = {};", version + 1);
    // Along the line of what was the product at some time: what was merged into it may never have been whole before.
    let raised = git(&[
        "log",
        "--first-parent",
        "--diff-merges=first-parent",
        "--no-patch",
        "--format=%H",
        &line,
        "--",
        "server/host/src/protocol/mod.rs",
    ]);
    // The line went again with the version after it; the commit that brought it was the first.
    let parent =
        raised.and_then(|raised| git(&["rev-parse", "--verify", "--quiet", &format!("{raised}^")]));
    let Some(commit) = parent else {
        say(&format!(
            "not tested here: an old host; the history does not show the last commit of version {version} of the private protocol",
        ));
        return None;
    };
    // <target directory>/<profile's directory>/deps/<this test>
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let dir = target.join("old-host").join(&commit);
    let program = dir.join("target/debug/stagepagesd");
    if !program.is_file() {
        say(&format!("building stagepagesd of commit {commit}, once"));
        build(&commit, &dir);
    }
    Some(program.canonicalize().unwrap())
}

fn build(commit: &str, dir: &Path) {
    let source = dir.join("source");
    std::fs::create_dir_all(&source).unwrap();
    let mut archive = Command::new("git")
        .args(["-C", REPOSITORY, "archive", commit])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let unpacked = Command::new("tar")
        .arg("-x")
        .arg("-C")
        .arg(&source)
        .stdin(archive.stdout.take().unwrap())
        .status();
    assert!(unpacked.unwrap().success() && archive.wait().unwrap().success());
    // As cheap as can be: it stages a few pages.
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--package",
            "stagepages-server",
            "--bin",
            "stagepagesd",
        ])
        .args(["--config", "profile.dev.debug=0"])
        .args(["--config", "profile.dev.package.\"*\".opt-level=0"])
        .arg("--target-dir")
        .arg(dir.join("target"))
        .current_dir(&source)
        .stderr(Stdio::inherit())
        .status();
    assert!(built.unwrap().success(), "the old program does not build");
}

/// The first line that git prints; none if it cannot say, or has no git.
fn git(args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(["-C", REPOSITORY]).args(args);
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // Of several lines the last: of commits, the first that there was.
    let line = text.lines().last().filter(|_| output.status.success())?;
    Some(line.to_owned())
}
