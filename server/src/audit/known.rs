//! What a log tells of launches: which states of each it has, so that a daemon that takes launches over tells what is missing and nothing twice.
//!
//! **Invariant:** as long as the records of a launch are kept, none of its states is told again.

use std::{
    collections::HashMap,
    io::{self, BufRead as _, BufReader, Read as _},
};

use stagepages_audit::{Event, MAX_LINE, Record};
use stagepages_host::launch::State;

use super::place::{CURRENT, Place};

/// Some of a launch's states.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct States(u8);

impl States {
    /// Adds one, and says whether it is new.
    pub(crate) fn insert(&mut self, state: State) -> bool {
        let bit = 1
            << match state {
                State::Created => 0,
                State::Staging => 1,
                State::Finished => 2,
                State::Running => 3,
                State::Stopped => 4,
                State::Aborted => 5,
            };
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    /// Adds all of `others`.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0 |= others.0;
    }
}

/// The state that an event is the beginning of.
fn state(event: Event) -> Option<State> {
    match event {
        Event::LaunchCreated => Some(State::Created),
        Event::LaunchStaging => Some(State::Staging),
        Event::LaunchFinished => Some(State::Finished),
        Event::LaunchRunning => Some(State::Running),
        Event::LaunchStopped => Some(State::Stopped),
        Event::LaunchAborted => Some(State::Aborted),
        Event::LaunchAdopted
        | Event::LaunchDeleted
        | Event::LaunchEvicted
        | Event::ImageStored
        | Event::ImageDeleted
        | Event::ImageEvicted
        | Event::ImageGranted
        | Event::ImageQuarantined
        | Event::CallRefused
        | Event::CallsSuppressed
        | Event::DaemonStarted
        | Event::DaemonDraining
        | Event::DaemonEnded
        | Event::PolicyReloaded
        | Event::CertificatesReloaded
        | Event::LogMended
        | Event::LogResumed
        | Event::Other => None,
    }
}

/// Reads all files, and returns the states of each launch that was not deleted, by uid. Lines that are no records are passed over: verification finds them.
///
/// # Errors
/// The kernel's.
pub(super) fn read(place: &Place) -> io::Result<HashMap<String, States>> {
    let mut launches: HashMap<String, States> = HashMap::new();
    let mut names = place.full()?;
    names.push(CURRENT.to_owned());
    for name in names {
        let Some(file) = place.find(&name)? else {
            continue;
        };
        let mut file = BufReader::with_capacity(MAX_LINE, file);
        let mut line = Vec::new();
        while (&mut file)
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line)?
            > 0
        {
            // Most lines may be about something else, and need not be understood.
            const OF_LAUNCHES: &[u8] = b"\"event\":\"launch.";
            let named = line
                .windows(OF_LAUNCHES.len())
                .any(|part| part == OF_LAUNCHES);
            if named && let Ok(record) = serde_json::from_slice::<Record>(&line) {
                take(&mut launches, record);
            }
            line.clear();
        }
    }
    Ok(launches)
}

fn take(launches: &mut HashMap<String, States>, record: Record) {
    let event = record.entry.event;
    let Some(uid) = record.entry.launch.map(|launch| launch.uid) else {
        return;
    };
    if matches!(event, Event::LaunchDeleted | Event::LaunchEvicted) {
        launches.remove(&uid);
    } else if let Some(state) = state(event) {
        launches.entry(uid).or_default().insert(state);
    }
}
