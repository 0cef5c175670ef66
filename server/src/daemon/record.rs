//! What is kept of a launch outside this process: by its host while that lives, and in a file from its creation until it is deleted.
//!
//! The host is given the part that never changes, and returns it to the next daemon unread. The file also gets what came of it.
//!
//! **Invariant:** what a launch's record says of its end is what its host told last, or how the host died.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use stagepages_host::{
    launch::{Answered, Snapshot},
    platform::PlatformKind,
    protocol::{self, BadMessage},
};
use stagepages_proto::v1;

use super::{Console, Ending, Fate, Identity, Status, versions};
use crate::{
    auth::Tenant,
    supervisor::{HostId, proto::HostExited},
};

/// A launch, to be found again. Append only: later builds read what earlier ones wrote.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// The launch's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its uid, and its host's id.
    #[prost(string, tag = "2")]
    pub uid: String,
    /// Its position in the order of creation.
    #[prost(uint64, tag = "3")]
    pub sequence: u64,
    /// Its spec as it was asked for.
    #[prost(message, optional, tag = "4")]
    pub asked: Option<v1::LaunchSpec>,
    /// The same with every choice made.
    #[prost(message, optional, tag = "5")]
    pub spec: Option<v1::LaunchSpec>,
    /// Its platform's number in the private protocol.
    #[prost(uint32, tag = "6")]
    pub platform: u32,
    /// When it was created.
    #[prost(message, optional, tag = "7")]
    pub created: Option<Timestamp>,
    /// Its lease.
    #[prost(uint64, tag = "8")]
    pub lease_millis: u64,
    /// The first answer of FinishLaunch.
    #[prost(message, optional, tag = "9")]
    pub finish: Option<Finish>,
    /// How it ended.
    #[prost(message, optional, tag = "10")]
    pub end: Option<End>,
    /// The answers that it remembered at its end.
    #[prost(message, repeated, tag = "11")]
    pub answers: Vec<protocol::Remembered>,
    /// When its guest was started.
    #[prost(message, optional, tag = "12")]
    pub started: Option<Timestamp>,
    /// What became of its ledger when it was over; unset until that is decided.
    #[prost(message, optional, tag = "13")]
    pub ledger: Option<Fate>,
    /// The launch digest in the first answer of CreateLaunch; empty where it had none, or its daemon was of before version 5 of the private protocol.
    #[prost(bytes = "vec", tag = "14")]
    pub created_digest: Vec<u8>,
    /// Whose it is; empty where its daemon had no tenants yet.
    #[prost(string, tag = "15")]
    pub tenant: String,
}

/// The first answer of FinishLaunch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Finish {
    /// The digest that it was given.
    #[prost(bytes = "vec", tag = "1")]
    pub expected: Vec<u8>,
    /// The answer.
    #[prost(message, optional, tag = "2")]
    pub answer: Option<v1::Launch>,
    /// What else it was given, on `sev-snp`.
    #[prost(message, optional, tag = "3")]
    pub sev_snp: Option<protocol::SevSnpFinish>,
    /// The version of the private protocol that the daemon spoke which put it on record; 0 before version 5.
    #[prost(uint32, tag = "4")]
    pub version: u32,
}

/// How a launch ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct End {
    /// As its host told last.
    #[prost(message, optional, tag = "1")]
    pub snapshot: Option<protocol::Snapshot>,
    /// Its host died, so.
    #[prost(message, optional, tag = "2")]
    pub died: Option<HostExited>,
    /// Its host did not react, and was killed.
    #[prost(bool, tag = "3")]
    pub killed: bool,
    /// When it left CREATED or STAGING.
    #[prost(message, optional, tag = "4")]
    pub ended: Option<Timestamp>,
    /// When it was over.
    #[prost(message, optional, tag = "5")]
    pub over: Option<Timestamp>,
    /// What its guest wrote last.
    #[prost(message, optional, tag = "6")]
    pub console: Option<protocol::Console>,
}

impl Record {
    /// The part that is known before a launch is made.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        Self {
            tenant: identity.tenant.to_string(),
            id: identity.id.clone(),
            uid: identity.uid.clone(),
            sequence: identity.sequence,
            asked: Some(identity.asked.clone()),
            spec: Some(identity.spec.clone()),
            platform: identity.platform.number(),
            created: Some(Timestamp::from(identity.created)),
            lease_millis: u64::try_from(identity.lease.as_millis()).unwrap_or(u64::MAX),
            finish: None,
            end: None,
            answers: Vec::new(),
            started: None,
            ledger: None,
            created_digest: Vec::new(),
        }
    }

    /// Whether a file with its ledger belongs to it.
    #[must_use]
    pub fn has_ledger(&self) -> bool {
        let kept = self.ledger.as_ref().and_then(|fate| fate.kept.as_ref());
        kept.is_some_and(|note| note.pages > 0)
    }

    /// Whose it is.
    ///
    /// # Errors
    /// A record that no build of ours wrote.
    pub fn tenant(&self) -> Result<Tenant, BadMessage> {
        if self.tenant.is_empty() {
            return Ok(Tenant::local());
        }
        let tenant = self.tenant.parse();
        tenant.map_err(|error| BadMessage::new("record", error))
    }

    /// Who it is.
    ///
    /// # Errors
    /// A record that no build of ours wrote.
    pub fn identity(&self, max_pending_calls: u32) -> Result<Identity, BadMessage> {
        let uid: Result<HostId, _> = self.uid.parse();
        if self.id.is_empty() || uid.is_err() {
            return Err(BadMessage::new("record", "without a name"));
        }
        let spec = |spec: &Option<v1::LaunchSpec>| {
            spec.clone()
                .ok_or_else(|| BadMessage::new("record", "without a spec"))
        };
        Ok(Identity {
            tenant: self.tenant()?,
            id: self.id.clone(),
            uid: self.uid.clone(),
            sequence: self.sequence,
            asked: spec(&self.asked)?,
            spec: spec(&self.spec)?,
            platform: PlatformKind::from_number(self.platform)?,
            created: time(self.created).unwrap_or(SystemTime::UNIX_EPOCH),
            max_pending_calls,
            lease: Duration::from_millis(self.lease_millis),
        })
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// A record that no build of ours wrote.
    pub fn status(&self) -> Result<Option<Status>, BadMessage> {
        let Some(end) = &self.end else {
            return Ok(None);
        };
        let snapshot = end.snapshot.clone();
        let snapshot =
            Snapshot::try_from(snapshot.ok_or_else(|| BadMessage::new("record", "half an end"))?)?;
        let died = end.died.as_ref().map(|died| {
            let (_, exit) = died
                .to_exit()
                .ok_or_else(|| BadMessage::new("record", "no exit"))?;
            Ok::<_, BadMessage>(Ending::Died(exit))
        });
        let ending = match died.transpose()? {
            Some(died) => died,
            None if end.killed => Ending::Killed,
            None => Ending::Told,
        };
        Ok(Some(Status {
            history: vec![snapshot.clone()],
            snapshot,
            ending: Some(ending),
            ended: time(end.ended),
            started: time(self.started),
            over: time(end.over),
            released: true,
            unresponsive: None,
        }))
    }

    /// The launch digest in the first answer of CreateLaunch, where that is known.
    #[must_use]
    pub fn created_digest(&self) -> Option<[u8; 48]> {
        self.created_digest.as_slice().try_into().ok()
    }

    /// The answers that it remembered.
    ///
    /// # Errors
    /// A record that no build of ours wrote.
    pub fn remembered(&self) -> Result<Vec<Answered>, BadMessage> {
        self.answers
            .iter()
            .cloned()
            .map(Answered::try_from)
            .collect()
    }
}

impl Finish {
    /// The first answer, put on record by this daemon, or taken from it by [`Self::told`].
    #[must_use]
    pub fn of(given: protocol::Finish, answer: v1::Launch) -> Self {
        Self {
            expected: given.expected_digest,
            answer: Some(answer),
            sev_snp: given.sev_snp,
            version: protocol::VERSION,
        }
    }

    /// The answer as it is told today. A digest of an older daemon's is left out: it means another thing, which nothing in the answer shows.
    #[must_use]
    pub fn told(&self) -> Option<v1::Launch> {
        let mut answer = self.answer.clone()?;
        if self.version < versions::EXPECTED_SINCE {
            answer.launch_digest.clear();
            answer.measured_pages = 0;
        }
        Some(answer)
    }
}

impl End {
    /// The end that `status` tells of, if it does.
    pub(super) fn of(uid: &str, status: &Status, console: &Console) -> Option<Self> {
        let ending = status.ending.as_ref()?;
        let died = match ending {
            Ending::Died(exit) => uid
                .parse()
                .ok()
                .map(|id: HostId| HostExited::new(&id, *exit)),
            Ending::Told | Ending::Killed => None,
        };
        Some(Self {
            snapshot: Some((&status.snapshot).into()),
            died,
            killed: *ending == Ending::Killed,
            ended: status.ended.map(Timestamp::from),
            over: status.over.map(Timestamp::from),
            console: console.tail(),
        })
    }
}

pub(super) fn time(stamp: Option<Timestamp>) -> Option<SystemTime> {
    stamp.and_then(|stamp| SystemTime::try_from(stamp).ok())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// The first answer to FinishLaunch of a launch with so many pages.
    fn finish(pages: u64, version: u32) -> Record {
        let answer = v1::Launch {
            installed_pages: pages,
            measured_pages: pages,
            launch_digest: vec![7; 48].into(),
            next_sequence: 3,
            ..v1::Launch::default()
        };
        let finish = Finish {
            version,
            ..Finish::of(protocol::Finish::default(), answer)
        };
        let record = Record {
            finish: Some(finish),
            ..Record::default()
        };
        Record::decode(&*record.encode_to_vec()).unwrap()
    }

    #[test]
    fn an_older_daemons_digest_is_told_as_nothing_that_it_is_not() {
        // Without pages the count tells nothing of the digest's meaning.
        for pages in [0, 7] {
            for (version, digest, measured) in [
                (0, None, 0),
                (4, None, 0),
                (protocol::VERSION, Some([7; 48]), pages),
            ] {
                let record = finish(pages, version);
                let told = record.finish.as_ref().and_then(Finish::told).unwrap();
                let known = digest.as_ref().map_or(&[][..], |digest| &digest[..]);
                assert_eq!(told.launch_digest, known, "{version}");
                assert_eq!(
                    (
                        told.installed_pages,
                        told.measured_pages,
                        told.next_sequence
                    ),
                    (pages, measured, 3)
                );
                let mut status = Status::fresh();
                status.lost(&record, None);
                let last = status.snapshot;
                assert_eq!(last.digest, digest, "{version}, {pages} pages");
                assert_eq!(
                    (
                        last.installed_pages,
                        last.measured_pages,
                        last.next_sequence
                    ),
                    (pages, measured, 3)
                );
            }
        }
    }
}
