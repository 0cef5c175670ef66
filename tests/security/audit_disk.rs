//! An audit log that cannot be written: no new launch, everything else goes on, and it recovers by itself. And what is not written to at all.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Bench, Contents, Daemon, DaemonOptions, Extent, PAGE, eventually, page, refused, region, say,
    spec,
};

use super::audit_log::{events, of, sound, until};

/// A small file system of its own, unmounted at the end.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// `None` where this process may not mount anything, which is told in one visible line.
    fn mount(dir: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                "size=256k,mode=700",
                "stagepages-audit",
            ])
            .arg(dir)
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(dir)),
            other => {
                say(&format!(
                    "not tested here: a full disk; nothing may be mounted: {other:?}"
                ));
                None
            }
        }
    }

    /// Writes until there is no room left.
    fn fill(&self) {
        let mut bytes = 1 << 20;
        while bytes > 0 {
            let file = self.0.join(format!("filler-{bytes}"));
            if fs::write(file, vec![0; bytes]).is_err() {
                bytes /= 2;
            }
        }
    }

    /// Makes room again.
    fn empty(&self) {
        for entry in fs::read_dir(self.0).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("filler-") {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_new_launches_and_nothing_else_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(dir.path()) else {
        return;
    };
    let log = dir.path().join("log");
    let options = DaemonOptions::new().flag(&format!("--audit-dir={}", log.display()));
    let bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let lives = bench.launch("lives").await;
    small.fill();
    let spec = || spec(bench.platform, [region(page(0), PAGE)]);
    // What is in the page that the log has already may still be written.
    let mut created = Vec::new();
    let refusal = loop {
        match bench
            .api
            .create(&format!("vm-{}", created.len()), spec())
            .await
        {
            Ok(launch) => created.push(launch),
            Err(status) => break status,
        }
        assert!(created.len() < 100, "the disk is full, and nobody minds");
    };
    let refusal = refused(Err::<(), _>(refusal), "AUDIT_UNAVAILABLE");
    refusal.has_retry();
    // It is refused before a host is made, and leaves nothing.
    refused(bench.api.create("more", spec()).await, "AUDIT_UNAVAILABLE");
    refused(bench.api.get("launches/more").await, "LAUNCH_NOT_FOUND");
    eventually("the end of what was refused", async || {
        (bench.daemon.hosts() == created.len() + 1).then_some(())
    })
    .await;
    // The others go on.
    let extent = Extent::normal(page(0), Contents::new(1).pages(1));
    bench.api.stage(&lives.name, extent).await.unwrap();
    bench.api.finish(&lives.name, vec![]).await.unwrap();
    bench.api.abort(&lives.name).await.unwrap();
    let said = bench.daemon.log();
    assert_eq!(said.matches("cannot be written: no launch").count(), 1);

    small.empty();
    let late = eventually("a launch", async || {
        bench.api.create("late", spec()).await.ok()
    })
    .await;
    let all = until(&log, "what happened meanwhile", |all| {
        of(all, &lives.uid).len() == 4
    })
    .await;
    assert_eq!(
        events(&of(&all, &lives.uid)),
        [
            "launch.created",
            "launch.staging",
            "launch.finished",
            "launch.aborted"
        ]
    );
    let resumed: Vec<_> = all
        .iter()
        .filter(|it| it["event"] == "log.resumed")
        .collect();
    assert_eq!(resumed.len(), 1);
    assert_eq!(resumed[0]["count"], 0, "nothing is missing");
    for launch in created.iter().chain([&late]) {
        assert_eq!(events(&of(&all, &launch.uid))[0], "launch.created");
    }
    let document = sound(&log);
    assert_eq!(
        (&document["mended"], &document["torn_bytes"]),
        (&0.into(), &0.into())
    );
    bench.end().await;
}

#[test]
fn a_daemon_does_not_write_through_a_link_nor_into_what_others_may_write() {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let begin = |prepare: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::create_dir(&log).unwrap();
        prepare(&log);
        let options = DaemonOptions::new().flag(&format!("--audit-dir={}", log.display()));
        let failed = Daemon::try_start(&options).unwrap_err();
        assert!(!failed.status.success());
        assert!(
            failed.log.contains("audit_dir") && failed.log.contains("move it away"),
            "{}",
            failed.log
        );
    };
    let mode = |path: &Path, mode| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    begin(&|log| {
        mode(log, 0o700);
        symlink(elsewhere.path(), log.join("audit.jsonl")).unwrap();
    });
    begin(&|log| mode(log, 0o777));
    begin(&|log| {
        fs::remove_dir(log).unwrap();
        symlink("/tmp", log).unwrap();
    });
    assert_eq!(fs::read(elsewhere.path()).unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_audit_log_launches_are_created_and_nothing_is_written() {
    let options = DaemonOptions::new().config("audit = \"off\"");
    let bench = Bench::start(&options, Platform::Sim).await.unwrap();
    bench.launch("vm").await;
    assert!(!bench.daemon.dir().join("state/audit").exists());
    bench.end().await;
}
