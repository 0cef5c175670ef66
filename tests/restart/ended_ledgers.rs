//! The ledgers of launches that are over: every daemon tells the same, whoever was killed when, and says why where none was kept.
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use stagepages_proto::v1::sim_fault::Effect;
use stagepages_proto::v1::{
    InstalledRun, Launch, LaunchState, LedgerOrder, ListInstalledPagesRequest,
    ListInstalledPagesResponse, PageType, Platform,
};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, SimScript, halt, ledger, page, refused, region,
};
use tonic::Status;

use crate::rig::{
    PAGES, answered, leased, on, on_every_platform, over, renew_daemon, renew_service, send,
};

/// Both orders, in pieces of two runs.
async fn listed(bench: &Bench, launch: &Launch) -> [Vec<InstalledRun>; 2] {
    [
        ledger(&bench.api, &launch.name, LedgerOrder::Gpa, 2).await,
        ledger(&bench.api, &launch.name, LedgerOrder::Installation, 2).await,
    ]
}

/// Installs some pages, and returns what the living launch tells of them.
async fn scattered(bench: &Bench, launch: &Launch) -> [Vec<InstalledRun>; 2] {
    let mut contents = Contents::new(launch.uid.len().try_into().unwrap());
    for extent in [
        Extent::normal(page(9), contents.pages(5)),
        Extent::length(page(2), PageType::Zero, 2 * PAGE),
        Extent::data(page(6), PageType::Unmeasured, contents.pages(1)),
        Extent::normal(page(0), contents.pages(1)),
    ] {
        bench.api.stage(&launch.name, extent).await.unwrap();
    }
    listed(bench, launch).await
}

async fn list(bench: &Bench, launch: &Launch) -> Result<ListInstalledPagesResponse, Status> {
    let request = ListInstalledPagesRequest {
        name: launch.name.clone(),
        include_hashes: true,
        ..ListInstalledPagesRequest::default()
    };
    let mut launches = bench.api.launches.clone();
    let answer = launches.list_installed_pages(request).await?;
    Ok(answer.into_inner())
}

/// Asserts that the ledger of a launch that is over is not there, for a reason in these words.
async fn assert_missing(bench: &Bench, launch: &Launch, words: &str) {
    let answer = list(bench, launch).await;
    let status = answer.as_ref().unwrap_err().clone();
    refused(answer, "WRONG_STATE")
        .state("ABORTED")
        .has_precondition();
    assert!(status.message().contains(words), "{}", status.message());
}

fn files(bench: &Bench) -> PathBuf {
    bench.daemon.dir().join("state/ledgers")
}

/// What is there, by name.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn ledgers_of_ended_launches_survive_and_deleted_ones_leave_nothing() {
    on_every_platform(async |mut bench| {
        let requested = bench.launch("requested").await;
        let spec = leased(bench.platform, 2);
        let expired = bench.api.create("expired", spec).await.unwrap();
        let mut ended = Vec::new();
        for launch in [&requested, &expired] {
            ended.push((launch.clone(), scattered(&bench, launch).await));
        }
        if bench.platform == Platform::Sim {
            let script = SimScript::new().fault(page(40), 1, Effect::KernelErrno(5));
            let spec = script.spec([region(page(0), PAGES * PAGE)]);
            let doubted = bench.api.create("doubted", spec).await.unwrap();
            let before = scattered(&bench, &doubted).await;
            let extent = Extent::normal(page(40), vec![1; 4096]);
            refused(
                bench.api.stage(&doubted.name, extent).await,
                "KERNEL_REFUSED",
            );
            ended.push((doubted, before));
        }
        bench.api.abort(&requested.name).await.unwrap();
        for (launch, before) in &ended {
            over(&bench, &launch.name).await;
            assert_eq!(listed(&bench, launch).await, *before, "{}", launch.name);
        }
        let killed = bench.launch("killed").await;
        scattered(&bench, &killed).await;
        send(bench.daemon.host(&killed), Signal::SIGKILL);
        over(&bench, &killed.name).await;

        for generation in 0..2 {
            if generation == 0 {
                renew_daemon(&mut bench).await;
            } else {
                renew_service(&mut bench, |_| {}).await;
            }
            for (launch, before) in &ended {
                assert_eq!(listed(&bench, launch).await, *before, "{}", launch.name);
            }
            assert_missing(&bench, &killed, "died").await;
        }
        assert_eq!(names(&files(&bench)).len(), ended.len());
        for (launch, _) in &ended {
            bench.api.delete(&launch.name).await.unwrap();
        }
        assert_eq!(names(&files(&bench)), [""; 0]);
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_while_a_launch_ends_loses_no_ledger() {
    on_every_platform(async |mut bench| {
        let mut ended = Vec::new();
        for round in 0..6 {
            let launch = bench.launch(&format!("vm-{round}")).await;
            let before = scattered(&bench, &launch).await;
            let (api, name) = (bench.api.clone(), launch.name.clone());
            let call = tokio::spawn(async move { api.abort(&name).await });
            for _ in 0..round * 60 {
                tokio::task::yield_now().await;
            }
            bench.daemon.kill_daemon();
            drop(call.await);
            bench.reborn().await;
            let now = answered(&bench, &launch.name).await;
            // The host heard of it, or did not.
            if now.state() != LaunchState::Aborted {
                bench.api.abort(&launch.name).await.unwrap();
            }
            over(&bench, &launch.name).await;
            ended.push((launch, before));
        }
        for _ in 0..2 {
            for (launch, before) in &ended {
                assert_eq!(listed(&bench, launch).await, *before, "{}", launch.name);
            }
            renew_daemon(&mut bench).await;
        }
        let mut expected: Vec<_> = ended.iter().map(|(launch, _)| launch.uid.clone()).collect();
        expected.sort();
        assert_eq!(names(&files(&bench)), expected, "and no leftovers");
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_while_no_daemon_lives_is_told_with_its_ledger() {
    let options = DaemonOptions::new();
    on(&options, Platform::Sim, async |mut bench| {
        let script = SimScript::new().fault(page(40), 1, Effect::KernelErrno(5));
        let spec = script.spec([region(page(0), PAGES * PAGE)]);
        let launch = bench.api.create("vm", spec).await.unwrap();
        let before = scattered(&bench, &launch).await;
        // Held until its daemon is gone, with the call that ends the launch in its queue, or on the way there.
        let host = bench.daemon.host(&launch);
        halt(host);
        let (api, name) = (bench.api.clone(), launch.name.clone());
        let call = tokio::spawn(async move {
            let extent = Extent::normal(page(40), vec![1; 4096]);
            api.stage(&name, extent).await
        });
        bench.api.get(&launch.name).await.unwrap();
        bench.daemon.kill_daemon();
        drop(call.await);
        send(host, Signal::SIGCONT);
        bench.reborn().await;
        let now = answered(&bench, &launch.name).await;
        if now.state() != LaunchState::Aborted {
            bench.api.abort(&launch.name).await.unwrap();
        }
        over(&bench, &launch.name).await;
        assert_eq!(listed(&bench, &launch).await, before);
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_ledgers_are_dropped_for_room_and_one_that_is_too_large_is_not_kept() {
    let options = DaemonOptions::new().config("ended_ledgers_max_bytes = 1500");
    on(&options, Platform::Sim, async |mut bench| {
        let mut ended = Vec::new();
        for round in 0..4 {
            let launch = bench.launch(&format!("vm-{round}")).await;
            let before = scattered(&bench, &launch).await;
            bench.api.abort(&launch.name).await.unwrap();
            over(&bench, &launch.name).await;
            ended.push((launch, before));
        }
        let large = bench.launch("large").await;
        let data = Contents::new(3).pages(PAGES);
        bench
            .api
            .stage(&large.name, Extent::normal(page(0), data))
            .await
            .unwrap();
        bench.api.abort(&large.name).await.unwrap();
        over(&bench, &large.name).await;
        for _ in 0..2 {
            let kept = names(&files(&bench));
            let bytes: u64 = kept
                .iter()
                .map(|name| fs::metadata(files(&bench).join(name)).unwrap().len())
                .sum();
            assert!((1..4).contains(&kept.len()) && bytes <= 1500, "{kept:?}");
            for (index, (launch, before)) in ended.iter().enumerate() {
                if index < 4 - kept.len() {
                    assert_missing(&bench, launch, "dropped to make room").await;
                } else {
                    assert_eq!(listed(&bench, launch).await, *before);
                }
            }
            assert_missing(&bench, &large, "ended_ledgers_max_bytes").await;
            renew_daemon(&mut bench).await;
        }
        bench
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_be_written_or_was_damaged_costs_no_end_and_tells_nothing_wrong() {
    let options = DaemonOptions::new();
    on(&options, Platform::Sim, async |mut bench| {
        let damaged = bench.launch("damaged").await;
        scattered(&bench, &damaged).await;
        bench.api.abort(&damaged.name).await.unwrap();
        over(&bench, &damaged.name).await;
        let path = files(&bench).join(&damaged.uid);
        let mut bytes = fs::read(&path).unwrap();
        bytes[64] ^= 1;
        fs::write(&path, bytes).unwrap();
        refused(list(&bench, &damaged).await, "INTERNAL_ERROR");

        // No directory, no file.
        fs::remove_dir_all(files(&bench)).unwrap();
        fs::write(files(&bench), "in the way").unwrap();
        let unwritten = bench.launch("unwritten").await;
        scattered(&bench, &unwritten).await;
        let aborted = bench.api.abort(&unwritten.name).await.unwrap();
        assert!(aborted.resources_released, "{aborted:?}");
        assert_missing(&bench, &unwritten, "could not be written").await;
        // Nor does it cost the next daemon.
        renew_daemon(&mut bench).await;
        let later = bench.launch("later").await;
        scattered(&bench, &later).await;
        bench.api.abort(&later.name).await.unwrap();
        over(&bench, &later.name).await;
        assert_missing(&bench, &later, "when the daemon started").await;
        fs::remove_file(files(&bench)).unwrap();
        renew_daemon(&mut bench).await;
        assert_missing(&bench, &unwritten, "could not be written").await;
        assert_missing(&bench, &damaged, "dropped to make room").await;
        bench
    })
    .await;
}
