//! Which hosts live, and which exits nobody knows of yet.
//!
//! ```text
//!   (free) ──started──▶ living ──reaped──▶ exited ──acknowledged──▶ (free)
//! ```
//!
//! A slot is taken from the start of a host until its exit is acknowledged, so the one bound on slots bounds hosts and kept exits alike.
//!
//! **Invariant:** pure bookkeeping; no exit is ever dropped to make room.

use std::collections::{BTreeMap, HashMap};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::exit::{ExitStatus, HostExit};
use super::id::HostId;
use super::proto::{HostExited, HostKind, LivingHost};

/// All slots.
#[derive(Debug)]
pub(super) struct HostTable {
    slots: BTreeMap<HostId, Slot>,
    by_pid: HashMap<Pid, HostId>,
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

    /// A process ended. If it was a host, its exit is kept from here on.
    pub(super) fn reaped(&mut self, pid: Pid, status: ExitStatus) -> Option<(HostId, HostExit)> {
        let id = self.by_pid.remove(&pid)?;
        let exit = HostExit {
            pid: to_wire(pid),
            status,
        };
        self.slots.insert(id.clone(), Slot::Exited(exit));
        Some((id, exit))
    }

    /// A daemon knows of this exit. Anything else is no exit to forget and stays.
    pub(super) fn acknowledge(&mut self, id: &HostId) {
        if let Some(Slot::Exited(_)) = self.slots.get(id) {
            self.slots.remove(id);
        }
    }

    /// The process of a living host. It stays its own until [`Self::reaped`]: a process that was not waited for keeps its number.
    pub(super) fn pid_of(&self, id: &HostId) -> Option<Pid> {
        match self.slots.get(id) {
            Some(Slot::Living { pid, .. }) => Some(*pid),
            Some(Slot::Exited(_)) | None => None,
        }
    }

    /// The processes of all living hosts.
    pub(super) fn living_pids(&self) -> impl Iterator<Item = Pid> {
        self.by_pid.keys().copied()
    }

    /// How many hosts live.
    pub(super) fn living(&self) -> usize {
        self.by_pid.len()
    }

    /// Everything that a new daemon has to know, in order of id.
    pub(super) fn snapshot(&self) -> (Vec<LivingHost>, Vec<HostExited>) {
        let mut living = Vec::with_capacity(self.by_pid.len());
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
        assert_eq!(table.pid_of(&id("a")), None);
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
        assert_eq!(table.pid_of(&id("a")), Some(Pid::from_raw(10)));
    }

    #[test]
    fn a_pid_that_the_kernel_gives_out_again_names_the_new_host() {
        let mut table = table(4, &[("a", 10)]);
        table.reaped(Pid::from_raw(10), ExitStatus::Code(0));
        table.started(id("b"), Pid::from_raw(10), HostKind::Probe);
        assert_eq!(table.pid_of(&id("b")), Some(Pid::from_raw(10)));
        assert_eq!(table.pid_of(&id("a")), None);
        let exit = table
            .reaped(Pid::from_raw(10), ExitStatus::Code(1))
            .unwrap();
        assert_eq!(exit.0, id("b"));
    }
}
