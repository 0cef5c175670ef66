//! Exactly once: whether a call is new, a repeat, or out of place; and remembering what came of it.

use stagepages_kvm::PageType;

use super::{
    Aborted, AfterInstall, Answered, Between, CallKey, Extent, Finished, Installation, Launch,
    Open, Ordering, Reason, Refusal, Running, Stopped, books::Books,
};
use crate::platform::Source;

/// What a call is, before it is looked at any closer.
enum Standing {
    /// Not seen before, and in place.
    New,
    /// Its answer is remembered.
    Repeat(Box<Answered>),
    /// It cannot be applied now, or ever.
    OutOfPlace(Refusal),
}

impl Launch {
    /// Applies a call exactly once: installs it if it is new, else answers as the first time.
    ///
    /// # Errors
    /// Those of [`Open::install`]; and what is out of sequence, or was applied with other content.
    pub fn stage(
        self,
        key: &CallKey,
        extent: &Extent<'_>,
        between: &mut dyn Between,
    ) -> (Self, Result<Installation, Refusal>) {
        match self.standing(key, extent) {
            Standing::Repeat(first) => {
                let same = same_call(key, &first.key) && self.same_content(&first, extent);
                let answer = if same {
                    first.applied.map_err(|refusal| *refusal)
                } else {
                    Err(other_content(key, &first))
                };
                (self, answer)
            }
            Standing::OutOfPlace(refusal) => (self, Err(refusal)),
            Standing::New => self.apply(key, extent, between),
        }
    }

    /// The remembered call of this number or name, with its answer.
    ///
    /// # Errors
    /// `ResultNotFound`.
    pub fn result(&self, key: &CallKey) -> Result<&Answered, Refusal> {
        let answers = self.answers();
        let found = match key {
            CallKey {
                sequence: Some(sequence),
                ..
            } => answers.by_sequence(*sequence),
            CallKey {
                request_id: Some(id),
                ..
            } => answers.by_id(id),
            CallKey {
                sequence: None,
                request_id: None,
            } => None,
        };
        found.ok_or_else(|| {
            let next = answers.next_sequence();
            let text = if key.sequence.is_some_and(|sequence| sequence < next) {
                "this call was applied, but its answer is no longer kept; ListInstalledPages shows what is installed"
            } else {
                "no such call was applied; send it, or send it again"
            };
            Refusal { next_sequence: Some(next), ..Refusal::new(Reason::ResultNotFound, text) }
        })
    }

    fn standing(&self, key: &CallKey, extent: &Extent<'_>) -> Standing {
        let answers = self.answers();
        let repeat = |first: &Answered| Standing::Repeat(Box::new(first.clone()));
        if let Some(first) = key.request_id.as_ref().and_then(|id| answers.by_id(id)) {
            return repeat(first);
        }
        let out_of_sequence = |sequence: u64, why: &str| {
            let next = answers.next_sequence();
            let refusal = Refusal::new(
                Reason::OutOfSequence,
                format!("sequence {sequence} {why}; the next one is {next}"),
            );
            Standing::OutOfPlace(Refusal {
                next_sequence: Some(next),
                ..refusal.at(extent.range.start().gpa(), extent.page_type)
            })
        };
        match key.sequence {
            // Refused when it is applied, for being numbered at all: of an unordered launch no number is early.
            Some(_) if !self.is_sequenced() => Standing::New,
            Some(sequence) if sequence < answers.next_sequence() => match answers
                .by_sequence(sequence)
            {
                Some(first) => repeat(first),
                None => out_of_sequence(sequence, "was applied, and its answer is no longer kept"),
            },
            Some(sequence) if sequence > answers.next_sequence() => {
                out_of_sequence(sequence, "is too early")
            }
            Some(_) | None => Standing::New,
        }
    }

    fn apply(
        self,
        key: &CallKey,
        extent: &Extent<'_>,
        between: &mut dyn Between,
    ) -> (Self, Result<Installation, Refusal>) {
        let open = match self {
            Self::Open(open) => open,
            Self::Finished(_) | Self::Running(_) | Self::Stopped(_) | Self::Aborted(_) => {
                let refusal = self.wrong_state(
                    "install pages",
                    "only a CREATED or STAGING launch takes pages; create a new launch",
                );
                return (self, Err(refusal));
            }
        };
        if let Err(refusal) = check_ordering(open.books.ordering, key) {
            return (Self::Open(open), Err(refusal));
        }
        let first_ordinal = open.books.ledger.len();
        let remembered = |rest, applied| Answered {
            key: key.clone(),
            range: extent.range,
            page_type: extent.page_type,
            blank: matches!(extent.source, Source::Blank),
            first_ordinal,
            rest,
            applied,
        };
        match open.install(extent, between) {
            AfterInstall::Applied(mut open, installation) => {
                let rest = installation
                    .in_the_way
                    .and_then(|_| open.books.hash_rest(extent, installation.installed_pages));
                open.books
                    .answers
                    .remember(remembered(rest, Ok(installation)));
                (Self::Open(open), Ok(installation))
            }
            AfterInstall::Refused(open, refusal) => (Self::Open(open), Err(refusal)),
            AfterInstall::Aborted(mut aborted, refusal) => {
                aborted.remember(remembered(None, Err(Box::new(refusal.clone()))));
                (Self::Aborted(aborted), Err(refusal))
            }
        }
    }

    fn same_content(&self, first: &Answered, extent: &Extent<'_>) -> bool {
        let blank = matches!(extent.source, Source::Blank);
        if (first.range, first.page_type, first.blank) != (extent.range, extent.page_type, blank) {
            return false;
        }
        // Of an aborted launch the pages are gone, and with them what could be compared.
        self.books()
            .is_none_or(|books| books.submitted_again(first, extent))
    }

    /// Whether numbers mean anything here. What an aborted launch remembers by number was numbered.
    fn is_sequenced(&self) -> bool {
        self.books()
            .is_none_or(|books| books.ordering == Ordering::Sequenced)
    }

    pub(super) fn answers(&self) -> &super::Answers {
        match self {
            Self::Aborted(Aborted { answers, .. }) => answers,
            Self::Open(Open { books, .. })
            | Self::Finished(Finished {
                open: Open { books, .. },
                ..
            })
            | Self::Running(Running { books, .. })
            | Self::Stopped(Stopped { books, .. }) => &books.answers,
        }
    }
}

fn check_ordering(ordering: Ordering, key: &CallKey) -> Result<(), Refusal> {
    let text = match (ordering, key.sequence) {
        (Ordering::Sequenced, None) => "sequence is required: this launch is SEQUENCED",
        (Ordering::Unordered, Some(_)) => {
            "sequence is set, but this launch is not SEQUENCED; leave it out, or use request_id"
        }
        (Ordering::Sequenced, Some(_)) | (Ordering::Unordered, None) => return Ok(()),
    };
    Err(Refusal::new(Reason::MalformedRequest, text))
}

/// Whether a call is known by what another was known by. A name decides alone: a client that was restarted may know the name of its call
/// and not its number. A number decides unless both calls have names that differ.
fn same_call(key: &CallKey, first: &CallKey) -> bool {
    match (&key.request_id, &first.request_id) {
        (Some(id), Some(known)) => id == known,
        (Some(_), None) | (None, _) => key.sequence == first.sequence,
    }
}

fn other_content(key: &CallKey, first: &Answered) -> Refusal {
    let gpa = first.range.start().gpa();
    let (reason, what) = match (&key.request_id, key.sequence) {
        (Some(id), _) if first.key.request_id.as_ref() == Some(id) => {
            (Reason::RequestIdReused, format!("request_id {id:?}"))
        }
        (_, sequence) => (
            Reason::SequenceConflict,
            format!("sequence {}", sequence.unwrap_or_default()),
        ),
    };
    let text = format!(
        "{what} was applied with other content: {} pages of type {} at GPA {gpa}; use a new one for new content",
        first.range.pages(),
        first.page_type
    );
    Refusal::new(reason, text).at(gpa, first.page_type)
}

impl Books {
    /// Whether `extent`, which has the shape of `first`, holds what `first` submitted.
    fn submitted_again(&self, first: &Answered, extent: &Extent<'_>) -> bool {
        if matches!(extent.page_type, PageType::Secrets | PageType::Unmeasured) {
            return true;
        }
        let installed = first.installed_pages();
        let mut same = 0;
        for run in self.ledger.runs_by_installation(first.first_ordinal) {
            let Some(run) = run.take((installed - same).min(run.range.pages())) else {
                break;
            };
            let equal = self.equal_pages(&run, extent, same);
            same += equal;
            if equal < run.range.pages() {
                break;
            }
        }
        same == installed
            && (first.rest.is_none() || first.rest == self.hash_rest(extent, installed))
    }
}
