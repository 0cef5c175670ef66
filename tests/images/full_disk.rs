//! A disk that is full in the middle of a write.

use std::{path::Path, process::Command};

use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, DaemonOptions, refused, say};

use super::desk::{Desk, Subject, stage};

/// A small file system of its own, unmounted at the end.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// `None` where this process may not mount anything, which is told in one visible line.
    fn mount(dir: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "stagepages-small"])
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
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_loses_nothing_and_its_space_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_small) = Small::mount(dir.path()) else {
        return;
    };
    let options = DaemonOptions::new().state_dir(&dir.path().join("state"));
    let bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let desk = Desk::new(&bench);
    let first = Subject::random(1, 1000);
    desk.put(&first).await;
    let large = Subject::random(2, 2000);
    refused(desk.write(large.requests("a", 0)).await, "NO_CAPACITY");
    assert!(desk.missing(&large).await && !desk.missing(&first).await);
    let usage = bench.api.node_info().await.usage.unwrap();
    assert_eq!((usage.images, usage.image_bytes), (1, first.size()));
    let launch = bench.launch("vm").await;
    assert_eq!(
        stage(&bench, &launch.name, &first)
            .await
            .unwrap()
            .installed_pages,
        1000
    );
    // There is room again for what fits.
    let fits = Subject::random(3, 700);
    desk.put(&fits).await;
    desk.delete(&first).await.unwrap();
    desk.put(&Subject::random(4, 900)).await;
    bench.end().await;
}
