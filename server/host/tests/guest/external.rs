//! A platform of somebody else's, with a guest of its own: what a VMM brings when it becomes the launch host.

use std::sync::mpsc::{Sender, channel};

use stagepages_host::{
    guest::{ConsolePort, Guest, GuestIo, GuestStop, StopReason},
    launch::{Reason, Refusal, Spent, State},
    platform::{Chunk, Contents, Facts, Finish, Installed, Platform, PlatformKind, Report, Stop},
    protocol::{Command, Outcome, Probe},
    serve::{PlatformSpec, Platforms},
    vcpu::{CpuModel, VcpuState},
};
use stagepages_kvm::{Gfn, GfnRange, KvmError};

use crate::rig::{Host, kvm, real_mode};

/// Has no memory at all, and takes vCPU 0 in real mode only.
#[derive(Debug)]
struct Own;

/// Says `own`, and stops when it is asked to.
#[derive(Debug)]
struct OwnGuest(Sender<()>);

struct OwnPlatforms;

impl Platforms for OwnPlatforms {
    fn probe(&self) -> Vec<Report> {
        vec![Report {
            platform: PlatformKind::Kvm,
            checks: Vec::new(),
            runs_guests: true,
            facts: Facts::default(),
        }]
    }

    fn create(&self, spec: PlatformSpec<'_>) -> Result<Box<dyn Platform>, Refusal> {
        if spec.vcpus > 1 {
            return Err(Refusal::new(Reason::NoCapacity, "one vCPU is all there is"));
        }
        Ok(Box::new(Own))
    }
}

impl Platform for Own {
    fn kind(&self) -> PlatformKind {
        PlatformKind::Kvm
    }

    fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
        Installed {
            pages: chunk.range.pages(),
            contents: Contents::Unknown,
            stop: None,
            spent: Spent::default(),
        }
    }

    fn cpu(&self) -> CpuModel {
        CpuModel::generous()
    }

    fn set_vcpu(&mut self, _index: u32, state: &VcpuState) -> Result<(), Refusal> {
        match state {
            VcpuState::RealMode(_) => Ok(()),
            VcpuState::Reset
            | VcpuState::LongMode(_)
            | VcpuState::Registers(_)
            | VcpuState::Tdx { .. } => Err(Refusal::new(
                Reason::InvalidVcpuState,
                "real mode is all there is",
            )),
        }
    }

    fn finish(&mut self, finish: &Finish<'_>) -> Result<(), Stop> {
        assert!(matches!(finish.vcpus, [VcpuState::RealMode(_)]));
        Ok(())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn start(self: Box<Self>, io: GuestIo) -> Result<Box<dyn Guest>, Stop> {
        let (stop, asked) = channel();
        let run = move || {
            io.console.write(ConsolePort::Debug, b"own");
            asked.recv().unwrap();
            (io.ended)(GuestStop {
                reason: StopReason::Requested,
                message: "as asked".to_owned(),
                vcpu: None,
                exit_code: None,
                gpa: None,
            });
        };
        let thread = std::thread::Builder::new().name("own".to_owned());
        thread.spawn(run).map_err(Stop::Source)?;
        Ok(Box::new(OwnGuest(stop)))
    }

    fn existing(&self, _range: GfnRange, out: &mut [u8]) -> Result<(), KvmError> {
        out.fill(0);
        Ok(())
    }

    fn page(&self, _gfn: Gfn) -> Option<&[u8]> {
        None
    }
}

impl Guest for OwnGuest {
    fn stop(&self) {
        // It may have stopped by itself.
        self.0.send(()).ok();
    }
}

#[test]
fn a_host_has_the_platforms_that_it_is_given() {
    let host = Host::with(|_| Box::new(OwnPlatforms));
    let mut daemon = host.daemon(1);
    let Outcome::Probed(probed) = daemon.done(Command::Probe(Probe {})) else {
        panic!("no probe");
    };
    assert_eq!(probed.reports.len(), 1);
    assert!(probed.reports[0].runs_guests);
    let two = kvm(vec![real_mode(0, 0), real_mode(1, 0)]);
    assert_eq!(daemon.create(two).unwrap_err().reason, Reason::NoCapacity);
    daemon.create(kvm(vec![real_mode(0, 0)])).unwrap();
    let refusal = daemon.call(Command::SetVcpu(crate::images::long_mode()));
    assert_eq!(refusal.unwrap_err().reason, Reason::InvalidVcpuState);
    daemon.finish();
    daemon.listen(0);
    daemon.start();
    assert_eq!(daemon.state(), State::Running);
    daemon.stop().unwrap();
    let (heard, stop) = daemon.hear();
    assert_eq!(
        (heard.debug.as_slice(), stop.message.as_str()),
        (&b"own"[..], "as asked")
    );
}
