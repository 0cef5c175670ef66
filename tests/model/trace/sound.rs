//! Traces in which nothing is wrong: what a launch host asks for at least.
//!
//! **Invariant:** every check passes them, or the doctored ones would prove nothing.
use stagepages_kernel_model::{Call, Descriptor, Event, Note, What};

use super::checks;

const ALL_BLOCKED: &str = "fffffffe7ffbfeff";
/// The number of /dev/sev.
pub(super) const SEV: i32 = 9;

/// A trace as one is written: by one thread of one process.
struct Trace(Vec<Event>);

impl Trace {
    fn push(&mut self, what: What) {
        self.0.push(Event {
            pid: 70,
            tid: 71,
            seq: self.0.len() as u64,
            what,
        });
    }

    fn call(&mut self, call: Call, change: impl FnOnce(&mut Note)) {
        let mut note = Note::new(call.name());
        note.vm = Some(0);
        note.sigmask = Some(ALL_BLOCKED.to_owned());
        if checks::is_command(&note) {
            let mut begun = note.clone();
            begun.error = Some(0);
            self.push(What::Begin(begun));
            note.error = Some(0);
        }
        note.ret = Some(0);
        change(&mut note);
        self.push(What::End(note));
    }

    fn install(&mut self, call: Call, gfn: u64, pages: u64, page_type: Option<u8>) {
        self.push(What::Fd(Descriptor {
            what: "guest_memfd".to_owned(),
            vm: 0,
            fd: 11,
            cloexec: true,
        }));
        self.call(call, |note| {
            note.gfn = Some(gfn);
            note.pages = Some(pages);
            note.pages_done = Some(pages);
            note.page_type = page_type;
            note.sev_fd = page_type.map(|_| SEV);
        });
    }

    fn memory(&mut self) {
        for call in [
            Call::CreateGuestMemfd,
            Call::SetUserMemoryRegion2,
            Call::SetMemoryAttributes,
        ] {
            self.call(call, |_| {});
        }
    }
}

/// An SNP launch of 72 pages.
pub(super) fn snp() -> Vec<Event> {
    let mut trace = Trace(Vec::new());
    trace.call(Call::CreateVm, |_| {});
    trace.call(Call::SevInit2, |_| {});
    trace.memory();
    trace.call(Call::SnpLaunchStart, |note| note.sev_fd = Some(SEV));
    trace.install(Call::SnpLaunchUpdate, 0, 64, Some(1));
    trace.install(Call::SnpLaunchUpdate, 64, 7, Some(1));
    trace.install(Call::SnpLaunchUpdate, 0x100, 1, Some(6));
    trace.call(Call::CreateVcpu, |_| {});
    trace.call(Call::SetCpuid2, |_| {});
    trace.call(Call::SnpLaunchFinish, |note| note.sev_fd = Some(SEV));
    trace.0
}

/// A TDX launch of 71 pages.
pub(super) fn tdx() -> Vec<Event> {
    let mut trace = Trace(Vec::new());
    trace.call(Call::CreateVm, |_| {});
    trace.call(Call::TdxCapabilities, |_| {});
    trace.call(Call::EnableCap, |_| {});
    trace.call(Call::TdxInitVm, |_| {});
    trace.memory();
    trace.call(Call::CreateVcpu, |_| {});
    trace.call(Call::SetCpuid2, |_| {});
    trace.call(Call::TdxInitVcpu, |_| {});
    trace.install(Call::TdxInitMemRegion, 0, 64, None);
    trace.install(Call::TdxInitMemRegion, 64, 7, None);
    trace.call(Call::TdxFinalizeVm, |_| {});
    trace.0
}
