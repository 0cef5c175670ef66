//! Which hosts live, and which exits nobody knows of yet.
//!
//! ```text
//!   (free) ──started, adopted──▶ living ──ended──▶ exited ──acknowledged──▶ (free)
//! ```
//!
//! A slot is taken from the start of a host, or its adoption, until its exit is acknowledged, so the one bound on slots bounds hosts and kept exits alike.
//!
//! **Invariant:** pure bookkeeping; no exit is ever dropped to make room.

use std::collections::{BTreeMap, HashMap};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::exit::{ExitStatus, HostExit};
use super::id::HostId;
use super::process::{PidFd, Process};
use super::proto::{AckExit, HostExited, HostKind, LivingHost};

/// All slots.
#[derive(Debug)]
pub(super) struct HostTable {
    slots: BTreeMap<HostId, Slot>,
    /// Living hosts that are our children.
    by_pid: HashMap<Pid, HostId>,
    /// Living hosts that are not, or came to us as orphans.
    adopted: BTreeMap<HostId, PidFd>,
    limit: usize,
}

#[derive(Debug)]
enum Slot {
    Living { pid: Pid, kind: HostKind },
    Exited(HostExit),
}

impl HostTable {
    /// An empty table of so many slots.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            by_pid: HashMap::new(),
            adopted: BTreeMap::new(),
            limit,
        }
    }

    /// Whether a host of this name may start: else EEXIST or EAGAIN.
    pub(super) fn admit(&self, id: &HostId) -> Result<(), Errno> {
        if self.slots.contains_key(id) {
            Err(Errno::EEXIST)
        } else if self.slots.len() >= self.limit {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }

    /// A host that was admitted runs.
    pub(super) fn started(&mut self, id: HostId, pid: Pid, kind: HostKind) {
        self.by_pid.insert(pid, id.clone());
        self.slots.insert(id, Slot::Living { pid, kind });
    }

    /// A host that was admitted is held by this descriptor.
    pub(super) fn adopt(&mut self, id: HostId, process: PidFd, kind: HostKind) {
        let pid = process.pid();
        self.adopted.insert(id.clone(), process);
        self.slots.insert(id, Slot::Living { pid, kind });
    }

    /// An exit from before an upgrade.
    pub(super) fn restore_exit(&mut self, id: HostId, exit: HostExit) {
        self.slots.insert(id, Slot::Exited(exit));
    }

    /// Whether this process is a living host.
    pub(super) fn knows(&self, pid: Pid) -> bool {
        self.by_pid.contains_key(&pid) || self.adopted.values().any(|held| held.pid() == pid)
    }

    /// A process was waited for. If it was a host, its exit is kept from here on.
    ///
    /// An adopted one is waited for this way where we are PID 1. Its number cannot mean another process: the caller has taken those that had ended
    /// before out by [`Self::ended`].
    pub(super) fn reaped(&mut self, pid: Pid, status: ExitStatus) -> Option<(HostId, HostExit)> {
        let adopted = || {
            let found = self.adopted.iter().find(|(_, held)| held.pid() == pid);
            found.map(|(id, _)| id.clone())
        };
        let id = self.by_pid.get(&pid).cloned().or_else(adopted)?;
        self.ended(id, status)
    }

    /// A host ended. Its exit is kept from here on.
    pub(super) fn ended(&mut self, id: HostId, status: ExitStatus) -> Option<(HostId, HostExit)> {
        let Some(Slot::Living { pid, .. }) = self.slots.get(&id) else {
            return None;
        };
        let exit = HostExit {
            pid: to_wire(*pid),
            status,
        };
        if self.adopted.remove(&id).is_none() {
            self.by_pid.remove(pid);
        }
        self.slots.insert(id.clone(), Slot::Exited(exit));
        Some((id, exit))
    }

    /// A daemon knows of this exit. Anything else is no exit to forget and stays.
    pub(super) fn acknowledge(&mut self, id: &HostId) {
        if let Some(Slot::Exited(_)) = self.slots.get(id) {
            self.slots.remove(id);
        }
    }

    /// The process of a living host.
    pub(super) fn process_of(&self, id: &HostId) -> Option<Process<'_>> {
        if let Some(held) = self.adopted.get(id) {
            return Some(Process::Adopted(held));
        }
        match self.slots.get(id) {
            Some(Slot::Living { pid, .. }) => Some(Process::Child(*pid)),
            Some(Slot::Exited(_)) | None => None,
        }
    }

    /// Living hosts that we started.
    pub(super) fn children(&self) -> impl Iterator<Item = Process<'_>> {
        self.by_pid.keys().copied().map(Process::Child)
    }

    /// As [`Self::acknowledge`], as a daemon says it; a name that is none is no exit either.
    pub(super) fn acknowledge_named(&mut self, ack: &AckExit) {
        if let Ok(id) = ack.id.parse() {
            self.acknowledge(&id);
        }
    }

    /// All living hosts, in order of id, as in [`Self::snapshot`].
    pub(super) fn processes(&self) -> impl Iterator<Item = Process<'_>> {
        self.slots.keys().filter_map(|id| self.process_of(id))
    }

    /// Living hosts that we took in, in order of id.
    pub(super) fn adopted(&self) -> impl Iterator<Item = (&HostId, &PidFd)> {
        self.adopted.iter()
    }

    /// How many hosts live.
    pub(super) fn living(&self) -> usize {
        self.by_pid.len() + self.adopted.len()
    }

    /// Everything that a new daemon has to know, in order of id.
    pub(super) fn snapshot(&self) -> (Vec<LivingHost>, Vec<HostExited>) {
        let mut living = Vec::with_capacity(self.living());
        let mut exits = Vec::new();
        for (id, slot) in &self.slots {
            match slot {
                Slot::Living { pid, kind } => living.push(LivingHost {
                    id: id.to_string(),
                    pid: to_wire(*pid),
                    kind: i32::from(*kind),
                }),
                Slot::Exited(exit) => exits.push(HostExited::new(id, *exit)),
            }
        }
        (living, exits)
    }
}

/// Process ids of children are positive.
pub(super) fn to_wire(pid: Pid) -> u32 {
    pid.as_raw().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> HostId {
        text.parse().unwrap()
    }

    fn table(limit: usize, hosts: &[(&str, i32)]) -> HostTable {
        let mut table = HostTable::new(limit);
        for (name, pid) in hosts {
            table.admit(&id(name)).unwrap();
            table.started(id(name), Pid::from_raw(*pid), HostKind::Launch);
        }
        table
    }

    #[test]
    fn an_exit_is_kept_until_it_is_acknowledged() {
        let mut table = table(4, &[("a", 10), ("b", 11)]);
        let exit = table
            .reaped(Pid::from_raw(10), ExitStatus::Code(3))
            .unwrap();
        assert_eq!(exit.0, id("a"));
        assert!(table.process_of(&id("a")).is_none());
        assert_eq!(table.living(), 1);
        for _ in 0..2 {
            let (living, exits) = table.snapshot();
            assert_eq!(living.len(), 1);
            assert_eq!(exits[0].to_exit(), Some(exit.clone()));
        }
        table.acknowledge(&id("a"));
        assert!(table.snapshot().1.is_empty());
        table.admit(&id("a")).unwrap();
    }

    #[test]
    fn an_exit_is_reported_once_and_strangers_are_not() {
        let mut table = table(4, &[("a", 10)]);
        assert_eq!(table.reaped(Pid::from_raw(99), ExitStatus::Code(0)), None);
        assert!(
            table
                .reaped(Pid::from_raw(10), ExitStatus::Code(0))
                .is_some()
        );
        assert_eq!(table.reaped(Pid::from_raw(10), ExitStatus::Code(0)), None);
    }

    #[test]
    fn a_name_in_use_and_a_full_table_are_refused() {
        let mut table = table(2, &[("a", 10), ("b", 11)]);
        assert_eq!(table.admit(&id("a")), Err(Errno::EEXIST));
        assert_eq!(table.admit(&id("c")), Err(Errno::EAGAIN));
        table.reaped(Pid::from_raw(10), ExitStatus::Code(0));
        assert_eq!(table.admit(&id("a")), Err(Errno::EEXIST));
        assert_eq!(table.admit(&id("c")), Err(Errno::EAGAIN));
        table.acknowledge(&id("a"));
        table.admit(&id("c")).unwrap();
    }

    #[test]
    fn a_living_host_cannot_be_acknowledged_away() {
        let mut table = table(2, &[("a", 10)]);
        table.acknowledge(&id("a"));
        table.acknowledge(&id("nobody"));
        assert!(table.process_of(&id("a")).is_some());
    }

    #[test]
    fn a_pid_that_the_kernel_gives_out_again_names_the_new_host() {
        let mut table = table(4, &[("a", 10)]);
        table.reaped(Pid::from_raw(10), ExitStatus::Code(0));
        table.started(id("b"), Pid::from_raw(10), HostKind::Probe);
        assert!(table.process_of(&id("b")).is_some());
        assert!(table.process_of(&id("a")).is_none());
        let exit = table
            .reaped(Pid::from_raw(10), ExitStatus::Code(1))
            .unwrap();
        assert_eq!(exit.0, id("b"));
    }

    /// Holds a descriptor that is no pidfd: the table never looks.
    fn held(pid: i32) -> PidFd {
        let fd = std::fs::File::open("/dev/null").unwrap().into();
        PidFd::verified(fd, Pid::from_raw(pid))
    }

    #[test]
    fn an_adopted_host_ends_once_whichever_way_it_is_seen() {
        for by_wait in [false, true] {
            let mut table = table(4, &[("a", 10)]);
            table.adopt(id("b"), held(11), HostKind::Launch);
            assert!(table.knows(Pid::from_raw(11)));
            assert_eq!(table.living(), 2);
            let ends = |table: &mut HostTable| match by_wait {
                true => table.reaped(Pid::from_raw(11), ExitStatus::Code(1)),
                false => table.ended(id("b"), ExitStatus::Code(1)),
            };
            assert_eq!(ends(&mut table).map(|(id, _)| id), Some(id("b")));
            assert_eq!(ends(&mut table), None);
            assert!(!table.knows(Pid::from_raw(11)));
            assert_eq!((table.living(), table.snapshot().1.len()), (1, 1));
        }
    }

    #[test]
    fn a_child_with_the_number_of_an_adopted_host_that_is_gone_is_itself() {
        let mut table = table(4, &[]);
        table.adopt(id("old"), held(10), HostKind::Launch);
        table.started(id("new"), Pid::from_raw(10), HostKind::Launch);
        let ended = table.ended(id("old"), ExitStatus::Unknown);
        assert_eq!(ended.map(|(id, _)| id), Some(id("old")));
        assert!(matches!(
            table.process_of(&id("new")),
            Some(Process::Child(_))
        ));
        let reaped = table.reaped(Pid::from_raw(10), ExitStatus::Code(0));
        assert_eq!(reaped.map(|(id, _)| id), Some(id("new")));
    }
}
