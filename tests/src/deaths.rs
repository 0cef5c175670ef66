//! Killing parts of a daemon's tree, as the kernel or an operator does: without a word.
//!
//! **Invariant:** only processes of this tree are hit.
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stagepages_proto::v1::Launch;

use crate::daemon::Daemon;
use crate::process_tree::Member;
use crate::wait::LONG;

impl Daemon {
    /// Kills the daemon, once there is one, and returns what was its process id.
    ///
    /// # Panics
    /// If there is none within a minute.
    pub fn kill_daemon(&self) -> Pid {
        let daemon = self.await_that("a daemon to kill", |members| {
            let daemon = members.iter().find(|member| member.has_role("daemon"))?;
            Some(daemon.pid)
        });
        kill(daemon, Signal::SIGKILL).ok();
        daemon
    }

    /// Kills supervisor and daemon, and waits until both are gone. Hosts live on, but in a pid namespace.
    ///
    /// # Panics
    /// If they are not gone within a minute.
    pub fn kill_all_but_hosts(&mut self) {
        // The supervisor first, or it would start another daemon.
        kill(self.pid(), Signal::SIGKILL).ok();
        self.await_exit(LONG).expect("a killed supervisor ends");
        self.kill_role("daemon");
    }

    /// Kills the whole tree, and waits until it is gone.
    ///
    /// # Panics
    /// If it is not gone within a minute.
    pub fn kill_all(&mut self) {
        self.kill_all_but_hosts();
        self.kill_role("host");
    }

    /// The process of the launch's host, also where the API names it as another pid namespace does.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn host(&self, launch: &Launch) -> Pid {
        self.find_host(launch)
            .unwrap_or_else(|| panic!("no host of {}: {:?}", launch.name, self.members()))
    }

    /// As [`Self::host`]; none if it is gone.
    #[must_use]
    pub fn find_host(&self, launch: &Launch) -> Option<Pid> {
        let members = self.members();
        let mut hosts = members.iter().filter(|member| {
            member.has_role("host") && member.argument("--id=") == Some(&launch.uid)
        });
        let host = hosts.next().map(|member| member.pid);
        assert!(
            hosts.next().is_none(),
            "two hosts of one launch: {members:?}"
        );
        host
    }

    /// The process of the daemon, if there is one. Two of them are one that leaves and one that comes: then there is none yet.
    #[must_use]
    pub fn find_daemon(&self) -> Option<Pid> {
        let members = self.members();
        let mut daemons = members.iter().filter(|member| member.has_role("daemon"));
        let daemon = daemons.next().map(|member| member.pid);
        daemon.filter(|_| daemons.next().is_none())
    }

    /// How many launch hosts live.
    #[must_use]
    pub fn hosts(&self) -> usize {
        let members = self.members();
        members
            .iter()
            .filter(|member| member.has_role("host"))
            .count()
    }

    fn kill_role(&self, role: &str) {
        self.await_that("the end of what was killed", |members| {
            let mut left = members
                .iter()
                .filter(|member| member.has_role(role))
                .peekable();
            let gone = left.peek().is_none();
            for member in left {
                kill(member.pid, Signal::SIGKILL).ok();
            }
            gone.then_some(())
        });
    }

    fn await_that<T>(&self, what: &str, look: impl Fn(&[Member]) -> Option<T>) -> T {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(found) = look(&self.members()) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            // The pace of looking.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
