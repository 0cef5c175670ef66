//! What is refused: states that a vCPU cannot have, and commands that come too early, too late or twice.

use stagepages_host::{
    launch::{Reason, State},
    platform::PlatformKind,
    protocol::{
        Command, Create, Finish, ListRuns, ListenConsole, LongMode, Outcome, RealMode, Region,
        Start, StopGuest, Vcpu, VcpuStart, Verify,
    },
};

use crate::{
    images::{HELLO, LOOP},
    rig::{Daemon, Host, kvm, real_mode},
};

#[track_caller]
fn refused(daemon: &mut Daemon, command: Command, reason: Reason) -> String {
    let refusal = daemon.call(command).unwrap_err();
    assert_eq!(refusal.reason, reason, "{}", refusal.message);
    refusal.field
}

fn long_mode(cr3: u64) -> Vcpu {
    let start = LongMode {
        cr3,
        ..LongMode::default()
    };
    Vcpu {
        index: 0,
        start: Some(VcpuStart::LongMode(start)),
    }
}

fn on(platform: PlatformKind) -> Create {
    Create {
        platform: platform.number(),
        regions: vec![Region {
            gpa: 0,
            size: 0x10000,
        }],
        vcpus: 2,
        ..Create::default()
    }
}

#[test]
fn a_state_that_a_vcpu_cannot_have_is_refused_by_name_on_every_platform() {
    for platform in [PlatformKind::Sim, PlatformKind::Kvm] {
        let host = Host::new();
        let mut daemon = host.daemon(1);
        daemon.create(on(platform)).unwrap();
        let outside = Command::SetVcpu(long_mode(0x10000));
        let field = refused(&mut daemon, outside, Reason::InvalidVcpuState);
        assert_eq!(field, "long_mode.cr3");
        let wide = RealMode {
            cs: 0x10000,
            ..RealMode::default()
        };
        let wide = Vcpu {
            index: 1,
            start: Some(VcpuStart::RealMode(wide)),
        };
        let field = refused(
            &mut daemon,
            Command::SetVcpu(wide),
            Reason::InvalidVcpuState,
        );
        assert_eq!(field, "real_mode.cs");
        let absent = Command::SetVcpu(real_mode(2, 0));
        assert_eq!(
            refused(&mut daemon, absent, Reason::MalformedRequest),
            "index"
        );
        let empty = Command::SetVcpu(Vcpu::default());
        refused(&mut daemon, empty, Reason::MalformedRequest);
        assert_eq!(daemon.state(), State::Created);
    }
}

#[test]
fn a_launch_with_a_bad_state_is_not_made() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let refusal = daemon.create(kvm(vec![long_mode(0x123)])).unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidVcpuState);
    let mut twice = kvm(vec![real_mode(1, 0), real_mode(1, 0)]);
    let refusal = daemon.create(twice.clone()).unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidLaunch, "{}", refusal.message);
    twice.vcpus = 65;
    twice.vcpu_states.clear();
    let refusal = daemon.create(twice).unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidLaunch, "{}", refusal.message);
    daemon.create(kvm(Vec::new())).unwrap();
}

#[test]
fn the_last_state_of_a_vcpu_counts_and_none_after_the_end_of_staging() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    daemon.stage(kvm(vec![real_mode(0, 0xf00)]), &[(0x1000, HELLO)]);
    daemon.done(Command::SetVcpu(real_mode(0, 0xe00)));
    daemon.done(Command::SetVcpu(real_mode(0, 0x100)));
    daemon.finish();
    refused(
        &mut daemon,
        Command::SetVcpu(real_mode(0, 0x100)),
        Reason::WrongState,
    );
    daemon.listen(0);
    daemon.start();
    let (heard, _) = daemon.hear();
    assert_eq!(heard.serial, b"Hi");
}

#[test]
fn each_command_has_its_time() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let start = || Command::Start(Start {});
    let stop = || Command::Stop(StopGuest {});
    let listen = || Command::ListenConsole(ListenConsole::default());
    for command in [start(), stop(), listen()] {
        refused(&mut daemon, command, Reason::WrongState);
    }
    daemon.stage(kvm(vec![real_mode(0, 0x100)]), &[(0x1000, LOOP)]);
    for command in [start(), stop()] {
        refused(&mut daemon, command, Reason::WrongState);
    }
    daemon.finish();
    refused(&mut daemon, stop(), Reason::WrongState);
    daemon.start();
    let verify = || Command::Verify(Verify {});
    for command in [start(), verify()] {
        refused(&mut daemon, command, Reason::WrongState);
    }
    let list = || {
        Command::ListRuns(ListRuns {
            hashes: true,
            max_runs: 9,
            ..ListRuns::default()
        })
    };
    // What was staged, whatever the guest has made of it since; and the same end of staging again.
    let Outcome::Runs(runs) = daemon.done(list()) else {
        panic!("no runs");
    };
    assert_eq!((runs.runs.len(), runs.runs[0].gpa), (1, 0x1000));
    daemon.done(Command::Finish(Finish::default()));
    daemon.stop().unwrap();
    for command in [start(), verify()] {
        refused(&mut daemon, command, Reason::WrongState);
    }
    assert_eq!(daemon.done(list()), Outcome::Runs(runs));
    daemon.done(stop());
}

#[test]
fn a_simulated_guest_does_not_run_and_stays_finished() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    daemon.create(on(PlatformKind::Sim)).unwrap();
    let listen = Command::ListenConsole(ListenConsole::default());
    refused(&mut daemon, listen, Reason::UnsupportedOperation);
    daemon.finish();
    refused(
        &mut daemon,
        Command::Start(Start {}),
        Reason::UnsupportedOperation,
    );
    assert_eq!(daemon.state(), State::Finished);
}
