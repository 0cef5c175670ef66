//! A daemon with devices, whose sockets every user of this machine can reach: here and nowhere else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use stagepages_proto::v1::{LaunchSpec, Platform};
use stagepages_tests::{Api, Daemon, DaemonOptions, PAGE, User, page, region, spec};
use tempfile::TempDir;

/// A user whom no policy knows.
pub(crate) const STRANGER: User = User {
    uid: 51_234,
    gid: 51_234,
};

/// Two devices on `sim` and one on `kvm`, whether this machine has that or not.
pub(crate) const DEVICES: &str = "devices = [\"sim=2\", \"kvm=1\"]";

/// Where the directories of devices are, made before the daemon.
pub(crate) struct Place {
    base: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let base = tempfile::Builder::new()
            .prefix("sp")
            .tempdir_in("/tmp")
            .unwrap();
        let place = Self { base };
        // What is there keeps its mode, and a mount makes the path to it unimportant: here everybody is let through instead.
        fs::create_dir(place.dir()).unwrap();
        for dir in [place.base.path(), &place.dir()] {
            fs::set_permissions(dir, Permissions::from_mode(0o711)).unwrap();
        }
        place
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.base.path().join("devices")
    }

    pub(crate) fn device(&self, id: &str) -> PathBuf {
        self.dir().join(id)
    }

    pub(crate) fn socket(&self, id: &str) -> PathBuf {
        self.device(id).join("api.sock")
    }

    pub(crate) fn options(&self) -> DaemonOptions {
        DaemonOptions::new()
            .without_tcp()
            .config(&format!("device_dir = {:?}", self.dir()))
            .config(DEVICES)
    }

    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(&self.options())
    }

    /// A connection to a device, as a user whom no policy knows.
    pub(crate) async fn api(&self, id: &str) -> Api {
        Api::unix_as(&self.socket(id), STRANGER).await
    }
}

/// Connects to whatever socket is in a directory at that moment, as whoever has the directory mounted.
pub(crate) async fn within(dir: &fs::File) -> Api {
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}/api.sock", dir.as_raw_fd());
    Api::unix(Path::new(&path)).await
}

/// A small launch on no platform in particular.
pub(crate) fn anywhere() -> LaunchSpec {
    on(Platform::Unspecified)
}

/// A small launch.
pub(crate) fn on(platform: Platform) -> LaunchSpec {
    spec(platform, [region(page(0), 4 * PAGE)])
}
