//! A guest runs on, whoever of those around it is killed; how it stops is known however late anybody asks.
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stagepages_proto::v1::{
    LaunchSpec, LaunchState, LedgerOrder, Platform, StartLaunchRequest, StopReason,
};
use stagepages_tests::{Bench, DaemonOptions, eventually, halt, ledger};

use crate::console::echo;
use crate::listing::{SERIAL, assemble, exit, print};
use crate::program::{get, guest, image, long, run, stage, stop, stopped};
use crate::terminal::Terminal;

/// A daemon that may be killed; none without kvm.
async fn bench() -> Option<Bench> {
    Bench::start(&DaemonOptions::new(), Platform::Kvm).await
}

/// Supervisor and daemon are killed, then `meanwhile`, then the service starts again.
async fn killed(bench: &mut Bench, meanwhile: impl FnOnce()) {
    tokio::task::block_in_place(|| {
        bench.daemon.kill_all_but_hosts();
        meanwhile();
        bench.daemon.start_again();
    });
    bench.reborn().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_and_its_console_outlive_daemon_and_supervisor() {
    let Some(mut bench) = bench().await else {
        return;
    };
    let before = run(&bench, "vm", guest([long(0)]), &echo()).await;
    let mut terminal = Terminal::attach(&bench, &before.name).await;
    terminal.until("> ").await;
    terminal.send("one").await;
    terminal.until("> one").await;

    bench.daemon.kill_daemon();
    bench.reborn().await;
    let mut again = Terminal::attach(&bench, &before.name).await;
    again.until("> one").await;
    assert_eq!(again.first, Some(0), "what it wrote before is kept");
    again.send(" two").await;
    again.until("> one two").await;

    killed(&mut bench, || ()).await;
    let after = get(&bench, &before.name).await;
    assert_eq!(after.state(), LaunchState::Running);
    assert_eq!(
        (after.uid, after.host_pid, after.start_time, after.end_time),
        (
            before.uid,
            before.host_pid,
            before.start_time,
            before.end_time
        )
    );
    let mut last = Terminal::attach(&bench, &before.name).await;
    last.until("> one two").await;
    last.send(".").await;
    last.hear_out().await;
    assert_eq!(last.text(), "> one two.");
    let stop = stopped(&bench, &before.name).await.stop.unwrap();
    assert_eq!(
        (stop.reason(), stop.exit_code),
        (StopReason::ExitCode, Some(0))
    );
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_guest_stopped_while_nobody_was_there_is_told_later_and_for_good() {
    let Some(mut bench) = bench().await else {
        return;
    };
    let code = assemble(64, |a| {
        print(a, SERIAL, "alone")?;
        exit(a, 7)
    });
    let launch = bench.api.create("vm", guest([long(0)])).await.unwrap();
    stage(&bench, &launch, image(&code)).await;
    bench.api.finish(&launch.name, vec![]).await.unwrap();
    let installed = ledger(&bench.api, &launch.name, LedgerOrder::Installation, 0).await;
    assert!(!installed.is_empty());
    let host = Pid::from_raw(launch.host_pid.try_into().unwrap());
    // The host is held until it has been told to start the guest, and everybody else is gone. Whether it was told nobody can see but it: if the
    // daemon was killed before, once more.
    for _ in 0..50 {
        halt(host);
        let (api, name) = (bench.api.clone(), launch.name.clone());
        let request = StartLaunchRequest {
            name: name.clone(),
            uid: String::new(),
        };
        let mut launches = api.launches.clone();
        // Polled first, the start is on its way before the question behind it. One that was late would wait for the next daemon, and be
        // answered by that.
        let (answer, ()) = tokio::join!(launches.start_launch(request), async {
            get(&bench, &name).await;
            killed(&mut bench, || kill(host, Signal::SIGCONT).unwrap()).await;
        });
        answer.unwrap_err();
        let now = eventually("a host's answer", async || bench.api.get(&name).await.ok()).await;
        if now.state() != LaunchState::Finished {
            break;
        }
    }

    for round in 0..2 {
        let launch = eventually("a host's answer", async || {
            let answer = bench.api.get(&launch.name).await;
            answer.ok().filter(|now| now.resources_released)
        })
        .await;
        assert_eq!(launch.state(), LaunchState::Stopped, "round {round}");
        let stop = launch.stop.unwrap();
        assert_eq!(
            (stop.reason(), stop.exit_code, stop.vcpu),
            (StopReason::ExitCode, Some(7), Some(0))
        );
        let mut late = Terminal::attach(&bench, &launch.name).await;
        assert_eq!(late.hear_out().await.0, "alone", "round {round}");
        // Its pages too: the guest is gone, and what it began from is not.
        let pages = ledger(&bench.api, &launch.name, LedgerOrder::Installation, 0).await;
        assert_eq!(pages, installed, "round {round}");
        // Once more from the record alone.
        bench.daemon.kill_daemon();
        bench.reborn().await;
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_has_no_lease_with_a_daemon_or_without() {
    let Some(mut bench) = bench().await else {
        return;
    };
    let leased = |seconds| LaunchSpec {
        lease: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..guest([long(0)])
    };
    let runs = run(&bench, "runs", leased(1), &echo()).await;
    assert_eq!(runs.lease_expire_time, None);
    // Its neighbour's lease is as long, and is seen to have run out, with nobody there.
    let idle = bench.api.create("idle", leased(1)).await.unwrap();
    let idle_host = Pid::from_raw(idle.host_pid.try_into().unwrap());
    killed(&mut bench, || {
        while kill(idle_host, None).is_ok() && !is_zombie(idle_host) {
            std::thread::yield_now();
        }
    })
    .await;
    assert_eq!(get(&bench, &runs.name).await.state(), LaunchState::Running);
    assert_eq!(get(&bench, &idle.name).await.state(), LaunchState::Aborted);
    let mut terminal = Terminal::attach(&bench, &runs.name).await;
    terminal.send("still.").await;
    terminal.hear_out().await;
    stop(&bench, &runs.name).await.unwrap();
    bench.end().await;
}

/// Dead, and not waited for by whoever inherited it.
fn is_zombie(process: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}
