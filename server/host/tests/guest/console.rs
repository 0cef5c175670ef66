//! The console: input by credit, listeners that do not read, listeners that come late.

use stagepages_host::{
    guest::StopReason,
    launch::State,
    protocol::{CONSOLE_BUFFER, CONSOLE_INPUT, Command, Message, Ping},
};

use crate::{
    images::{ECHO, FLOOD, HELLO, LOOP},
    rig::{Heard, Host},
};

#[test]
fn what_is_typed_comes_back() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    daemon.run_real_mode(ECHO);
    // More than the port's own buffer holds.
    let text: Vec<u8> = (b'A'..b'Q').cycle().take(300).collect();
    daemon.input(&text);
    daemon.input(b"q");
    let (heard, stop) = daemon.hear();
    let sent = [text.as_slice(), b"q"].concat();
    assert_eq!(heard.serial, sent);
    assert_eq!(heard.input_taken, sent.len() as u64);
    assert_eq!(stop.reason, StopReason::Halted);
}

#[test]
fn what_is_sent_beyond_the_credit_is_dropped_and_the_guest_runs_on() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let mut greedy = host.daemon(1);
    daemon.run_real_mode(LOOP);
    greedy.input(&[b'x'; CONSOLE_INPUT]);
    // All of the credit, and no more: it is still there.
    greedy.done(Command::Ping(Ping {}));
    greedy.input(b"x");
    greedy.done(Command::Ping(Ping {}));
    // What is dropped is not on its way any more.
    greedy.listen(0);
    let Message::Console(console) = greedy.next_told() else {
        panic!("something else was told");
    };
    assert_eq!(console.input_taken, 1);
    daemon.stop().unwrap();
}

#[test]
fn input_of_a_daemon_that_is_gone_is_dropped_and_its_successor_has_all_credit() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    daemon.run_real_mode(LOOP);
    daemon.input(&[b'x'; CONSOLE_INPUT]);
    daemon.done(Command::Ping(Ping {}));
    let mut successor = host.daemon(2);
    successor.listen(0);
    let Message::Console(console) = successor.next_told() else {
        panic!("something else was told");
    };
    assert_eq!(console.input_taken, CONSOLE_INPUT as u64);
    successor.input(&[b'y'; CONSOLE_INPUT]);
    successor.done(Command::Ping(Ping {}));
    successor.stop().unwrap();
}

#[test]
fn a_flood_that_one_does_not_read_disturbs_no_answer_and_costs_no_other_listener_a_byte() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let mut deaf = host.daemon(1);
    let mut listener = host.daemon(1);
    deaf.done(Command::Ping(Ping {}));
    daemon.run_real_mode(FLOOD);
    deaf.listen(0);
    listener.listen(0);
    let mut heard = Heard::default();
    while heard.offset < 3 * CONSOLE_BUFFER as u64 {
        if let Message::Console(console) = listener.next_told() {
            heard.add(&console);
        }
        // `daemon` and `deaf` listen, and do not read.
    }
    assert_eq!(heard.missed, 0);
    assert!(heard.serial.len().abs_diff(heard.debug.len()) <= 1);
    listener.stop().unwrap();
    assert_eq!(listener.state(), State::Stopped);
    // What was not read in time is not told any more, but the end is. What waited in the socket left room in it for answers.
    let (late, stop) = deaf.hear();
    assert_eq!(stop.reason, StopReason::Requested);
    assert!(late.serial.len() + late.debug.len() < 2 * CONSOLE_BUFFER);
}

#[test]
fn who_comes_after_the_end_hears_what_is_kept_before_the_answer() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    daemon.run_real_mode(HELLO);
    daemon.hear();
    let mut late = host.daemon(2);
    assert_eq!(late.state(), State::Stopped);
    for (from, serial) in [(0, &b"Hi"[..]), (1, b"i"), (99, b"")] {
        late.told.clear();
        late.listen(from);
        let mut heard = Heard {
            offset: from.min(3),
            ..Heard::default()
        };
        for message in &late.told {
            if let Message::Console(console) = message {
                heard.add(console);
            }
        }
        assert_eq!(heard.serial, serial, "from {from}");
        assert_eq!(heard.offset, 3);
    }
}
