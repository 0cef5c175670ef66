//! The directories of devices, and their sockets.
//!
//! ```text
//! <device_dir>/      0700, or 0710 for the group of the sockets: who gets in is any device
//!   devices.lock     held by the daemon that serves them
//!   <id>/            0755, for ever the same: containers have it mounted
//!     api.sock       0666, while it is served
//! ```
//!
//! A workload is given one of the inner directories, not the socket in it: the next daemon makes another socket, and it is found there.
//!
//! **Invariant:** what somebody else put there is neither served nor removed, and no directory of a device is ever removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use stagepages_host::platform::{PlatformKind, Report};

use super::own;
use crate::{
    auth::{DeviceId, MAX_DEVICES},
    config::{DeviceConfig, SOCKET_NAME},
    net::{Lock, Server, remove_stale},
};

/// Who may read and pass a device's directory: whoever it is mounted for.
const DEVICE_MODE: u32 = 0o755;

/// How many devices of each platform are served.
pub type Served = Vec<(PlatformKind, u32)>;

/// The device directory, which is this daemon's alone.
#[derive(Debug)]
pub(super) struct Devices {
    config: DeviceConfig,
    lock: Lock,
}

/// Makes the directory if it is missing, and lets the sockets' group pass it, if there is one.
///
/// # Errors
/// It is not ours, or others may write to it; or the kernel's.
pub(super) fn make_dir(dir: &Path, group: Option<u32>) -> anyhow::Result<()> {
    let made = own::dir(dir).and_then(|()| match group {
        Some(group) => own::let_group_pass(dir, group),
        None => Ok(()),
    });
    made.with_context(|| format!("device_dir {}", dir.display()))
}

impl Devices {
    /// Takes the directory for this daemon, and removes the sockets that a dead one left, also of devices that there are no more.
    ///
    /// # Errors
    /// Another daemon has it, or something in it is not ours.
    pub(super) fn claim(config: &DeviceConfig, group: Option<u32>) -> anyhow::Result<Self> {
        make_dir(&config.dir, group)?;
        let told = || format!("device_dir {}", config.dir.display());
        let lock = Lock::take(&config.dir.join("devices")).with_context(told)?;
        for found in fs::read_dir(&config.dir).with_context(told)? {
            let name = found.with_context(told)?.file_name();
            let id: Option<DeviceId> = name.to_str().and_then(|name| name.parse().ok());
            if let Some(id) = id {
                let device = own_dir(&config.dir, id).with_context(told)?;
                remove_stale(&device.join(SOCKET_NAME)).with_context(told)?;
            }
        }
        let config = config.clone();
        Ok(Self { config, lock })
    }

    /// Has `server` serve the sockets of all devices: as many as configured, else as the machine can hold guests.
    ///
    /// # Errors
    /// One of them cannot be served.
    pub(super) fn bind(self, server: &mut Server, reports: &[Report]) -> anyhow::Result<Served> {
        let mut served = Served::new();
        for platform in PlatformKind::ALL {
            let report = reports.iter().find(|report| report.platform == platform);
            let wanted = self.config.count(platform);
            let count = wanted.unwrap_or_else(|| capacity(report));
            for id in (0..count).filter_map(|number| DeviceId::new(platform, number)) {
                self.bind_one(server, id)
                    .with_context(|| format!("device_dir: device {id}"))?;
            }
            served.push((platform, count));
        }
        Ok(served)
    }

    fn bind_one(&self, server: &mut Server, id: DeviceId) -> anyhow::Result<()> {
        let dir = own_dir(&self.config.dir, id)?;
        server.bind_device(id, &dir.join(SOCKET_NAME), &self.lock)?;
        Ok(())
    }
}

/// The directory of a device, made if it is missing.
fn own_dir(dir: &Path, id: DeviceId) -> io::Result<PathBuf> {
    let dir = dir.join(id.to_string());
    own::open_dir(&dir, DEVICE_MODE)?;
    Ok(dir)
}

/// Guests that the hardware can hold; none where there is no such bound, or the kernel does not tell it.
fn capacity(report: Option<&Report>) -> u32 {
    let capacity = report.and_then(|report| report.facts.capacity);
    capacity.map_or(0, |capacity| {
        u32::try_from(capacity.total).map_or(MAX_DEVICES, |total| total.min(MAX_DEVICES))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    };

    use super::*;
    use crate::{
        config::{Config, Machine, Settings},
        net::Access,
    };

    fn config(dir: &Path, counts: &[&str]) -> DeviceConfig {
        let settings = Settings {
            device_dir: Some(dir.to_str().unwrap().parse().unwrap()),
            devices: Some(counts.iter().map(|text| text.parse().unwrap()).collect()),
            state_dir: Some("/s".parse().unwrap()),
            ..Settings::default()
        };
        let machine = Machine {
            uid: 0,
            memory_bytes: 1 << 30,
        };
        Config::resolve(settings, |_| None, machine)
            .unwrap()
            .devices
            .unwrap()
    }

    fn server() -> Server {
        let access = Access {
            mode: 0o600,
            group: None,
        };
        Server::bind(&[], access, None).unwrap()
    }

    fn refused(config: &DeviceConfig) -> String {
        format!("{:#}", Devices::claim(config, None).unwrap_err())
    }

    #[tokio::test]
    async fn a_device_keeps_its_directory_and_gets_another_socket() {
        let base = tempfile::tempdir().unwrap();
        let config = config(&base.path().join("d"), &["kvm=2"]);
        let dir = base.path().join("d/kvm-1");
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut server = server();
            let devices = Devices::claim(&config, None).unwrap();
            assert!(refused(&config).contains("another process"));
            let served = devices.bind(&mut server, &[]).unwrap();
            assert!(served.contains(&(PlatformKind::Kvm, 2)));
            let (found, socket) = (dir.metadata().unwrap(), dir.join(SOCKET_NAME));
            assert_eq!(found.mode() & 0o777, 0o755);
            assert_eq!(socket.metadata().unwrap().mode() & 0o777, 0o666);
            seen.push(found.ino());
            drop(server);
            assert!(!socket.exists());
        }
        assert_eq!(seen[0], seen[1]);
        let mode = base.path().join("d").metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "who is not root gets in nowhere");
    }

    #[test]
    fn what_is_not_ours_is_refused_and_what_a_dead_daemon_left_goes() {
        let base = tempfile::tempdir().unwrap();
        let config = config(base.path(), &[]);
        let device = base.path().join("sim-7");
        let socket = device.join(SOCKET_NAME);
        fs::create_dir(&device).unwrap();
        fs::set_permissions(&device, fs::Permissions::from_mode(0o700)).unwrap();
        drop(UnixListener::bind(&socket).unwrap());
        Devices::claim(&config, None).unwrap();
        assert!(!socket.exists());
        assert_eq!(device.metadata().unwrap().mode() & 0o777, 0o755);

        fs::write(&socket, "mine").unwrap();
        assert!(refused(&config).contains("sim-7/api.sock exists"));
        fs::remove_file(&socket).unwrap();
        let living = UnixListener::bind(&socket).unwrap();
        assert!(refused(&config).contains("another process"));
        drop(living);
        fs::set_permissions(&device, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refused(&config).contains("others may write"));
        fs::remove_dir_all(&device).unwrap();
        symlink("/tmp", &device).unwrap();
        assert!(refused(&config).contains("not a directory"));
        assert!(device.symlink_metadata().unwrap().is_symlink());
        fs::remove_file(&device).unwrap();
        fs::write(base.path().join("notes"), "").unwrap();
        Devices::claim(&config, None).unwrap();
    }
}
