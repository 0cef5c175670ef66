//! Records on disk, and directories that two want.
use std::fs;

use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, Daemon, DaemonOptions, refused};

use crate::rig::{answered, on, on_every_platform, over, staged};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_torn_or_foreign_is_reported_and_left_alone() {
    on_every_platform(async |mut bench| {
        let (torn, flipped) = (
            staged(&bench, "torn", 3).await,
            staged(&bench, "flipped", 4).await,
        );
        let whole = staged(&bench, "whole", 5).await;
        let dir = bench.daemon.dir().join("state/launches");
        for launch in [&torn, &flipped, &whole] {
            bench.api.abort(&launch.name).await.unwrap();
            over(&bench, &launch.name).await;
        }
        let before = bench.api.get(&whole.name).await.unwrap();
        let scraps = tokio::task::block_in_place(|| {
            bench.daemon.kill_all();
            let mut bytes = fs::read(dir.join(&torn.uid)).unwrap();
            fs::write(dir.join(&torn.uid), &bytes[..bytes.len() / 2]).unwrap();
            bytes = fs::read(dir.join(&flipped.uid)).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(dir.join(&flipped.uid), bytes).unwrap();
            let foreign = dir.join("foreign");
            fs::write(&foreign, "somebody else's").unwrap();
            fs::copy(dir.join(&whole.uid), dir.join("copy")).unwrap();
            let link = dir.join("link");
            std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
            bench.daemon.start_again();
            [
                dir.join(&torn.uid),
                dir.join(&flipped.uid),
                foreign,
                dir.join("copy"),
                link,
            ]
        });
        bench.reborn().await;
        assert_eq!(bench.api.get(&whole.name).await.unwrap(), before);
        let log = bench.daemon.log();
        for scrap in &scraps {
            assert!(scrap.symlink_metadata().is_ok(), "{scrap:?} is gone");
            let name = scrap.display().to_string();
            let told = log
                .lines()
                .any(|line| line.contains(&name) && line.contains("ignored"));
            assert!(told, "{name} is not reported:\n{log}");
        }
        for launch in [&torn, &flipped] {
            refused(bench.api.get(&launch.name).await, "LAUNCH_NOT_FOUND");
            // Nothing of it is in the way.
            staged(&bench, launch.name.strip_prefix("launches/").unwrap(), 1).await;
        }
        bench
    })
    .await;
}

async fn unharmed(bench: &Bench, name: &str) {
    let launch = answered(bench, name).await;
    assert_eq!(launch.installed_pages, 3);
    bench.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_is_refused_and_the_other_unharmed() {
    on(&DaemonOptions::new(), Platform::Sim, async |bench| {
        let launch = staged(&bench, "vm", 3).await;
        let dir = bench.daemon.dir();
        for (options, told) in [
            (
                DaemonOptions::new().state_dir(&dir.join("state")),
                "another daemon uses it",
            ),
            (
                DaemonOptions::new().runtime_dir(&dir.join("run")),
                "another supervisor runs in",
            ),
        ] {
            let failed = tokio::task::block_in_place(|| Daemon::try_start(&options));
            let failed = failed.expect_err("a daemon in the directory of another");
            assert!(!failed.status.success(), "{failed:?}");
            assert!(failed.log.contains(told), "{}", failed.log);
            unharmed(&bench, &launch.name).await;
        }
        bench
    })
    .await;
}
