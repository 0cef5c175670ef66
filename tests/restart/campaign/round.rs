//! One round.
use std::fmt;

use stagepages_proto::v1::LaunchState;
use stagepages_tests::{Api, Bench, Contents, Daemon, PAGE};
use tokio_util::task::TaskTracker;

use super::checks::{Checked, check, unchanged};
use super::load::{Images, Kind, Load};
use super::victim::Victim;
use super::{PAGES, Place};

/// A round to be run.
pub(super) struct Round<'a> {
    pub(super) victim: Victim,
    pub(super) random: Contents,
    pub(super) images: &'a Images,
}

/// What all rounds came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rounds: u64,
    kills: u64,
    clients: u64,
    repeats: u64,
    complete: u64,
    aborted: u64,
    counted: u64,
}

impl Round<'_> {
    pub(super) async fn run(&mut self, place: &Place, number: u64, tally: &mut Tally) {
        let daemon = tokio::task::block_in_place(|| Daemon::start(&place.options));
        let api = Api::unix(daemon.socket()).await;
        let mut bench = Bench {
            daemon,
            api,
            platform: place.platform,
        };
        let file = bench.daemon.dir().join("image");
        std::fs::write(&file, &self.images.one.bytes).unwrap();

        let tracker = TaskTracker::new();
        let mut load = Vec::new();
        for kind in [Kind::Numbered, Kind::Rivals, Kind::Tool] {
            load.push(Load::new(&bench, kind, self.images, &mut self.random).await);
        }
        let mut working = Vec::new();
        for load in &load {
            let (victim, file) = (self.victim, file.clone());
            working.push(load.start(self.images, victim, &mut self.random, &tracker, file));
        }
        tracker.close();
        for _ in 0..self.victim.times(&mut self.random) {
            self.moment(&load, &tracker).await;
            self.victim.kill(&mut bench, &load, &mut self.random).await;
            tally.kills += 1;
        }
        let mut known = Vec::new();
        for work in working {
            known.push(work.await.unwrap());
        }
        bench.meet().await;

        let mut found = Vec::new();
        for (load, known) in load.iter().zip(known) {
            let checked = check(&bench, self.victim, self.images, load, known).await;
            assert!(checked.aborted.is_none() || self.victim.ends_launches());
            tally.add(&checked);
            found.push(checked);
        }
        let over = found.iter().filter(|found| found.aborted.is_some()).count();
        match self.victim {
            Victim::Host => assert_eq!(over, 1, "the others are unharmed: {found:?}"),
            // One that was complete may have been so before.
            Victim::All => assert_eq!(over, load.len(), "none vanishes: {found:?}"),
            Victim::Daemon | Victim::AllButHosts | Victim::Upgrade | Victim::Client => {}
        }
        self.once_more(&mut bench, &load, &found).await;
        println!("round {number} is done");
        tokio::task::block_in_place(|| bench.daemon.stop());
        tally.rounds += 1;
    }

    /// Waits for a random number of bytes on one of the ways, or the end of all work.
    async fn moment(&mut self, load: &[Load], tracker: &TaskTracker) {
        let length = u64::try_from(load.len()).unwrap();
        let load = &load[usize::try_from(self.random.below(length)).unwrap()];
        let bytes = self.random.below(PAGES * PAGE / 2);
        tokio::select! {
            () = load.proxy.passes(bytes) => {}
            () = tracker.wait() => {}
        }
    }

    /// Another daemon finds everything as it is, finished launches and ended ones included.
    async fn once_more(&mut self, bench: &mut Bench, load: &[Load], found: &[Checked]) {
        let mut before = Vec::new();
        for (load, found) in load.iter().zip(found) {
            let name = &load.launch.name;
            if found.aborted.is_none() && self.random.below(2) == 0 {
                let finished = bench.api.finish(name, "").await.unwrap();
                assert_eq!(finished.state(), LaunchState::Finished);
            }
            before.push(found.picture(bench, name).await);
        }
        bench.daemon.kill_daemon();
        bench.meet().await;
        for ((load, found), before) in load.iter().zip(found).zip(before) {
            unchanged(bench, load, found, &before).await;
        }
    }
}

impl Tally {
    fn add(&mut self, checked: &Checked) {
        self.clients += checked.clients_killed;
        self.repeats += checked.repeats;
        self.counted += checked.counted;
        if checked.aborted.is_some() {
            self.aborted += 1;
        } else {
            self.complete += 1;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rounds,
            kills,
            clients,
            repeats,
            complete,
            aborted,
            counted,
        } = self;
        write!(
            f,
            "{rounds} rounds, {kills} kills, {clients} killed clients, {repeats} repeats, {complete} launches complete with {counted} pages \
             counted once each, {aborted} ended by the death of their hosts, nothing left behind"
        )
    }
}
