//! The states of launches, each told once: from the watch on its status, whoever or whatever brought it there.
//!
//! **Invariant:** a state is told after those before it, and a launch's end before its deletion.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stagepages_audit::{Entry, Event, Who};
use stagepages_host::launch::{Snapshot, State};

use super::{States, Unwritten, current, who::TEXT};
use crate::{
    daemon::{Launch, Status},
    rpc::{convert, status::printable},
};

/// What was told of a launch.
#[derive(Debug, Default)]
pub struct Told(Mutex<States>);

/// Who asked last for each of a launch's states: to whom it is put down when it comes.
#[derive(Debug, Default)]
pub struct Asked(Mutex<Vec<(State, Who)>>);

impl Asked {
    /// Takes that the call that is served here asks for `state`.
    pub fn note(&self, state: State) {
        let Some(call) = current() else { return };
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|(known, _)| *known != state);
        asked.push((state, call.who()));
    }

    fn by(&self, state: State) -> Option<Who> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = asked.iter().find(|(known, _)| *known == state);
        found.map(|(_, who)| who.clone())
    }
}

/// Tells that the launch was created, and returns when that is on the disk.
///
/// # Errors
/// It is not, or not known to be.
pub async fn created(launch: &Launch) -> Result<(), Unwritten> {
    let status = launch.status();
    let entry = state_entry(launch, &status, &Status::fresh().snapshot);
    lock(&launch.told).insert(State::Created);
    launch.audit.make_sure(entry).await
}

/// Tells every state of the launch from now on, and those that it has passed and that are not among `known`.
pub fn follow(launch: &Arc<Launch>, known: States) {
    if launch.audit.log.is_none() {
        return;
    }
    lock(&launch.told).extend(known);
    let launch = Arc::clone(launch);
    tokio::spawn(async move {
        let mut status = launch.watch();
        loop {
            let over = status.borrow_and_update().released;
            launch.tell_states();
            // The sender is this launch's own: it cannot be gone.
            if over || status.changed().await.is_err() {
                return;
            }
        }
    });
}

fn lock(told: &Told) -> MutexGuard<'_, States> {
    told.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Launch {
    /// Tells the states that it has passed and that were not told yet. Whoever answers a call that brought it into one does so before, so that what was answered
    /// is in the queue before whatever is asked next.
    pub(crate) fn tell_states(&self) {
        let mut states = lock(&self.told);
        let status = self.status();
        for snapshot in passed(&status, self.was_finished()) {
            if states.insert(snapshot.state) {
                self.audit.tell(state_entry(self, &status, &snapshot));
            }
        }
    }

    /// Tells that it is forgotten, by a call or by age.
    pub(crate) fn tell_forgotten(&self, event: Event) {
        self.tell_states();
        let status = self.status();
        self.audit.tell(Entry {
            who: current().map(|call| call.who()),
            launch: Some(launch_of(self, &status, &status.snapshot)),
            ..Entry::new(event)
        });
    }

    /// Tells that this daemon has it from an earlier one.
    pub(crate) fn tell_adopted(&self) {
        let status = self.status();
        self.audit.tell(Entry {
            launch: Some(launch_of(self, &status, &status.snapshot)),
            ..Entry::new(Event::LaunchAdopted)
        });
    }
}

/// The states that a launch has passed, also those that no message told because an earlier daemon, or none, was there then. That one which was aborted since
/// was `finished` before is known from its answer, which is on record before it is given.
fn passed(status: &Status, finished: bool) -> Vec<Snapshot> {
    let mut passed: Vec<Snapshot> = Vec::new();
    for snapshot in &status.history {
        let ran = matches!(snapshot.state, State::Running | State::Stopped);
        let staged = snapshot.installed_pages > 0 && snapshot.state != State::Created;
        let finished = finished && snapshot.state == State::Aborted;
        for (before, skipped) in [
            (State::Created, true),
            (State::Staging, staged),
            (State::Finished, ran || finished),
            (State::Running, snapshot.state == State::Stopped),
        ] {
            let has = passed.iter().any(|it| it.state == before);
            if skipped && !has && before != snapshot.state {
                passed.push(before_it(snapshot, before));
            }
        }
        passed.push(snapshot.clone());
    }
    passed
}

/// A state that nobody saw: of its pages and its digest is known what they were later, or that there were none.
fn before_it(snapshot: &Snapshot, state: State) -> Snapshot {
    if state == State::Created {
        return Status::fresh().snapshot;
    }
    Snapshot {
        state,
        abort: None,
        stop: None,
        ..snapshot.clone()
    }
}

/// The record of a launch's coming into a state.
fn state_entry(launch: &Launch, status: &Status, snapshot: &Snapshot) -> Entry {
    let event = match snapshot.state {
        State::Created => Event::LaunchCreated,
        State::Staging => Event::LaunchStaging,
        State::Finished => Event::LaunchFinished,
        State::Running => Event::LaunchRunning,
        State::Stopped => Event::LaunchStopped,
        State::Aborted => Event::LaunchAborted,
    };
    let described = launch_of(launch, status, snapshot);
    let by_itself = !described.reason.is_empty() && described.reason != "REQUESTED";
    Entry {
        // What nobody asked for is nobody's doing, whoever asked for the same at the same time.
        who: launch.asked_for.by(snapshot.state).filter(|_| !by_itself),
        launch: Some(described),
        ..Entry::new(event)
    }
}

fn launch_of(launch: &Launch, status: &Status, snapshot: &Snapshot) -> stagepages_audit::Launch {
    let shown = launch.describe_as(status, snapshot);
    let (reason, cause) = match (shown.abort, shown.stop) {
        (Some(abort), _) => (
            abort
                .reason()
                .as_str_name()
                .trim_start_matches("ABORT_REASON_"),
            abort.message,
        ),
        (None, Some(stop)) => (
            stop.reason()
                .as_str_name()
                .trim_start_matches("STOP_REASON_"),
            stop.message,
        ),
        (None, None) => ("", String::new()),
    };
    stagepages_audit::Launch {
        id: launch.id.clone(),
        tenant: launch.tenant.as_str().to_owned(),
        uid: launch.uid.clone(),
        platform: launch.platform.to_string(),
        state: snapshot.state.to_string(),
        installed_pages: Some(snapshot.installed_pages),
        launch_digest: convert::hex(&shown.launch_digest),
        reason: reason.to_owned(),
        cause: printable(&cause, TEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states of a launch with a page of which a daemon knows its end alone.
    fn states(end: State, finished: bool) -> Vec<State> {
        let mut status = Status::fresh();
        status.snapshot.installed_pages = 1;
        status.snapshot.state = end;
        status.history = vec![status.snapshot.clone()];
        let passed = passed(&status, finished);
        passed.iter().map(|snapshot| snapshot.state).collect()
    }

    #[test]
    fn an_end_that_nobody_saw_is_told_with_all_that_was_before() {
        use State::{Aborted, Created, Finished, Running, Staging, Stopped};
        assert_eq!(states(Aborted, false), [Created, Staging, Aborted]);
        assert_eq!(states(Aborted, true), [Created, Staging, Finished, Aborted]);
        assert_eq!(states(Finished, true), [Created, Staging, Finished]);
        let ran = [Created, Staging, Finished, Running, Stopped];
        assert_eq!(states(Stopped, true), ran);
    }
}
