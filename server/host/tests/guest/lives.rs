//! The life of the host around its guest: aborts, leases, and daemons that come and go.

use stagepages_host::{
    guest::StopReason,
    launch::State,
    protocol::{Abort, Command, Farewell, Message},
    serve::Ended,
};

use crate::{
    images::{ECHO, HELLO, LOOP},
    rig::{Host, kvm, real_mode},
};

#[test]
fn an_abort_stops_the_guest_and_ends_in_aborted() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    daemon.run_real_mode(LOOP);
    daemon.done(Command::Abort(Abort::default()));
    assert_eq!(daemon.state(), State::Aborted);
    assert_eq!(daemon.snapshot.as_ref().unwrap().stop, None);
    loop {
        if let Message::Farewell(Farewell { last, .. }) = daemon.next_told() {
            assert!(last);
            break;
        }
    }
    daemon.bye();
    assert_eq!(host.ended(), Ended::Over);
}

#[test]
fn the_end_comes_with_a_farewell_for_every_daemon() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let mut other = host.daemon(1);
    daemon.run_real_mode(HELLO);
    for daemon in [&mut daemon, &mut other] {
        daemon.hear();
        assert!(matches!(daemon.next_told(), Message::Farewell(_)));
    }
    daemon.bye();
    assert_eq!(host.ended(), Ended::Over);
}

#[test]
fn a_guest_outlives_its_daemon_whatever_the_lease_and_is_adopted() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let mut create = kvm(vec![real_mode(0, 0x100)]);
    create.lease_millis = 1;
    daemon.stage(create, &[(0x1000, ECHO)]);
    daemon.finish();
    daemon.start();
    daemon.input(b"ab");
    daemon.listen(0);
    let mut heard = crate::rig::Heard::default();
    while heard.serial != b"ab" {
        if let Message::Console(console) = daemon.next_told() {
            heard.add(&console);
        }
    }
    drop(daemon);
    // Each round is longer than the lease: a process is started and reaped in it.
    for epoch in 2..20 {
        let done = std::process::Command::new("true").status().unwrap();
        assert!(done.success());
        let daemon = host.daemon(epoch);
        assert_eq!(daemon.state(), State::Running);
    }
    let mut daemon = host.daemon(20);
    daemon.listen(1);
    daemon.input(b"q");
    let (heard, stop) = daemon.hear();
    assert_eq!((heard.missed, heard.serial.as_slice()), (1, &b"bq"[..]));
    assert_eq!(stop.reason, StopReason::Halted);
    assert!(!host.has_ended());
    // Nobody says Bye: from here on the lease counts again.
    drop(daemon);
    assert_eq!(host.ended(), Ended::LeaseExpired);
}

#[test]
fn a_guest_that_stops_without_a_daemon_is_kept_for_as_long_as_the_lease() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let mut create = kvm(vec![real_mode(0, 0x100)]);
    create.lease_millis = 1;
    daemon.stage(create, &[(0x1000, HELLO)]);
    daemon.finish();
    daemon.post(Command::Start(stagepages_host::protocol::Start {}));
    drop(daemon);
    assert_eq!(host.ended(), Ended::LeaseExpired);
}
