//! Which descriptors each process has, in a daemon that is busy: none that another opened, but those that it was handed.
//!
//! The supervisor keeps what it was started with, which here is whatever the test's own process was, and hands none of it on.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::unistd::Pid;
use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Api, Bench, Contents, DaemonOptions, Extent, intruder_library, page, renew_daemon,
};

/// What each descriptor is: `socket:[1]`, `/memfd:name (deleted)`, a path.
fn descriptors(pid: Pid) -> BTreeMap<u32, String> {
    let dir = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, target.to_string_lossy().into_owned()))
    };
    dir.filter_map(entry).collect()
}

fn sockets(pid: Pid) -> BTreeSet<String> {
    let all = descriptors(pid).into_values();
    all.filter(|target| target.starts_with("socket:")).collect()
}

/// The number and the kinds, without names of inodes.
fn kinds(pid: Pid, dir: &str) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for target in descriptors(pid).into_values() {
        let kind = match target.strip_prefix("socket:") {
            Some(_inode) => "socket".to_owned(),
            None => target.replace(dir, "DIR"),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

fn counted<const N: usize>(wanted: [(&str, usize); N]) -> BTreeMap<String, usize> {
    wanted
        .into_iter()
        .map(|(kind, count)| (kind.to_owned(), count))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_has_a_descriptor_that_is_not_its_own() {
    for platform in [Platform::Sim, Platform::Kvm] {
        let Some(bench) = Bench::start(&DaemonOptions::new(), platform).await else {
            continue;
        };
        // Connections and launches that are there already when the last host is started.
        let mut others = Vec::new();
        for number in 0..4 {
            let api = Api::tcp(&bench.daemon).await;
            api.node_info().await;
            others.push((api, bench.launch(&format!("vm{number}")).await));
        }
        let launch = bench.launch("last").await;
        let data = Contents::new(1).pages(2);
        let staged = bench.api.stage(&launch.name, Extent::normal(page(0), data));
        assert_eq!(staged.await.unwrap().installed_pages, 2);

        let dir = bench.daemon.dir().display().to_string();
        let host = bench.daemon.host(&launch);
        let mut wanted = counted([
            ("/dev/null", 1),
            ("DIR/log", 2),
            ("socket", 2),
            ("/memfd:stagepages-staging (deleted)", 1),
        ]);
        wanted.extend(if platform == Platform::Kvm {
            counted([("anon_inode:kvm-vm", 1), ("anon_inode:[kvm-gmem]", 1)])
        } else {
            counted([("/memfd:stagepages-sim (deleted)", 1)])
        });
        let found = kinds(host, &dir);
        assert_eq!(found, wanted, "of the host of {platform:?}");

        // Also not the socket in which the host is reached, which its supervisor made.
        let daemon = bench.daemon.daemon_pid();
        let mut seen = sockets(daemon);
        for pid in [bench.daemon.pid(), host]
            .into_iter()
            .chain(others.iter().map(|(_, launch)| bench.daemon.host(launch)))
        {
            for socket in sockets(pid) {
                assert!(
                    seen.insert(socket.clone()),
                    "{socket} of {pid} is another's too"
                );
            }
        }
        assert!(
            !descriptors(daemon)
                .values()
                .any(|target| target.contains("kvm")),
            "the daemon has something of KVM's"
        );
        for (api, launch) in &others {
            api.abort(&launch.name).await.unwrap();
        }
        bench.api.abort(&launch.name).await.unwrap();
        bench.end().await;
    }
}

/// Probes of the platforms too, which are gone before anybody could look: each process says at its start what it was handed. A second daemon's come when there
/// are launches and connections already.
#[tokio::test(flavor = "multi_thread")]
async fn every_process_is_handed_its_socket_and_the_log_and_nothing_else() {
    let library = intruder_library().to_str().expect("is text");
    let options = DaemonOptions::new()
        .environment("LD_PRELOAD", library)
        .environment("STAGEPAGES_INTRUDER", "look")
        .config("host_env = [\"LD_PRELOAD\", \"STAGEPAGES_INTRUDER\"]");
    let mut bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let mut launches = Vec::new();
    for number in 0..3 {
        let api = Api::tcp(&bench.daemon).await;
        launches.push((bench.launch(&format!("vm{number}")).await, api));
    }
    renew_daemon(&mut bench).await;
    launches.push((bench.launch("last").await, bench.api.clone()));

    let log = bench.daemon.log();
    let dir = bench.daemon.dir().display().to_string();
    let mut told = BTreeMap::<_, usize>::new();
    for line in log.lines() {
        let Some(line) = line.strip_prefix("intruder: handed: ") else {
            continue;
        };
        let (called, handed) = line.split_once(": ").unwrap();
        let role = match called.split(' ').next().unwrap() {
            "host" if called.contains("probe-") => "probe",
            // It keeps what it was started with.
            "serve" => continue,
            role => role,
        };
        *told.entry(role).or_default() += 1;
        let handed: Vec<_> = handed
            .replace(&dir, "DIR")
            .split(' ')
            .map(str::to_owned)
            .collect();
        assert!(handed[0].starts_with("0=socket:["), "{line}");
        assert_eq!(handed[1..], ["1=DIR/log", "2=DIR/log"], "{line}");
    }
    let wanted = BTreeMap::from([("daemon", 2), ("probe", 2), ("host", 4)]);
    assert_eq!(told, wanted, "{log}");
    for (launch, _api) in &launches {
        bench.api.abort(&launch.name).await.unwrap();
    }
    bench.end().await;
}
