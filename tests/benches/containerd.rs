//! How long `ctr content ingest` takes to bring a file into containerd's content store, digest verified.
//!
//! A containerd of its own for every run, with its root and its state on a tmpfs, without CRI and without the snapshotters that need a disk: an ingest of bytes that
//! the store once had is none. What is timed is one `ctr`, from its start to its end; what it sends goes over containerd's gRPC socket.
//!
//! **Invariant:** a run counts only if the store lists the digest afterwards; nothing of a containerd of the machine is touched.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use stagepages_tests::eventually;
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::{scratch, world::World};

/// What is not needed to store bytes, and may not start in a container.
const WITHOUT: [&str; 6] = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.overlayfs",
    "io.containerd.snapshotter.v1.zfs",
];

/// Why it may not be there.
pub(crate) const MISSING: &str = "there is no containerd (package containerd)";

/// Whether it can be started.
pub(crate) fn is_there() -> bool {
    Command::new("containerd").arg("--version").output().is_ok()
}

/// What `ctr content ingest` takes for `image`, in seconds. The baseline of WriteImage of the same bytes.
pub(crate) fn ingest_seconds(world: &World, image: &Path, digest: &str) -> f64 {
    let containerd = Containerd::start(world);
    let size = fs::metadata(image).unwrap().len().to_string();
    let begun = Instant::now();
    let status = containerd
        .ctr()
        .args(["content", "ingest", "--expected-size", &size])
        .args(["--expected-digest", digest, "image"])
        .stdin(File::open(image).unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let took = begun.elapsed().as_secs_f64();
    assert!(status.success(), "ctr content ingest ended with {status}");
    let list = containerd.ctr().args(["content", "ls", "-q"]).output();
    let list = list.unwrap().stdout;
    assert_eq!(String::from_utf8_lossy(&list).trim(), digest);
    took
}

/// A containerd with an empty store.
struct Containerd {
    process: Child,
    socket: PathBuf,
    _dir: TempDir,
}

impl Containerd {
    /// Starts one, and waits until it accepts connections.
    fn start(world: &World) -> Self {
        let dir = scratch::directory();
        let socket = dir.path().join("containerd.sock");
        let config = dir.path().join("config.toml");
        fs::write(&config, configuration(dir.path(), &socket)).unwrap();
        let process = Command::new("containerd")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let containerd = Self {
            process,
            socket,
            _dir: dir,
        };
        let accepts = async || UnixStream::connect(&containerd.socket).await.ok();
        drop(world.runtime.block_on(eventually("containerd", accepts)));
        containerd
    }

    fn ctr(&self) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(&self.socket);
        ctr
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // It has started nothing, and its files go with its directory.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn configuration(dir: &Path, socket: &Path) -> String {
    let (root, state) = (dir.join("root"), dir.join("state"));
    format!(
        "version = 2\nroot = {root:?}\nstate = {state:?}\ndisabled_plugins = {WITHOUT:?}\n[grpc]\naddress = {socket:?}\n[ttrpc]\naddress = {:?}\n",
        dir.join("ttrpc.sock")
    )
}
