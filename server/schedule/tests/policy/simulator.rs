//! Clients, hosts and one serial firmware, as discrete events around a [`Scheduler`].
//!
//! ```text
//!   client ──call──▶ daemon: ask ──latency──▶ host: queue of calls ──▶ firmware: one command at a time
//!                    daemon: decide ─latency─▶ host: granted               │
//!                    daemon: progress, answered ◀────────latency───────────┘
//! ```
//!
//! The firmware takes its commands from the hosts that have data and a grant, one after the other in a circle: with grants without limit that is
//! what a machine does that schedules nothing.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    time::Duration,
};

use stagepages_schedule::{Class, Config, Place, Refused, Scheduler};

use crate::{MICRO, MILLI};

pub(crate) type Key = u32;

/// What one launch's client does.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) class: Class,
    pub(crate) arrives: Duration,
    /// The pages of its calls.
    pub(crate) calls: Vec<u64>,
    /// How many calls it keeps open.
    pub(crate) window: usize,
    /// How long it takes to send the next call when one is answered.
    pub(crate) think: Duration,
    pub(crate) says_its_plan: bool,
    pub(crate) deadline: Option<Duration>,
}

impl Client {
    /// A client that sends all of its pages in one call.
    pub(crate) fn bulk(arrives: Duration, pages: u64) -> Self {
        Self::closed_loop(arrives, 1, pages)
    }

    /// A client that sends a call when the one before is answered.
    pub(crate) fn closed_loop(arrives: Duration, calls: usize, pages: u64) -> Self {
        Self {
            class: Class::Normal,
            arrives,
            calls: vec![pages; calls],
            window: 1,
            think: MICRO * 100,
            says_its_plan: true,
            deadline: None,
        }
    }

    pub(crate) fn class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    pub(crate) fn window(self, window: usize) -> Self {
        Self { window, ..self }
    }

    pub(crate) fn think(self, think: Duration) -> Self {
        Self { think, ..self }
    }

    pub(crate) fn pages(&self) -> u64 {
        self.calls.iter().sum()
    }
}

/// What the machine is like.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) config: Config,
    /// The true time of a page.
    pub(crate) page_time: Duration,
    /// One way between daemon and hosts.
    pub(crate) latency: Duration,
    /// Pages of one firmware command, and so of one report.
    pub(crate) chunk: u64,
    /// Whether hosts may install what they like.
    pub(crate) is_unscheduled: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            config: Config::default(),
            page_time: MILLI,
            latency: MICRO * 200,
            chunk: 1,
            is_unscheduled: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call(Key),
    Data(Key, u64),
    Granted(Key, u64),
    Installed(Key, u64),
    Report(Key, u64),
    Answer(Key, u64, u64),
    Leave(Key),
    Hang(Key, bool),
    Wake,
}

#[derive(Debug, Default)]
struct Host {
    /// How many calls its client sent.
    sent: usize,
    calls: VecDeque<u64>,
    /// Installed of the first of them.
    done: u64,
    installed: u64,
    granted: u64,
    is_hung: bool,
    is_gone: bool,
}

/// One firmware command as it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command {
    pub(crate) key: Key,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
    pub(crate) pages: u64,
}

pub(crate) struct Simulator {
    pub(crate) scheduler: Scheduler<Key>,
    pub(crate) now: Duration,
    pub(crate) commands: Vec<Command>,
    /// What was granted, and when.
    pub(crate) grants: Vec<(Duration, Key, u64)>,
    pub(crate) refusals: Vec<(Duration, Key, Refused)>,
    machine: Machine,
    clients: BTreeMap<Key, Client>,
    hosts: BTreeMap<Key, Host>,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    sent: u64,
    is_busy: bool,
    served: Key,
    wake: Option<Duration>,
}

impl Simulator {
    pub(crate) fn new(machine: Machine, clients: impl IntoIterator<Item = Client>) -> Self {
        let mut simulator = Self {
            scheduler: Scheduler::new(machine.config.clone()).unwrap(),
            now: Duration::ZERO,
            commands: Vec::new(),
            grants: Vec::new(),
            refusals: Vec::new(),
            machine,
            clients: (0..).zip(clients).collect(),
            hosts: BTreeMap::new(),
            events: BinaryHeap::new(),
            sent: 0,
            is_busy: false,
            served: 0,
            wake: None,
        };
        for (key, client) in simulator.clients.clone() {
            let planned = client.says_its_plan.then(|| client.pages());
            simulator
                .scheduler
                .join(key, client.class, planned, 0, Duration::ZERO);
            let granted = if simulator.machine.is_unscheduled {
                u64::MAX
            } else {
                0
            };
            simulator.hosts.insert(
                key,
                Host {
                    granted,
                    ..Host::default()
                },
            );
            for _ in 0..client.window {
                simulator.after(client.arrives, Event::Call(key));
            }
        }
        simulator
    }

    pub(crate) fn leave_at(&mut self, key: Key, at: Duration) {
        self.after(at.saturating_sub(self.now), Event::Leave(key));
    }

    /// Its host installs nothing from `from` to `to`.
    pub(crate) fn hang(&mut self, key: Key, from: Duration, to: Duration) {
        self.after(from.saturating_sub(self.now), Event::Hang(key, true));
        self.after(to.saturating_sub(self.now), Event::Hang(key, false));
    }

    /// Runs all that happens up to `until`. Returns whether more is to come.
    pub(crate) fn run_until(&mut self, until: Duration) -> bool {
        while let Some(Reverse((at, _, _))) = self.events.peek() {
            if *at > until {
                self.now = until;
                return true;
            }
            if let Some(Reverse((at, _, event))) = self.events.pop() {
                self.now = at;
                self.handle(event);
                self.start_the_firmware();
            }
        }
        false
    }

    pub(crate) fn run(&mut self) {
        assert!(!self.run_until(Duration::MAX));
    }

    pub(crate) fn place(&self, key: Key) -> Option<Place> {
        self.scheduler.place(key, self.now)
    }

    /// When a launch's last page was installed.
    pub(crate) fn finish(&self, key: Key) -> Duration {
        self.commands
            .iter()
            .rev()
            .find(|command| command.key == key)
            .unwrap()
            .ended
    }

    pub(crate) fn finishes(&self) -> Vec<Duration> {
        self.clients.keys().map(|key| self.finish(*key)).collect()
    }

    /// When the last page of all was installed.
    pub(crate) fn end(&self) -> Duration {
        self.commands.last().unwrap().ended
    }

    pub(crate) fn pages(&self, key: Key) -> u64 {
        self.commands
            .iter()
            .filter(|command| command.key == key)
            .map(|command| command.pages)
            .sum()
    }

    pub(crate) fn assert_all_is_installed(&self) {
        for (key, client) in &self.clients {
            assert_eq!(
                self.pages(*key),
                client.pages(),
                "launch {key} of {client:?}"
            );
        }
        assert_eq!(self.scheduler.waiting(), 0);
    }

    fn after(&mut self, time: Duration, event: Event) {
        self.sent += 1;
        self.events
            .push(Reverse((self.now + time, self.sent, event)));
    }

    fn handle(&mut self, event: Event) {
        let (now, latency) = (self.now, self.machine.latency);
        match event {
            Event::Call(key) => {
                let host = self.host(key);
                let index = host.sent;
                host.sent += 1;
                let client = &self.clients[&key];
                if let Some(pages) = client.calls.get(index).copied() {
                    match self.scheduler.ask(key, pages, client.deadline, now) {
                        Ok(()) => self.after(latency, Event::Data(key, pages)),
                        Err(refused) => self.refusals.push((now, key, refused)),
                    }
                }
            }
            Event::Data(key, pages) => self.host(key).calls.push_back(pages),
            Event::Granted(key, up_to) => {
                let host = self.host(key);
                host.granted = host.granted.max(up_to);
            }
            Event::Installed(key, pages) => self.installed(key, pages),
            Event::Report(key, total) => self.scheduler.progress(key, total, now),
            Event::Answer(key, pages, total) => {
                self.scheduler.answered(key, pages, total, now);
                let think = self.clients[&key].think;
                self.after(think, Event::Call(key));
            }
            Event::Leave(key) => {
                self.host(key).is_gone = true;
                self.scheduler.leave(key, now);
            }
            Event::Hang(key, is_hung) => self.host(key).is_hung = is_hung,
            Event::Wake => self.wake = None,
        }
        self.decide();
    }

    fn decide(&mut self) {
        while let Some(grant) = self.scheduler.decide(self.now) {
            self.grants.push((self.now, grant.key, grant.up_to_pages));
            self.after(
                self.machine.latency,
                Event::Granted(grant.key, grant.up_to_pages),
            );
        }
        if let Some(wake) = self.scheduler.wake_at() {
            assert!(wake > self.now, "a decision is due, and none was made");
            if self.wake.is_none_or(|pending| wake < pending) {
                self.wake = Some(wake);
                self.after(wake - self.now, Event::Wake);
            }
        }
    }

    fn installed(&mut self, key: Key, pages: u64) {
        let (latency, begun) = (
            self.machine.latency,
            self.commands.last().map(|command| command.ended),
        );
        self.is_busy = false;
        let cost = self.machine.page_time * u32::try_from(pages).unwrap();
        debug_assert!(begun.unwrap_or_default() <= self.now - cost);
        self.commands.push(Command {
            key,
            begun: self.now - cost,
            ended: self.now,
            pages,
        });
        let host = self.host(key);
        host.installed += pages;
        host.done += pages;
        let (total, call) = (host.installed, host.calls[0]);
        let is_done = host.done == call;
        if is_done {
            host.done = 0;
            host.calls.pop_front();
        }
        if !host.is_gone {
            self.after(latency, Event::Report(key, total));
            if is_done {
                self.after(latency, Event::Answer(key, call, total));
            }
        }
    }

    fn start_the_firmware(&mut self) {
        if self.is_busy {
            return;
        }
        let can = |host: &Host| {
            !host.is_hung
                && !host.is_gone
                && host.granted > host.installed
                && !host.calls.is_empty()
        };
        let circle = self
            .hosts
            .range(self.served + 1..)
            .chain(self.hosts.range(..=self.served));
        let Some((key, host)) = circle.into_iter().find(|(_, host)| can(host)) else {
            return;
        };
        let (key, left) = (*key, host.calls[0] - host.done);
        let pages = left
            .min(host.granted - host.installed)
            .min(self.machine.chunk);
        self.served = key;
        self.is_busy = true;
        let cost = self.machine.page_time * u32::try_from(pages).unwrap();
        self.after(cost, Event::Installed(key, pages));
    }

    fn host(&mut self, key: Key) -> &mut Host {
        self.hosts.get_mut(&key).unwrap()
    }
}

/// The mean of times.
pub(crate) fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap()
}
