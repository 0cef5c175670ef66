//! What has to hold of any trace of a launch host.
//!
//! **Invariant:** pure; the error is the first event that breaks the rule, and a trace with nothing to look at breaks it too.
use std::collections::{BTreeMap, BTreeSet};

use stagepages_kernel_model::{Call, Descriptor, Event, Note, What};
use stagepages_proto::v1::Platform;

use crate::measured::Measured;

/// How a check ends.
pub(crate) type Held = Result<(), String>;

/// A VM of a process.
type Vm = (u32, u64);

const COMMANDS: [Call; 10] = [
    Call::SevInit2,
    Call::SnpLaunchStart,
    Call::SnpLaunchUpdate,
    Call::SnpLaunchFinish,
    Call::TdxCapabilities,
    Call::TdxInitVm,
    Call::TdxInitVcpu,
    Call::TdxInitMemRegion,
    Call::TdxFinalizeVm,
    Call::TdxGetCpuid,
];

/// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV and SIGSYS are a thread's own doing; SIGKILL and SIGSTOP cannot be blocked; glibc keeps 32 and 33.
const CANNOT_MATTER: [u32; 10] = [4, 5, 7, 8, 9, 11, 19, 31, 32, 33];

const RETRIED: [i32; 3] = [4, 11, 16];

/// SNP's page types that are installed one at a time.
const SECRETS: u8 = 5;
const CPUID: u8 = 6;
/// What firmware answers to a CPUID page that it would have otherwise.
const INVALID_PARAM: u64 = 0x16;

pub(crate) fn is_command(note: &Note) -> bool {
    COMMANDS.iter().any(|call| note.is(*call))
}

pub(crate) fn installs_pages(note: &Note) -> bool {
    note.is(Call::SnpLaunchUpdate) || note.is(Call::TdxInitMemRegion)
}

/// What the platform measures of these pages and so many vCPUs as reset leaves them.
pub(crate) fn digest_of(platform: Platform, pages: &Measured, vcpus: u32) -> [u8; 48] {
    if platform == Platform::Tdx {
        pages.tdx()
    } else {
        pages.snp_with_vcpus(vcpus)
    }
}

/// Every rule that holds of any launch of which pages were asked for, in chunks of at most `limit`.
pub(crate) fn every_rule(events: &[Event], limit: u64) -> Held {
    no_violations(events)?;
    signals_are_blocked(events)?;
    descriptors_close_on_exec(events)?;
    chunks_are_bounded(events, limit)?;
    no_page_is_submitted_twice(events)?;
    one_command_at_a_time(events)?;
    errors_are_zeroed(events)
}

/// No rule of the model's own was broken.
pub(crate) fn no_violations(events: &[Event]) -> Held {
    match events.iter().find(|event| event.violation().is_some()) {
        None => Ok(()),
        Some(event) => Err(format!("a rule of the kernel's: {event:?}")),
    }
}

/// Every thread that gives a command has all signals blocked that somebody else can send: a pending one ends an install.
pub(crate) fn signals_are_blocked(events: &[Event]) -> Held {
    each(events, begun, |event, note| {
        let blocked = note.blocked_signals().unwrap_or(0);
        let open = (1..=64)
            .filter(|signal| !CANNOT_MATTER.contains(signal))
            .find(|signal| blocked >> (signal - 1) & 1 == 0);
        match open {
            None => Ok(()),
            Some(signal) => Err(format!("signal {signal} is not blocked: {event:?}")),
        }
    })
}

/// The kernel makes guest_memfds that survive an exec, and nobody leaves them so.
pub(crate) fn descriptors_close_on_exec(events: &[Event]) -> Held {
    let looked_at = |event| Some((event, descriptor(event)?.cloexec));
    let told: Vec<_> = events.iter().filter_map(looked_at).collect();
    if told.is_empty() {
        return Err("no descriptor was looked at".to_owned());
    }
    match told.iter().find(|(_, cloexec)| !cloexec) {
        None => Ok(()),
        Some((event, _)) => Err(format!("survives an exec: {event:?}")),
    }
}

/// No call installs more than `limit` pages, nor more than one whose contents firmware checks or makes.
pub(crate) fn chunks_are_bounded(events: &[Event], limit: u64) -> Held {
    each(events, installed, |event, note| {
        let limit = match note.page_type {
            Some(SECRETS | CPUID) => 1,
            _ => limit,
        };
        match note.pages {
            Some(pages) if pages > limit => Err(format!("more than {limit} pages: {event:?}")),
            _ => Ok(()),
        }
    })
}

/// No page is submitted after it was installed, nor after the kernel refused it without a word that makes it safe.
pub(crate) fn no_page_is_submitted_twice(events: &[Event]) -> Held {
    let mut settled: BTreeSet<(Vm, u64)> = BTreeSet::new();
    each(events, installed, |event, note| {
        let (Some(gfn), Some(pages), Some(vm)) = (note.gfn, note.pages, vm_of(event, note)) else {
            return Ok(());
        };
        if let Some(again) = (gfn..gfn + pages).find(|gfn| settled.contains(&(vm, *gfn))) {
            return Err(format!("GFN {again:#x} once more: {event:?}"));
        }
        let done = note.pages_done.unwrap_or(0);
        settled.extend((gfn..gfn + done).map(|gfn| (vm, gfn)));
        let is_refused = note.errno.is_some_and(|errno| !RETRIED.contains(&errno));
        // A status says that firmware refused the page and that the kernel took it back.
        if is_refused && note.error.unwrap_or(0) == 0 {
            settled.insert((vm, gfn + done));
        }
        Ok(())
    })
    .or_else(may_be_nothing)
}

/// In what is one call of the API no frame is submitted again for which firmware would have had another CPUID page: neither as it was, nor as firmware
/// would have it, which nobody has approved (kernel.md, section 2.5). A later call is its caller's own affair.
pub(crate) fn no_rejected_cpuid_is_submitted_again(events: &[Event]) -> Held {
    let mut rejected: BTreeSet<(Vm, u64)> = BTreeSet::new();
    each(events, installed, |event, note| {
        let (Some(gfn), Some(pages), Some(vm)) = (note.gfn, note.pages, vm_of(event, note)) else {
            return Ok(());
        };
        if let Some(again) = (gfn..gfn + pages).find(|gfn| rejected.contains(&(vm, *gfn))) {
            return Err(format!("GFN {again:#x} after its rejection: {event:?}"));
        }
        if note.page_type == Some(CPUID) && note.error == Some(INVALID_PARAM) {
            rejected.insert((vm, gfn + note.pages_done.unwrap_or(0)));
        }
        Ok(())
    })
    .or_else(may_be_nothing)
}

/// A VM is given one command at a time, and each returns.
pub(crate) fn one_command_at_a_time(events: &[Event]) -> Held {
    let mut running: BTreeMap<Vm, (u32, String)> = BTreeMap::new();
    let mut any = false;
    for event in events {
        if let Some(note) = begun(event) {
            let vm = vm_of(event, note).ok_or_else(|| format!("no VM: {event:?}"))?;
            let before = running.insert(vm, (event.tid, note.call.clone()));
            if let Some((tid, call)) = before {
                return Err(format!(
                    "{call} of thread {tid} has not returned: {event:?}"
                ));
            }
            any = true;
        } else if let Some(note) = event.ended().filter(|note| is_command(note)) {
            let begun = vm_of(event, note).and_then(|vm| running.remove(&vm));
            if begun != Some((event.tid, note.call.clone())) {
                return Err(format!("ends what has not begun: {event:?}"));
            }
        }
    }
    match running.into_iter().next() {
        Some((vm, (tid, call))) => Err(format!("{call} of thread {tid} on {vm:?} never returned")),
        None if any => Ok(()),
        None => Err(NOTHING.to_owned()),
    }
}

/// KVM leaves `error` as it finds it where firmware was not asked, and TDX refuses a `hw_error` that is not zero.
pub(crate) fn errors_are_zeroed(events: &[Event]) -> Held {
    each(events, begun, |event, note| match note.error {
        Some(0) => Ok(()),
        _ => Err(format!("the error is not zero before the call: {event:?}")),
    })
}

/// KVM keeps the number of /dev/sev from the start to the finish, and not the file.
pub(crate) fn one_sev_descriptor(events: &[Event]) -> Held {
    let mut started: BTreeMap<Vm, Option<i32>> = BTreeMap::new();
    each(events, ended, |event, note| {
        let Some(vm) = vm_of(event, note) else {
            return Ok(());
        };
        if note.is(Call::SnpLaunchStart) && note.errno.is_none() {
            started.insert(vm, note.sev_fd);
        }
        let goes_on = note.is(Call::SnpLaunchUpdate) || note.is(Call::SnpLaunchFinish);
        // Before it looks at a command, KVM does not know the number.
        if goes_on && note.sev_fd.is_some() && started.get(&vm) != Some(&note.sev_fd) {
            return Err(format!("another /dev/sev than at the start: {event:?}"));
        }
        Ok(())
    })?;
    if started.is_empty() {
        return Err(NOTHING.to_owned());
    }
    Ok(())
}

const NOTHING: &str = "no call that this is about";

/// A launch of which no page was asked for has nothing to submit twice.
fn may_be_nothing(broken: String) -> Held {
    if broken == NOTHING {
        Ok(())
    } else {
        Err(broken)
    }
}

pub(crate) fn begun(event: &Event) -> Option<&Note> {
    if let What::Begin(note) = &event.what {
        Some(note)
    } else {
        None
    }
}

pub(crate) fn descriptor(event: &Event) -> Option<&Descriptor> {
    if let What::Fd(descriptor) = &event.what {
        Some(descriptor)
    } else {
        None
    }
}

/// What the model measured, where it says so.
pub(crate) fn digest_told(event: &Event) -> Option<&str> {
    if let What::Digest { digest, .. } = &event.what {
        Some(digest)
    } else {
        None
    }
}

fn ended(event: &Event) -> Option<&Note> {
    event.ended()
}

fn installed(event: &Event) -> Option<&Note> {
    event.ended().filter(|note| installs_pages(note))
}

pub(crate) fn vm_of(event: &Event, note: &Note) -> Option<Vm> {
    Some((event.pid, note.vm?))
}

fn each<'a>(
    events: &'a [Event],
    about: impl Fn(&'a Event) -> Option<&'a Note>,
    mut check: impl FnMut(&Event, &Note) -> Held,
) -> Held {
    let mut any = false;
    for event in events {
        if let Some(note) = about(event) {
            check(event, note)?;
            any = true;
        }
    }
    if any { Ok(()) } else { Err(NOTHING.to_owned()) }
}
