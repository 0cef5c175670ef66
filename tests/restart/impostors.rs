//! Whatever stands where a launch host's socket should: never taken for the host, told in the log, and in nobody's way.
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;

use stagepages_host::protocol;
use stagepages_host::wire::SeqListener;
use stagepages_proto::v1::{AbortReason, Launch, LaunchState};
use stagepages_tests::{Api, Bench};

use crate::rig::{
    answered, leased, no_hosts, on_every_platform, over, renew_daemon, renew_service, staged,
};
use crate::strangers::{Says, Stranger};

/// Seconds: long enough to take their places before it ends, and short enough to wait for.
const LEASE: i64 = 5;

fn socket(bench: &Bench, launch: &Launch) -> PathBuf {
    bench
        .daemon
        .dir()
        .join(format!("run/h/{}.sock", launch.uid))
}

/// What the host would return in greeting: the record on disk begins with a line and a hash.
fn record(bench: &Bench, launch: &Launch) -> Vec<u8> {
    let path = bench.daemon.dir().join("state/launches").join(&launch.uid);
    let bytes = fs::read(path).unwrap();
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    bytes[line + 1 + 32..].to_vec()
}

async fn unharmed(bench: &Bench, launch: &Launch, pages: u64) {
    let now = answered(bench, &launch.name).await;
    assert_eq!(
        (now.state(), now.installed_pages),
        (LaunchState::Staging, pages)
    );
    assert!(bench.api.verify(&launch.name).await.unwrap().consistent);
}

fn told(bench: &Bench, words: &[&str]) {
    let log = bench.daemon.log();
    let told = log
        .lines()
        .any(|line| words.iter().all(|word| line.contains(word)));
    assert!(told, "{words:?} is not told:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_for_a_host_that_the_supervisor_knows_is_known_by_the_kernel() {
    on_every_platform(async |mut bench| {
        let mut strangers = Vec::new();
        let mut launches = Vec::new();
        for (id, why) in [
            ("welcome", "answers where process"),
            ("garbage", "hung up"),
            ("huge", "hung up"),
            ("nothing", "no sign of life"),
            ("alive", "another process answers for it"),
        ] {
            let launch = staged(&bench, id, 3).await;
            let says = match id {
                // In every word what the host itself would say.
                "welcome" => Says::Welcome(protocol::VERSION, record(&bench, &launch)),
                "garbage" => Says::Garbage,
                "huge" => Says::Huge,
                "nothing" => Says::Nothing,
                _ => Says::Alive,
            };
            strangers.push(Stranger::instead(&socket(&bench, &launch), says));
            launches.push((launch, why));
        }
        let other = staged(&bench, "other", 4).await;
        renew_daemon(&mut bench).await;
        unharmed(&bench, &other, 4).await;
        bench.still_serves().await;
        for (launch, why) in &launches {
            let ended = over(&bench, &launch.name).await;
            let cause = ended.abort.unwrap();
            // The true host is killed: nobody can speak to it.
            assert_eq!(
                (cause.reason(), cause.signal),
                (AbortReason::HostDied, 9),
                "{cause:?}"
            );
            told(&bench, &[&launch.uid, why]);
            assert_eq!(bench.daemon.find_host(launch), None);
        }
        drop(strangers);
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_for_an_orphan_has_to_be_a_host_of_that_name() {
    on_every_platform(async |mut bench| {
        let mut launches = Vec::new();
        for (id, why) in [
            ("future", "it speaks version 99"),
            ("stranger", "was not started as `PROGRAM host --id="),
            ("garbage", "hung up"),
            ("alive", "it does not answer a greeting"),
        ] {
            // Nobody can end the true hosts but their leases.
            let spec = leased(bench.platform, LEASE);
            launches.push((bench.api.create(id, spec).await.unwrap(), id, why));
        }
        let other = staged(&bench, "other", 4).await;
        let mut strangers = Vec::new();
        renew_service(&mut bench, |bench| {
            for (launch, id, _) in &launches {
                let says = match *id {
                    "future" => Says::Welcome(99, record(bench, launch)),
                    "stranger" => Says::Welcome(protocol::VERSION, record(bench, launch)),
                    "garbage" => Says::Garbage,
                    _ => Says::Alive,
                };
                strangers.push(Stranger::instead(&socket(bench, launch), says));
            }
        })
        .await;
        unharmed(&bench, &other, 4).await;
        for (launch, _, why) in &launches {
            let ended = over(&bench, &launch.name).await;
            let cause = ended.abort.unwrap();
            assert_eq!(
                (cause.reason(), cause.signal),
                (AbortReason::HostDied, 0),
                "{cause:?}"
            );
            told(
                &bench,
                &[launch.name.strip_prefix("launches/").unwrap(), why],
            );
        }
        drop(strangers);
        bench.api.abort(&other.name).await.unwrap();
        no_hosts(&bench).await;
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_socket_of_a_living_host_is_reported_and_left_alone() {
    on_every_platform(async |mut bench| {
        let mut launches = Vec::new();
        for id in ["stale", "file", "link", "foreign"] {
            let spec = leased(bench.platform, LEASE);
            launches.push(bench.api.create(id, spec).await.unwrap());
        }
        let other = staged(&bench, "other", 4).await;
        let paths: Vec<_> = launches
            .iter()
            .map(|launch| socket(&bench, launch))
            .collect();
        let [stale, file, link, foreign] = &paths[..] else {
            panic!("four launches")
        };
        let mut listener = None;
        renew_service(&mut bench, |_| {
            for path in &paths {
                fs::remove_file(path).unwrap();
            }
            drop(SeqListener::bind(stale).unwrap());
            fs::write(file, "no socket").unwrap();
            symlink("/dev/zero", link).unwrap();
            listener = Some(SeqListener::bind(foreign).unwrap());
            chown(foreign, Some(12345), None).unwrap();
        })
        .await;
        unharmed(&bench, &other, 4).await;
        for launch in &launches {
            let ended = over(&bench, &launch.name).await;
            assert_eq!(ended.abort.unwrap().reason(), AbortReason::HostDied);
        }
        assert!(!stale.exists(), "nobody listens there");
        for path in [file, link, foreign] {
            assert!(
                path.symlink_metadata().is_ok(),
                "{path:?} is not ours to remove"
            );
            told(
                &bench,
                &[&path.display().to_string(), "is not a socket of this user"],
            );
            fs::remove_file(path).unwrap();
        }
        drop(listener);
        bench.api.abort(&other.name).await.unwrap();
        no_hosts(&bench).await;
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_no_launch_are_nobodys() {
    on_every_platform(async |mut bench| {
        let launch = staged(&bench, "vm", 3).await;
        let nobody = bench.daemon.dir().join("run/h/nobody.sock");
        let mut stranger = None;
        renew_service(&mut bench, |_| {
            drop(SeqListener::bind(&nobody).unwrap());
            stranger = Some(Stranger::instead(
                &nobody,
                Says::Welcome(protocol::VERSION, Vec::new()),
            ));
        })
        .await;
        unharmed(&bench, &launch, 3).await;
        let api = Api::unix(bench.daemon.socket()).await;
        let request = stagepages_proto::v1::ListLaunchesRequest::default();
        let listed = api.launches.clone().list_launches(request).await.unwrap();
        let names: Vec<_> = listed
            .into_inner()
            .launches
            .into_iter()
            .map(|launch| launch.name)
            .collect();
        assert_eq!(names, [launch.name]);
        drop(stranger);
        bench
    })
    .await;
}
