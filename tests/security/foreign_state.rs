//! What is not the daemon's where its own files should be: symbolic links, FIFOs, directories, files and sockets of others.
//!
//! A daemon that needs the place does not start, and names it; one that does not, says so and goes on.
//!
//! **Invariant:** nothing foreign is followed, opened, changed or removed.
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use stagepages_proto::v1::Platform;
use stagepages_tests::{Api, Bench, Daemon, DaemonOptions, Extent, eventually, page};
use tempfile::TempDir;

/// Nobody here.
const SOMEBODY: u32 = 12345;

/// What is found in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    /// A symbolic link to what could be there, were it ours.
    Link,
    /// A symbolic link to where nothing is.
    Dangling,
    Dir,
    File,
    Fifo,
    /// A file of somebody else.
    TheirFile,
    /// A directory of somebody else.
    TheirDir,
    /// A directory that everybody may write to.
    OpenDir,
    /// A socket of somebody else, on which nobody listens.
    TheirSocket,
}

use Thing::{Dangling, Dir, Fifo, Link, OpenDir, TheirDir, TheirFile, TheirSocket};

/// Where a file of ours should be.
const NO_FILES: [Thing; 5] = [Link, Dangling, Dir, Fifo, TheirFile];
/// Where a directory of ours should be.
const NO_DIRS: [Thing; 6] = [Link, Dangling, Thing::File, Fifo, TheirDir, OpenDir];
/// Where a socket of ours should be.
const NO_SOCKETS: [Thing; 6] = [Link, Dangling, Dir, Fifo, Thing::File, TheirSocket];

/// What a place is like: what it is, whose, since when, and where it leads.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mode: u32,
    uid: u32,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    leads: Option<PathBuf>,
}

fn seen(path: &Path) -> Seen {
    let found = path.symlink_metadata().unwrap();
    Seen {
        mode: found.mode(),
        uid: found.uid(),
        inode: found.ino(),
        size: found.size(),
        changed: (found.ctime(), found.ctime_nsec()),
        leads: fs::read_link(path).ok(),
    }
}

/// Directories for a daemon, and something that nobody may touch.
struct Ground {
    dir: TempDir,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sp")
            .tempdir_in("/tmp")
            .unwrap();
        let ground = Self { dir };
        fs::create_dir(ground.at("victim")).unwrap();
        fs::write(ground.at("victim/file"), "1\n").unwrap();
        ground
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self) -> DaemonOptions {
        DaemonOptions::new()
            .state_dir(&self.at("state"))
            .runtime_dir(&self.at("run"))
            .listen(&format!("unix:{}", self.at("listen/api.sock").display()))
    }

    /// The files of a daemon that was here once.
    fn lived_in() -> Self {
        let ground = Self::new();
        fs::create_dir(ground.at("listen")).unwrap();
        let daemon = Daemon::start(&ground.options());
        daemon.terminate();
        assert!(daemon.wait().success());
        ground
    }

    /// Puts `thing` in a place; what is there goes.
    fn put(&self, thing: Thing, place: &str) -> PathBuf {
        let path = self.at(place);
        if path.is_dir() {
            fs::rename(&path, self.at("was")).unwrap();
        } else {
            fs::remove_file(&path).ok();
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match thing {
            Link if self.at("was").exists() => symlink(self.at("was"), &path).unwrap(),
            Link => symlink(self.at("victim/file"), &path).unwrap(),
            Dangling => symlink(self.at("victim/nothing"), &path).unwrap(),
            Dir | TheirDir | OpenDir => fs::create_dir(&path).unwrap(),
            Thing::File | TheirFile => fs::write(&path, "1\n").unwrap(),
            Fifo => mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap(),
            TheirSocket => drop(UnixListener::bind(&path).unwrap()),
        }
        match thing {
            TheirFile | TheirDir | TheirSocket => chown(&path, Some(SOMEBODY), None).unwrap(),
            OpenDir => fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap(),
            Link | Dangling | Dir | Thing::File | Fifo => {}
        }
        path
    }

    /// The place is as it was before it was taken; the victim is as it always was.
    fn restore(&self, path: &Path) {
        fs::remove_file(path)
            .or_else(|_| fs::remove_dir(path))
            .unwrap();
        if self.at("was").exists() {
            fs::rename(self.at("was"), path).unwrap();
        }
        assert_eq!(fs::read(self.at("victim/file")).unwrap(), b"1\n");
        assert_eq!(fs::read_dir(self.at("victim")).unwrap().count(), 1);
    }
}

/// No daemon starts with any of `things` in this place.
fn refuses(place: &str, things: &[Thing]) {
    let ground = Ground::lived_in();
    for thing in things {
        let path = ground.put(*thing, place);
        let before = seen(&path);
        let failed = Daemon::try_start(&ground.options());
        let Err(failed) = failed else {
            panic!("it started with {thing:?} at {place}")
        };
        let log = &failed.log;
        assert!(!failed.status.success());
        assert!(
            log.contains(&path.display().to_string()),
            "{thing:?} at {place}:\n{log}"
        );
        let ways = [
            "move it away",
            "choose one of your own",
            "chmod go-w",
            "not a link",
        ];
        assert!(
            ways.iter().any(|way| log.contains(way)),
            "{thing:?} at {place}:\n{log}"
        );
        assert_eq!(seen(&path), before, "{thing:?} at {place}");
        ground.restore(&path);
    }
    // They were all that was in its way.
    let daemon = Daemon::start(&ground.options());
    daemon.terminate();
    assert!(daemon.wait().success());
}

#[test]
fn the_state_directory_is_the_daemons_own() {
    refuses("state", &NO_DIRS);
    refuses("state/launches", &NO_DIRS);
}

#[test]
fn the_files_of_the_state_directory_are_the_daemons_own() {
    refuses("state/lock", &NO_FILES);
    refuses("state/epoch", &NO_FILES);
    refuses("state/epoch.new", &NO_FILES);
}

#[test]
fn the_image_store_is_the_daemons_own() {
    refuses("state/images", &NO_DIRS);
    refuses("state/images/blobs", &NO_DIRS);
    refuses("state/images/lock", &NO_FILES);
}

#[test]
fn the_audit_log_is_the_daemons_own() {
    refuses("state/audit", &NO_DIRS);
    refuses("state/audit/audit.jsonl", &NO_FILES);
}

#[test]
fn the_runtime_directory_is_the_supervisors_own() {
    refuses("run", &NO_DIRS);
    refuses("run/h", &NO_DIRS);
}

#[test]
fn a_socket_is_the_daemons_own_and_so_is_its_lock() {
    refuses("listen/api.sock", &NO_SOCKETS);
    refuses("listen/api.sock.lock", &NO_FILES);
}

/// Where others' things are in nobody's way.
const ASIDE: [&str; 7] = [
    "state/launches/",
    "state/launches/.new-",
    "state/ledgers/",
    "state/ledgers/.new-",
    "state/images/blobs/",
    "state/images/uploads/",
    "run/h/",
];

#[test]
fn what_is_in_nobodys_way_is_told_and_left_alone() {
    let ground = Ground::lived_in();
    let mut placed = Vec::new();
    for place in ASIDE {
        for thing in [Link, Dangling, Dir, Fifo, TheirFile, TheirSocket] {
            let suffix = if place == "run/h/" { ".sock" } else { "" };
            let path = ground.put(thing, &format!("{place}{thing:?}{suffix}"));
            placed.push((seen(&path), path));
        }
    }
    let daemon = Daemon::start(&ground.options());
    let log = daemon.log();
    daemon.terminate();
    assert!(daemon.wait().success());
    for (before, path) in placed {
        assert_eq!(seen(&path), before, "{path:?}");
        let name = path.file_name().unwrap().to_str().unwrap();
        let told = log.lines().any(|line| line.contains(name));
        assert!(told, "{path:?} is not told:\n{log}");
    }
    assert_eq!(fs::read(ground.at("victim/file")).unwrap(), b"1\n");
}

#[test]
fn a_ledger_directory_that_is_not_ours_costs_ledgers_only() {
    let ground = Ground::lived_in();
    for thing in NO_DIRS {
        let path = ground.put(thing, "state/ledgers");
        let before = seen(&path);
        let daemon = Daemon::start(&ground.options());
        let log = daemon.log();
        assert!(
            log.contains("mend the directory") && log.contains(&path.display().to_string()),
            "{log}"
        );
        daemon.terminate();
        assert!(daemon.wait().success());
        assert_eq!(seen(&path), before, "{thing:?}");
        ground.restore(&path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_put_another_thing_in_place_of_is_not_written_over() {
    let bench = Bench::start(&DaemonOptions::new(), Platform::Sim)
        .await
        .unwrap();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let launch = bench.launch("vm").await;
    let record = bench.daemon.dir().join("state/launches").join(&launch.uid);
    let socket = bench
        .daemon
        .dir()
        .join(format!("run/h/{}.sock", launch.uid));
    eventually("the record", async || record.exists().then_some(())).await;
    fs::remove_file(&record).unwrap();
    symlink(elsewhere.path(), &record).unwrap();
    assert!(socket.symlink_metadata().unwrap().file_type().is_socket());
    fs::remove_file(&socket).unwrap();
    File::create(&socket).unwrap();
    let places = [&record, &socket];
    let before = places.map(|path| seen(path));
    // What is under way goes on, and other launches come and go.
    let extent = Extent::normal(page(0), vec![1; 4096]);
    bench.api.stage(&launch.name, extent).await.unwrap();
    bench.api.abort(&launch.name).await.unwrap();
    bench.still_serves().await;
    eventually("the log to tell of both", async || {
        let log = bench.daemon.log();
        let told = |path: &Path| {
            let path = path.display().to_string();
            log.lines().any(|line| line.contains(&path))
        };
        (told(&record) && told(&socket)).then_some(())
    })
    .await;
    assert_eq!(places.map(|path| seen(path)), before);
    assert_eq!(elsewhere.as_file().metadata().unwrap().len(), 0);
    fs::remove_file(&socket).unwrap();
    fs::remove_file(&record).unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_the_place_of_a_served_socket_stays() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let socket = daemon.socket().to_owned();
    let api = Api::unix(&socket).await;
    fs::remove_file(&socket).unwrap();
    let theirs = UnixListener::bind(&socket).unwrap();
    let before = seen(&socket);
    api.node_info().await;
    Api::tcp(&daemon).await.node_info().await;
    daemon.terminate();
    let dir = socket.parent().unwrap().to_owned();
    eventually("the daemon to end", async || {
        daemon.log().contains("done").then_some(())
    })
    .await;
    assert_eq!(seen(&socket), before, "in {dir:?}");
    assert!(daemon.wait().success());
    drop(theirs);
}
