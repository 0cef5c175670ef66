//! Listeners, the end, and input, on one thread or two.

use super::*;

fn said(console: &Console, cursor: &mut Cursor) -> (u64, Vec<u8>) {
    let message = console.next(cursor).unwrap();
    let bytes = message.runs.into_iter().flat_map(|run| run.data).collect();
    (message.offset, bytes)
}

#[test]
fn each_listener_reads_from_where_it_is() {
    let console = Console::default();
    console.open();
    console.write(ConsolePort::Serial, b"hello");
    let mut one = Cursor::new(0);
    let mut other = Cursor::new(3);
    assert_eq!(said(&console, &mut one), (0, b"hello".to_vec()));
    assert_eq!(said(&console, &mut other), (3, b"lo".to_vec()));
    assert_eq!(console.next(&mut one), None);
    console.write(ConsolePort::Debug, b"!");
    assert_eq!(said(&console, &mut one), (5, b"!".to_vec()));
}

#[test]
fn a_listener_is_told_at_once_where_it_is() {
    let console = Console::default();
    let mut cursor = Cursor::new(9);
    assert!(console.wait(&cursor, || false));
    assert_eq!(said(&console, &mut cursor), (0, Vec::new()));
}

#[test]
fn everything_is_passed_on_before_the_end_and_nothing_after_it() {
    let console = Console::default();
    console.open();
    let mut cursor = Cursor::new(0);
    console.join();
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let mut heard = Vec::new();
            while console.wait(&cursor, || false) {
                heard.extend(said(&console, &mut cursor).1);
            }
            console.leave();
            heard
        });
        for byte in b"to the last byte" {
            console.write(ConsolePort::Serial, &[*byte]);
        }
        // Ends when the listener has left, and not before.
        console.close(Duration::from_secs(600));
        assert!(listener.join().unwrap() == b"to the last byte");
    });
}

#[test]
fn a_listener_that_does_not_read_is_cut_off() {
    let console = Console::default();
    console.open();
    console.write(ConsolePort::Serial, b"unread");
    console.join();
    console.close(Duration::ZERO);
    assert!(!console.wait(&Cursor::new(0), || false));
    assert!(!console.join(), "nobody waits for another one");
}

#[test]
fn input_that_nobody_can_read_is_dropped() {
    let console = Console::default();
    let too_much = [0; protocol::CONSOLE_INPUT + 1];
    assert_eq!(console.offer(1, &too_much), Ok(()));
    console.open();
    assert_eq!(console.offer(1, &too_much), Err(Overdrawn));
    console.close(Duration::ZERO);
    assert_eq!(console.offer(1, &too_much), Ok(()));
}

#[test]
fn what_the_guest_takes_is_told() {
    let console = Console::default();
    console.open();
    let mut sender = Cursor::new(0);
    console.next(&mut sender).unwrap();
    console.offer(1, b"abc").unwrap();
    assert_eq!(console.next(&mut sender), None);
    console.take_input(|bytes| {
        assert_eq!(bytes, b"abc");
        2
    });
    assert_eq!(console.next(&mut sender).unwrap().input_taken, 2);
    console.obey_only(2);
    assert_eq!(console.next(&mut sender).unwrap().input_taken, 3, "dropped");
}
