//! The directories of devices: the same for ever, since containers have them mounted; and the sockets in them, each daemon's own.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;

use stagepages_proto::v1::LaunchState;
use stagepages_tests::{Api, Contents, Daemon, DaemonOptions, Extent, eventually, page, refused};

use crate::place::{Place, anywhere, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_outlives_daemons_with_its_directory_and_its_launch() {
    let place = Place::new();
    let mut daemon = place.start();
    // As a container has it: by the directory, not by its path.
    let mounted = File::open(place.device("sim-0")).unwrap();
    let api = within(&mounted).await;
    let launch = api.create("vm", anywhere()).await.unwrap();
    let extent = || Extent::normal(page(0), Contents::new(1).pages(1));
    api.stage("launches/vm", extent()).await.unwrap();
    tokio::task::block_in_place(|| {
        daemon.kill_daemon();
        daemon.restarted();
    });
    assert_eq!(
        place.device("sim-0").metadata().unwrap().ino(),
        mounted.metadata().unwrap().ino()
    );
    let api = within(&mounted).await;
    let found = eventually("the host's answer", async || {
        api.get("launches/vm").await.ok()
    })
    .await;
    assert_eq!((found.uid, found.installed_pages), (launch.uid, 1));
    refused(
        api.stage("launches/vm", extent()).await,
        "ALREADY_INSTALLED",
    );
    refused(api.create("vm-2", anywhere()).await, "QUOTA_EXCEEDED");
    let others = [Api::unix(daemon.socket()).await, place.api("sim-1").await];
    for other in others {
        refused(other.get("launches/vm").await, "LAUNCH_NOT_FOUND");
    }
    let ended = api.abort("launches/vm").await.unwrap();
    assert_eq!(ended.state(), LaunchState::Aborted);
    daemon.stop();
    assert!(!place.socket("sim-0").exists());
    assert!(place.device("sim-0").is_dir(), "for the next service");
}

#[tokio::test]
async fn modes_let_a_container_in_and_nobody_else() {
    let place = Place::new();
    fs::remove_dir(place.dir()).unwrap();
    let daemon = place.start();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&place.dir()), 0o700);
    assert_eq!(mode(&place.device("sim-0")), 0o755);
    assert_eq!(mode(&place.socket("sim-0")), 0o666);
    daemon.stop();
    let place = Place::new();
    fs::remove_dir(place.dir()).unwrap();
    let daemon = Daemon::start(&place.options().config("socket_group = \"51235\""));
    assert_eq!(mode(&place.dir()), 0o710);
    assert_eq!(place.dir().metadata().unwrap().gid(), 51_235);
    daemon.stop();
}

#[test]
fn what_a_dead_daemon_left_goes_and_what_is_foreign_is_refused() {
    let place = Place::new();
    let stale = |id: &str| {
        fs::create_dir(place.device(id)).unwrap();
        drop(UnixListener::bind(place.socket(id)).unwrap());
    };
    stale("sim-0");
    // Of a device that there is no more.
    stale("sim-9");
    place.start().stop();
    assert!(!place.socket("sim-9").exists() && place.device("sim-9").is_dir());

    fs::write(place.socket("sim-1"), "mine").unwrap();
    let failed = Daemon::try_start(&place.options()).unwrap_err();
    for part in ["device_dir", "sim-1/api.sock exists and is not a socket"] {
        assert!(failed.log.contains(part), "{}", failed.log);
    }
    assert_eq!(fs::read_to_string(place.socket("sim-1")).unwrap(), "mine");
    fs::remove_file(place.socket("sim-1")).unwrap();

    let served = place.start();
    let failed = Daemon::try_start(&place.options()).unwrap_err();
    assert!(failed.log.contains("another process"), "{}", failed.log);
    served.stop();
}

#[test]
fn mistakes_are_told_at_the_start() {
    let place = Place::new();
    for (config, told) in [
        ("devices = [\"xen=1\"]", "\"xen\" is no platform"),
        ("devices = [\"sim=1\", \"sim=2\"]", "sim is there twice"),
        ("devices = [\"sim=1\"]", "device_dir is not"),
        ("devices = [\"sim=many\"]", "kvm=4"),
    ] {
        let mut options = DaemonOptions::new().without_tcp();
        if !told.contains("is not") {
            options = options.config(&format!("device_dir = {:?}", place.dir()));
        }
        let failed = Daemon::try_start(&options.config(config)).unwrap_err();
        assert!(failed.log.contains(told), "{told}: {}", failed.log);
    }
}
