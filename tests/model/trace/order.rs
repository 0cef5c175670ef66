//! The order of operations (kernel.md, sections 2.7 and 3.2).
//!
//! **Invariant:** only calls that succeeded make others possible.
use std::collections::{BTreeMap, BTreeSet};

use stagepages_kernel_model::{Call, Event, Note};

use super::checks::{Held, vm_of};

/// What a call wants to have succeeded before.
type Rule = (Call, &'static [Call]);

const SNP: [Rule; 9] = [
    (Call::SevInit2, &[Call::CreateVm]),
    (Call::CreateGuestMemfd, &[Call::SevInit2]),
    (Call::SetUserMemoryRegion2, &[Call::CreateGuestMemfd]),
    (Call::SetMemoryAttributes, &[Call::SetUserMemoryRegion2]),
    (Call::SnpLaunchStart, &[Call::SevInit2]),
    (
        Call::SnpLaunchUpdate,
        &[Call::SnpLaunchStart, Call::SetMemoryAttributes],
    ),
    (Call::CreateVcpu, &[Call::SevInit2]),
    (Call::SetCpuid2, &[Call::CreateVcpu]),
    (
        Call::SnpLaunchFinish,
        &[Call::SnpLaunchStart, Call::CreateVcpu, Call::SetCpuid2],
    ),
];

const TDX: [Rule; 11] = [
    (Call::TdxCapabilities, &[Call::CreateVm]),
    (Call::TdxInitVm, &[Call::TdxCapabilities]),
    (Call::CreateGuestMemfd, &[Call::CreateVm]),
    (Call::SetUserMemoryRegion2, &[Call::CreateGuestMemfd]),
    (Call::SetMemoryAttributes, &[Call::SetUserMemoryRegion2]),
    (Call::EnableCap, &[Call::CreateVm]),
    (Call::CreateVcpu, &[Call::TdxInitVm, Call::EnableCap]),
    (Call::SetCpuid2, &[Call::CreateVcpu]),
    (Call::TdxInitVcpu, &[Call::SetCpuid2]),
    (
        Call::TdxInitMemRegion,
        &[Call::TdxInitVcpu, Call::SetMemoryAttributes],
    ),
    (Call::TdxFinalizeVm, &[Call::TdxInitVcpu]),
];

/// Neither a page nor a vCPU comes after the end, nor what a vCPU begins with.
const TOO_LATE: [Call; 9] = [
    Call::SnpLaunchUpdate,
    Call::SnpLaunchFinish,
    Call::TdxInitMemRegion,
    Call::TdxInitVcpu,
    Call::TdxFinalizeVm,
    Call::CreateVcpu,
    Call::SetCpuid2,
    Call::SetRegs,
    Call::SetSregs,
];

/// Every step of an SNP launch comes after those that it needs, and nothing after its end.
pub(crate) fn snp(events: &[Event]) -> Held {
    check(events, &SNP, Call::SnpLaunchFinish)
}

/// The same of a TDX launch.
pub(crate) fn tdx(events: &[Event]) -> Held {
    check(events, &TDX, Call::TdxFinalizeVm)
}

fn check(events: &[Event], rules: &[Rule], end: Call) -> Held {
    let mut succeeded: BTreeMap<(u32, u64), BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let Some(note) = event.ended() else { continue };
        let Some(vm) = vm_of(event, note) else {
            continue;
        };
        let before = succeeded.entry(vm).or_default();
        let has = |call: Call| before.contains(call.name());
        if has(end) && TOO_LATE.iter().any(|late| note.is(*late)) {
            return Err(format!("after {}: {event:?}", end.name()));
        }
        let rule = rules.iter().find(|(call, _)| note.is(*call));
        let missing = rule.and_then(|(_, needs)| needs.iter().find(|need| !has(**need)));
        if let Some(missing) = missing {
            return Err(format!("before {}: {event:?}", missing.name()));
        }
        if note.errno.is_none() {
            before.insert(name(note));
        }
    }
    let is_whole = succeeded.values().any(|calls| calls.contains(end.name()));
    if is_whole {
        Ok(())
    } else {
        Err(format!("no {}", end.name()))
    }
}

fn name(note: &Note) -> String {
    note.call.clone()
}
