//! The supervisor's end against a daemon that does exactly what a test says.

use super::super::proto::{AdoptHost, HostKind, KillHost, Ready};
use super::*;

fn pair() -> (Connection, SeqSocket) {
    let (ours, theirs) = SeqSocket::pair().unwrap();
    (Connection::new(ours, Sockets::default()), theirs)
}

fn send(socket: &SeqSocket, body: RequestBody) {
    let request = Request { body: Some(body) };
    socket.send(&wire::encode(&request).unwrap(), &[]).unwrap();
}

fn hello(protocol_version: u32) -> RequestBody {
    RequestBody::Hello(Hello { protocol_version })
}

#[test]
fn hello_comes_first_and_once() {
    let (mut connection, daemon) = pair();
    assert!(connection.next_request().unwrap().is_none());
    send(&daemon, hello(PROTOCOL_VERSION));
    assert!(!connection.greeted());
    assert!(connection.next_request().unwrap().is_some());
    assert!(connection.greeted());
    send(&daemon, RequestBody::Ready(Ready {}));
    assert!(connection.next_request().unwrap().is_some());
    send(&daemon, hello(PROTOCOL_VERSION));
    let fault = connection.next_request().unwrap_err();
    assert!(matches!(fault, Fault::OutOfPlace));

    let (mut connection, daemon) = pair();
    send(&daemon, RequestBody::Ready(Ready {}));
    let fault = connection.next_request().unwrap_err();
    assert!(matches!(fault, Fault::OutOfPlace));
}

#[test]
fn what_is_no_request_is_a_fault() {
    let (mut connection, daemon) = pair();
    daemon.send(&[0xff; 9], &[]).unwrap();
    let fault = connection.next_request().unwrap_err();
    assert!(matches!(fault, Fault::Malformed(_)));

    // An unknown field alone: protobuf, but no body.
    daemon.send(&[0xf8, 0x7f, 0x01], &[]).unwrap();
    let fault = connection.next_request().unwrap_err();
    assert!(matches!(fault, Fault::Empty { fds: 0 }));

    let request = Request {
        body: Some(hello(PROTOCOL_VERSION)),
    };
    let bytes = wire::encode(&request).unwrap();
    daemon.send(&bytes, &[daemon.as_fd()]).unwrap();
    let fault = connection.next_request().unwrap_err();
    assert!(matches!(fault, Fault::Empty { fds: 1 }));

    send(&daemon, hello(PROTOCOL_VERSION + 1));
    let fault = connection.next_request().unwrap_err();
    assert!(matches!(fault, Fault::Version { theirs: 2 }));

    drop(daemon);
    let fault = connection.next_request().unwrap_err();
    assert!(matches!(fault, Fault::Closed));
}

#[test]
fn only_an_adoption_brings_a_descriptor_and_it_brings_one() {
    let (mut connection, daemon) = pair();
    send(&daemon, hello(PROTOCOL_VERSION));
    connection.next_request().unwrap();
    let adopt = Request {
        body: Some(RequestBody::AdoptHost(AdoptHost::default())),
    };
    let adopt = wire::encode(&adopt).unwrap();
    daemon.send(&adopt, &[daemon.as_fd()]).unwrap();
    let asked = connection.next_request().unwrap().unwrap();
    assert!(matches!(asked.body, RequestBody::AdoptHost(_)) && asked.pidfd.is_some());
    for fds in [&[] as &[_], &[daemon.as_fd(), daemon.as_fd()]] {
        daemon.send(&adopt, fds).unwrap();
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::Empty { fds: told } if told == fds.len()));
    }
}

#[test]
fn a_connection_goes_on_with_what_was_not_taken() {
    let (mut before, daemon) = pair();
    send(&daemon, hello(PROTOCOL_VERSION));
    before.next_request().unwrap();
    while !before.has_outgoing() {
        before.exited(HostExited::default()).unwrap();
    }
    before.adopted("last".to_owned(), 7).unwrap();
    let outgoing: Vec<_> = before.outgoing().cloned().collect();
    let mut after = Connection::resume(before.socket, Sockets::default(), true, outgoing);
    let mut last = None;
    while after.has_outgoing() {
        daemon.try_recv().unwrap().unwrap();
        after.flush().unwrap();
    }
    while let Ok(Some(frame)) = daemon.try_recv() {
        last = wire::decode::<Event>(&frame.bytes).unwrap().body;
    }
    assert!(matches!(last, Some(EventBody::Adopted(adopted)) if adopted.id == "last"));
    send(&daemon, RequestBody::Ready(Ready {}));
    assert!(after.next_request().unwrap().is_some());
}

#[test]
fn a_daemon_that_asks_and_never_reads_is_cut_off_and_until_then_nothing_waits() {
    let (mut connection, daemon) = pair();
    let mut answers = 0;
    let fault = loop {
        match connection.spawned("a".repeat(64), 1) {
            Ok(()) => answers += 1,
            Err(fault) => break fault,
        }
        assert!(answers < 1 << 16, "answers have no bound");
    };
    assert!(matches!(fault, Fault::NotReading));
    assert!(connection.has_outgoing());
    for _ in 0..answers {
        connection.flush().unwrap();
        daemon.try_recv().unwrap().unwrap();
    }
    connection.flush().unwrap();
    assert!(!connection.has_outgoing());
}

#[test]
fn a_welcome_of_thousands_comes_in_frames_that_fit_and_loses_nobody() {
    let hosts: Vec<_> = (0..4096)
        .map(|pid| LivingHost {
            id: "h".repeat(64),
            pid: u32::MAX - pid,
            kind: i32::from(HostKind::Launch),
        })
        .collect();
    let exits: Vec<_> = (0..777)
        .map(|pid| HostExited {
            id: "e".repeat(64),
            pid: u32::MAX - pid,
            code: None,
            signal: Some(-1),
            core_dumped: true,
            unknown: false,
        })
        .collect();
    let welcomes = welcomes(u64::MAX, &[b'/'; 107], &hosts, &exits);
    for (index, welcome) in welcomes.iter().enumerate() {
        assert_eq!(welcome.more, index + 1 < welcomes.len());
        let body = Some(EventBody::Welcome(welcome.clone()));
        wire::encode(&Event { body }).unwrap();
    }
    let all = |pick: fn(&Welcome) -> usize| welcomes.iter().map(pick).sum::<usize>();
    assert_eq!(all(|w| w.hosts.len()), 4096);
    assert_eq!(all(|w| w.exits.len()), 777);
    assert_eq!(super::welcomes(1, b"/", &[], &[]).len(), 1);
}

#[test]
fn a_daemon_that_dies_before_its_answers_is_heard_to_the_end() {
    let (mut connection, daemon) = pair();
    send(&daemon, hello(PROTOCOL_VERSION));
    send(&daemon, RequestBody::Ready(Ready {}));
    drop(daemon);
    connection.exited(HostExited::default()).unwrap();
    assert!(connection.next_request().unwrap().is_some());
    assert!(connection.next_request().unwrap().is_some());
    let fault = connection.next_request().unwrap_err();
    assert!(matches!(fault, Fault::Closed));
}

#[test]
fn last_words_are_heard_to_the_end() {
    let (mut connection, daemon) = pair();
    send(&daemon, hello(PROTOCOL_VERSION));
    send(&daemon, RequestBody::Ready(Ready {}));
    let id = "a".to_owned();
    send(&daemon, RequestBody::KillHost(KillHost { id, signal: 9 }));
    drop(daemon);
    assert_eq!(connection.last_words().count(), 3);
    assert_eq!(connection.last_words().count(), 0);
}

#[test]
fn requests_are_read_while_nothing_can_be_sent() {
    let (mut connection, daemon) = pair();
    send(&daemon, hello(PROTOCOL_VERSION));
    connection.next_request().unwrap();
    while !connection.has_outgoing() {
        connection.exited(HostExited::default()).unwrap();
    }
    let id = "a".to_owned();
    send(&daemon, RequestBody::KillHost(KillHost { id, signal: 9 }));
    assert!(connection.next_request().unwrap().is_some());
}
