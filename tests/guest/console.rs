//! The console: recent output for whoever comes late, nobody held up by whoever is slow, input as the guest takes it.
use iced_x86::code_asm::{al, bl, dx, ebx, ecx, edx};
use stagepages_proto::v1::{AttachConsoleRequest, LaunchState};
use stagepages_tests::{Bench, refused};
use tokio_stream::StreamExt as _;

use crate::listing::{DEBUG, SERIAL, assemble, exit, print};
use crate::program::{get, guest, long, on_kvm, run, start, stop, stopped};
use crate::terminal::Terminal;

/// What a daemon keeps of a guest's output, as GetNodeInfo says.
async fn kept(bench: &Bench) -> u64 {
    let limits = bench.api.node_info().await.limits.unwrap();
    u64::from(limits.console_buffer_bytes)
}

/// A guest that prints `lines` lines of 16 bytes, numbered in hex, and then "end".
fn flood(lines: u32) -> Vec<u8> {
    assemble(64, |a| {
        let (mut line, mut digit) = (a.create_label(), a.create_label());
        a.mov(edx, SERIAL)?;
        a.xor(ebx, ebx)?;
        a.set_label(&mut line)?;
        a.mov(ecx, 8)?;
        a.set_label(&mut digit)?;
        // Two characters a turn: 'a' to 'p' for each digit.
        a.rol(ebx, 4)?;
        a.mov(al, bl)?;
        a.and(al, 0xf)?;
        a.add(al, i32::from(b'a'))?;
        a.out(dx, al)?;
        a.out(dx, al)?;
        a.dec(ecx)?;
        a.jne(digit)?;
        a.inc(ebx)?;
        a.cmp(ebx, lines)?;
        a.jne(line)?;
        print(a, SERIAL, "end")?;
        exit(a, 0)
    })
}

/// What [`flood`] prints.
fn flooded(lines: u32) -> String {
    let line = |number: u32| {
        let digit = move |nth: u32| {
            let digit = (number >> (28 - 4 * nth)) & 0xf;
            char::from(b'a' + u8::try_from(digit).unwrap())
        };
        (0..8).flat_map(move |nth| [digit(nth); 2])
    };
    (0..lines).flat_map(line).chain("end".chars()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_gets_the_newest_output() {
    on_kvm(async |bench: &Bench| {
        let kept = kept(bench).await;
        let lines = u32::try_from(kept / 16 + 200).unwrap();
        let launch = run(bench, "vm", guest([long(0)]), &flood(lines)).await;
        let launch = stopped(bench, &launch.name).await;
        let expected = flooded(lines);
        for _ in 0..2 {
            let mut late = Terminal::attach(bench, &launch.name).await;
            let (serial, _) = late.hear_out().await;
            let first = usize::try_from(late.first.unwrap()).unwrap();
            assert_eq!(serial.len() as u64, kept, "all that is kept");
            assert!(serial == expected[first..], "and each byte at its offset");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_reaches_who_reads_and_a_slow_reader_holds_up_nobody() {
    on_kvm(async |bench: &Bench| {
        let kept = kept(bench).await;
        let lines = u32::try_from(2 * kept / 16).unwrap();
        let expected = flooded(lines);
        let launch = run(bench, "vm", guest([long(0)]), &flood(lines)).await;
        let mut slow = Terminal::attach(bench, &launch.name).await;
        let mut quick = Terminal::attach(bench, &launch.name).await;
        let mut offset = 0;
        while let Some(answer) = quick.hear().await.unwrap() {
            let start = usize::try_from(answer.offset).unwrap();
            assert!(answer.offset >= offset, "in order");
            let data: Vec<u8> = answer
                .output
                .iter()
                .flat_map(|output| output.data.clone())
                .collect();
            assert!(
                data == expected.as_bytes()[start..start + data.len()],
                "at {start:#x}"
            );
            offset = answer.offset + data.len() as u64;
        }
        assert_eq!(offset, expected.len() as u64, "to the last byte");
        assert_eq!(
            stopped(bench, &launch.name).await.state(),
            LaunchState::Stopped
        );
        // The slow one reads only now. Whatever it missed, the end is there.
        let (serial, _) = slow.hear_out().await;
        assert!(serial.ends_with("end") && expected.ends_with(&serial[serial.len() - 16..]));
    })
    .await;
}

/// A guest that prints what it reads, and ends at a full stop.
pub(crate) fn echo() -> Vec<u8> {
    assemble(64, |a| {
        let (mut wait, mut done) = (a.create_label(), a.create_label());
        print(a, SERIAL, "> ")?;
        a.set_label(&mut wait)?;
        // Line status: data ready.
        a.mov(edx, SERIAL + 5)?;
        a.in_(al, dx)?;
        a.test(al, 1)?;
        a.je(wait)?;
        a.mov(edx, SERIAL)?;
        a.in_(al, dx)?;
        a.out(dx, al)?;
        a.cmp(al, i32::from(b'.'))?;
        a.je(done)?;
        a.jmp(wait)?;
        a.set_label(&mut done)?;
        exit(a, 0)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_is_read_and_everyone_sees_it() {
    on_kvm(async |bench: &Bench| {
        let launch = run(bench, "vm", guest([long(0)]), &echo()).await;
        let mut one = Terminal::attach(bench, &launch.name).await;
        let mut other = Terminal::attach(bench, &launch.name).await;
        one.until("> ").await;
        one.send("hello").await;
        other.until("> hello").await;
        other.send(" you").await;
        one.until("> hello you").await;
        // Who types no more goes on listening.
        one.half_close();
        other.send(".").await;
        other.hear_out().await;
        one.hear_out().await;
        assert_eq!(
            (one.text(), other.text()),
            ("> hello you.".into(), "> hello you.".into())
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_input_than_is_on_its_way_at_once_arrives_whole() {
    on_kvm(async |bench: &Bench| {
        let launch = run(bench, "vm", guest([long(0)]), &echo()).await;
        let text: String = (0..6000_u32)
            .map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap()))
            .collect();
        let terminal = Terminal::attach(bench, &launch.name).await;
        let mut listener = Terminal::attach(bench, &launch.name).await;
        let (_, (serial, _)) = tokio::join!(
            async {
                for piece in text.as_bytes().chunks(4000) {
                    terminal.send(piece).await;
                }
                terminal.send(".").await;
            },
            listener.hear_out()
        );
        assert!(serial == format!("> {text}."), "{} bytes", serial.len());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_reads_nothing_holds_back_its_writers_and_nothing_else() {
    on_kvm(async |bench: &Bench| {
        let code = assemble(64, |a| {
            print(a, DEBUG, "deaf")?;
            crate::listing::forever(a)
        });
        let launch = run(bench, "vm", guest([long(0)]), &code).await;
        let mut terminal = Terminal::attach(bench, &launch.name).await;
        terminal.until("deaf").await;
        // More than is ever on its way, and more than the stream's own queue: the rest waits here.
        for _ in 0..4 {
            terminal.send([b'x'; 4096]).await;
        }
        let launch = stop(bench, &launch.name).await.unwrap();
        assert_eq!(launch.state(), LaunchState::Stopped);
        terminal.hear_out().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_attachments_are_refused() {
    on_kvm(async |bench: &Bench| {
        let never = bench.api.create("never", guest([])).await.unwrap();
        let mut terminal = Terminal::attach(bench, &never.name).await;
        let refusal = refused(terminal.hear().await, "WRONG_STATE");
        assert_eq!(refusal.meta("launch_state"), "CREATED");
        // Neither after it was aborted.
        bench.api.abort(&never.name).await.unwrap();
        let mut terminal = Terminal::attach(bench, &never.name).await;
        refused(terminal.hear().await, "WRONG_STATE");
        let mut terminal = Terminal::attach(bench, "launches/nobody").await;
        refused(terminal.hear().await, "LAUNCH_NOT_FOUND");

        let launch = run(bench, "vm", guest([long(0)]), &echo()).await;
        let request = |name: &str, input: usize| AttachConsoleRequest {
            name: name.to_owned(),
            uid: String::new(),
            input: vec![b'x'; input].into(),
        };
        for (requests, reason) in [
            (vec![], "MALFORMED_REQUEST"),
            (vec![request("", 1)], "MALFORMED_REQUEST"),
            (
                vec![request(&launch.name, 0), request("launches/never", 0)],
                "MALFORMED_REQUEST",
            ),
            (vec![request(&launch.name, 4097)], "MESSAGE_TOO_LARGE"),
        ] {
            let requests = tokio_stream::iter(requests).chain(tokio_stream::empty());
            let mut launches = bench.api.launches.clone();
            let mut answers = launches
                .attach_console(requests)
                .await
                .unwrap()
                .into_inner();
            let refusal = loop {
                match answers.message().await {
                    Ok(Some(_)) => {}
                    end => break refused(end, reason),
                }
            };
            assert!(!refusal.message.is_empty());
        }
        assert_eq!(get(bench, &launch.name).await.state(), LaunchState::Running);
        stop(bench, &launch.name).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_aborted_while_it_runs_keeps_what_it_said() {
    on_kvm(async |bench: &Bench| {
        let launch = run(bench, "vm", guest([long(0)]), &echo()).await;
        let mut terminal = Terminal::attach(bench, &launch.name).await;
        terminal.until("> ").await;
        let aborted = bench.api.abort(&launch.name).await.unwrap();
        assert_eq!(
            (aborted.state(), aborted.resources_released),
            (LaunchState::Aborted, true)
        );
        terminal.hear_out().await;
        let mut late = Terminal::attach(bench, &launch.name).await;
        assert_eq!(late.hear_out().await.0, "> ");
        refused(start(bench, &launch.name).await, "WRONG_STATE");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_ends_lets_its_listeners_go() {
    let daemon = stagepages_tests::Daemon::start(&stagepages_tests::DaemonOptions::new());
    let api = stagepages_tests::Api::unix(daemon.socket()).await;
    let bench = Bench {
        daemon,
        api,
        platform: stagepages_proto::v1::Platform::Kvm,
    };
    let info = bench.api.node_info().await;
    if !info
        .platforms
        .iter()
        .any(|info| info.platform() == bench.platform && info.available)
    {
        stagepages_tests::say("not tested here: consoles of a daemon that ends, without kvm");
        return bench.daemon.stop();
    }
    let launch = run(&bench, "vm", guest([long(0)]), &echo()).await;
    let mut terminal = Terminal::attach(&bench, &launch.name).await;
    terminal.until("> ").await;
    bench.daemon.terminate();
    let refusal = loop {
        match terminal.hear().await {
            Ok(Some(_)) => {}
            end => break refused(end, "DRAINING"),
        }
    };
    assert!(refusal.message.contains("attach again"), "{refusal:?}");
    assert!(bench.daemon.wait().success());
}
