//! The answers that a launch remembers, so that a call is applied once however often it is sent.
//!
//! Remembered is every call that was applied, wholly or short, and the one that ended the launch; by its number, by its name, or both. A call
//! that was refused before its first page changed nothing, and is judged anew when it comes again.
//!
//! What a call submitted is not kept. Pages that it installed are in the ledger with their hashes, and a repeat is held against those; only
//! of the pages behind a stop, which are nowhere, a hash is kept. Of pages whose contents are nobody's business (SECRETS, UNMEASURED)
//! only place, type and number are compared, so that a repeat is no oracle for guessing them.
//!
//! **Invariant:** at most [`REPLAY_WINDOW`] answers by number, and as many by name.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
};

use stagepages_kvm::{GfnRange, PageType};

use super::{Installation, Refusal};

/// Answers kept by number, and by name each. Far more than any client has under way, and 64 KiB of memory at most.
pub const REPLAY_WINDOW: usize = 256;

/// Longest name of a call, in bytes.
pub const MAX_REQUEST_ID: usize = 64;

/// A caller's name for a call: 1 to [`MAX_REQUEST_ID`] bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Box<[u8]>);

impl RequestId {
    /// The name, if it can be one.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=MAX_REQUEST_ID)
            .contains(&bytes.len())
            .then(|| Self(bytes.into()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What a call is known by; nothing of it for a call that is not exactly-once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallKey {
    /// Its number in a SEQUENCED launch.
    pub sequence: Option<u64>,
    /// Its name.
    pub request_id: Option<RequestId>,
}

/// What came of a call that was applied.
pub type Applied = Result<Installation, Box<Refusal>>;

/// A call that was applied, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What it was known by.
    pub key: CallKey,
    /// Where.
    pub range: GfnRange,
    /// Of what type.
    pub page_type: PageType,
    /// Without contents of its own.
    pub blank: bool,
    /// Pages installed before it.
    pub first_ordinal: u64,
    /// Hash of what it submitted behind its stop, if there is any.
    pub rest: Option<[u8; 32]>,
    /// What came of it.
    pub applied: Applied,
}

impl Answered {
    /// Pages that it installed.
    #[must_use]
    pub fn installed_pages(&self) -> u64 {
        self.applied.as_ref().map_or_else(
            |refusal| refusal.installed_pages,
            |done| done.installed_pages,
        )
    }
}

/// The remembered answers of one launch.
#[derive(Debug, Default)]
pub struct Answers {
    /// The newest by number; the last is that of `next_sequence - 1`.
    by_sequence: VecDeque<Arc<Answered>>,
    next_sequence: u64,
    by_id: HashMap<RequestId, Arc<Answered>>,
    ids: VecDeque<RequestId>,
}

impl Answers {
    /// The number that comes next in a SEQUENCED launch.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The answer to this number, if it is remembered.
    #[must_use]
    pub fn by_sequence(&self, sequence: u64) -> Option<&Answered> {
        let back = self.next_sequence.checked_sub(sequence)?;
        let index = self
            .by_sequence
            .len()
            .checked_sub(usize::try_from(back).ok()?)?;
        self.by_sequence.get(index).map(Arc::as_ref)
    }

    /// The answer to this name, if it is remembered.
    #[must_use]
    pub fn by_id(&self, id: &RequestId) -> Option<&Answered> {
        self.by_id.get(id).map(Arc::as_ref)
    }

    /// Remembers an answer, and forgets the oldest.
    ///
    /// The caller has checked that its number, if any, is the next one, and that its name, if any, is not remembered.
    pub fn remember(&mut self, answered: Answered) {
        let CallKey {
            sequence,
            request_id,
        } = answered.key.clone();
        let answered = Arc::new(answered);
        if let Some(sequence) = sequence {
            self.next_sequence = sequence + 1;
            self.by_sequence.push_back(Arc::clone(&answered));
            if self.by_sequence.len() > REPLAY_WINDOW {
                self.by_sequence.pop_front();
            }
        }
        if let Some(id) = request_id {
            self.by_id.insert(id.clone(), answered);
            self.ids.push_back(id);
            if self.ids.len() > REPLAY_WINDOW
                && let Some(oldest) = self.ids.pop_front()
            {
                self.by_id.remove(&oldest);
            }
        }
    }

    /// All that is remembered, each once, oldest numbers first, then those with a name only.
    pub fn all(&self) -> impl Iterator<Item = &Answered> {
        let named = self
            .ids
            .iter()
            .filter_map(|id| self.by_id(id))
            .filter(|answered| answered.key.sequence.is_none());
        self.by_sequence.iter().map(Arc::as_ref).chain(named)
    }
}

#[cfg(test)]
mod tests {
    use stagepages_kvm::Gfn;

    use super::*;

    fn answered(sequence: Option<u64>, id: Option<&str>) -> Answered {
        Answered {
            key: CallKey {
                sequence,
                request_id: id.and_then(|id| RequestId::new(id.as_bytes())),
            },
            range: GfnRange::new(Gfn::new(0).unwrap(), 1).unwrap(),
            page_type: PageType::Normal,
            blank: true,
            first_ordinal: 0,
            rest: None,
            applied: Ok(Installation {
                installed_pages: 1,
                in_the_way: None,
            }),
        }
    }

    #[test]
    fn the_newest_answers_are_found_by_number_and_by_name_and_the_oldest_are_forgotten() {
        let mut answers = Answers::default();
        let many = REPLAY_WINDOW as u64 + 3;
        for sequence in 0..many {
            answers.remember(answered(Some(sequence), Some(&format!("id {sequence}"))));
        }
        assert_eq!(answers.next_sequence(), many);
        for sequence in 0..many {
            let id = RequestId::new(format!("id {sequence}").as_bytes()).unwrap();
            let kept = sequence >= 3;
            assert_eq!(
                answers
                    .by_sequence(sequence)
                    .map(|found| found.key.sequence),
                kept.then_some(Some(sequence))
            );
            assert_eq!(answers.by_id(&id).is_some(), kept);
        }
        assert_eq!(answers.by_sequence(many), None);
        assert_eq!(answers.all().count(), REPLAY_WINDOW);
    }

    #[test]
    fn a_name_has_1_to_64_bytes() {
        assert_eq!(RequestId::new(b""), None);
        assert_eq!(RequestId::new(&[b'x'; 65]), None);
        assert!(RequestId::new(&[0xff; 64]).is_some());
    }
}
