//! What happens to a session, and what follows from it for its pieces.
//!
//! **Invariant:** whatever may have been applied without an answer is asked for by its name before it is sent again.

use stagepages_proto::v1::StagePagesResponse;

use super::{Machine, Numbers};
use crate::{
    StagepagesError,
    addr::PAGE_BYTES,
    reason,
    session::{
        fault::{Fault, fault},
        piece::Piece,
    },
    stage::{
        StageEnd,
        judge::{End, Verdict, judge},
    },
};

impl Machine {
    /// The stream's answer to the oldest request on it.
    pub(in crate::session) fn answered(
        &mut self,
        answer: Result<StagePagesResponse, StagepagesError>,
    ) {
        let Some(rest) = self.queue.front().map(|piece| piece.rest) else {
            return self.lost(StagepagesError::bad_answer("an answer to no request"));
        };
        if let Err(error) = &answer {
            match fault(error) {
                Fault::Lost => {
                    self.front(Piece::in_doubt);
                    self.shaken = true;
                    return self.stop_for(error.clone());
                }
                Fault::Later => return self.stop_for(error.clone()),
                Fault::Taken if self.shaken => {
                    // A call of an earlier connection or of a predecessor came late, perhaps this very one.
                    let doubtful = self.queue.iter_mut().filter(|piece| piece.doubt);
                    doubtful.for_each(Piece::in_doubt);
                    if error.reason() == Some(reason::REQUEST_ID_REUSED) {
                        self.front(|piece| piece.name_taken(error.clone()));
                    }
                    return self.stop_for(error.clone());
                }
                Fault::Taken | Fault::Final => {}
            }
        }
        let applied = answer.is_ok();
        let whole = answer.as_ref().is_ok_and(|it| it.stop.is_none());
        let verdict = judge(rest, answer);
        let stopped = !whole || verdict.end.is_some();
        if let (Numbers::Next(next), true) = (self.numbers, applied) {
            self.numbers = Numbers::Next(next + 1);
        }
        self.front(|piece| piece.answered(applied));
        self.settle(0, verdict);
        if stopped {
            self.stop();
            self.window = 1;
        } else {
            self.sent -= 1;
            self.window = (self.window * 2).min(self.widest);
        }
    }

    /// The stream, or the connection under it, is gone with requests unanswered.
    pub(in crate::session) fn lost(&mut self, error: StagepagesError) {
        let sent = self.sent;
        self.queue.iter_mut().take(sent).for_each(Piece::in_doubt);
        self.stop_for(error);
        self.close = Some(0);
        self.shaken = true;
        self.tally.losses += 1;
    }

    /// The stream is ended. `broken` if what came behind its stop was not only NOT_APPLIED.
    pub(in crate::session) fn closed(&mut self, broken: bool) {
        let unanswered = self.close.take().unwrap_or(0);
        if broken {
            // Against the contract; so whatever was on that stream is asked for.
            let all = self.queue.iter_mut().take(unanswered + 1);
            all.for_each(Piece::in_doubt);
        }
    }

    /// The answer that the call of piece `at` got when it was applied.
    pub(in crate::session) fn found(
        &mut self,
        at: usize,
        answer: Result<StagePagesResponse, StagepagesError>,
    ) {
        let Some(piece) = self.queue.get_mut(at) else {
            return;
        };
        // A call that was refused left its name to the one for what lay behind the identical pages that it met. So the pages before the
        // start of the applied one were found identical by a predecessor.
        let before = match &answer {
            Ok(answer) => (answer.installed_pages.checked_mul(PAGE_BYTES))
                .and_then(|bytes| answer.next_gpa.checked_sub(bytes))
                .and_then(|start| start.checked_sub(piece.rest.gpa.bytes()))
                .map_or(0, |bytes| bytes / PAGE_BYTES),
            Err(_) => 0,
        };
        if let (0, Some(error)) = (before, piece.take_refusal()) {
            // Of the same pages, and yet not the same: it is no call of this session.
            return self.end_with(StageEnd::Failed(error));
        }
        if !piece.settled(before) {
            let error = StagepagesError::bad_answer("the answer kept is not of this call");
            return self.end_with(StageEnd::Failed(error));
        }
        self.tally.identical += before;
        let verdict = judge(piece.rest, answer);
        piece.answered(true);
        // A predecessor may have gone on behind its own stop.
        piece.in_doubt();
        self.settle(at, verdict);
    }

    /// No call of the name of piece `at` was applied.
    pub(in crate::session) fn not_found(&mut self, at: usize) {
        if let Some(piece) = self.queue.get_mut(at) {
            piece.ask = false;
        }
    }

    /// Asking, or looking up the number, failed.
    pub(in crate::session) fn failed(&mut self, error: StagepagesError) {
        match fault(&error) {
            Fault::Lost | Fault::Later => self.fault = Some(error),
            Fault::Taken | Fault::Final => self.end_with(StageEnd::Failed(error)),
        }
    }

    /// Takes over what an answer about piece `at` came to.
    fn settle(&mut self, at: usize, verdict: Verdict) {
        let settled = verdict.installed + verdict.identical;
        self.tally.installed += verdict.installed;
        self.tally.identical += verdict.identical;
        self.progressed |= settled > 0;
        if let Some(piece) = self.queue.get_mut(at) {
            let end = piece.rest.gpa.plus_pages(piece.rest.count);
            if let Some(end) = &verdict.end {
                piece.doubt = matches!(end, End::InDoubt(_));
            }
            if !piece.settled(settled) {
                self.queue.remove(at);
                if at == 0 {
                    self.behind = end.unwrap_or(self.behind);
                }
            }
        }
        match verdict.end {
            None => {}
            Some(End::Conflict(page)) => self.end_with(StageEnd::Conflict(page)),
            Some(End::Refused(error) | End::InDoubt(error)) => {
                self.end_with(StageEnd::Failed(error));
            }
        }
    }

    /// The stream has had its stop: nothing of what is unanswered on it was applied.
    fn stop(&mut self) {
        self.close = Some(self.sent.saturating_sub(1));
        self.sent = 0;
    }

    /// The same, because of an error that can be mended.
    fn stop_for(&mut self, error: StagepagesError) {
        self.stop();
        self.fault = Some(error);
        if let Numbers::Next(_) = self.numbers {
            self.numbers = Numbers::Unknown;
        }
    }

    fn front(&mut self, change: impl FnOnce(&mut Piece)) {
        if let Some(piece) = self.queue.front_mut() {
            change(piece);
        }
    }

    pub(super) fn end_with(&mut self, end: StageEnd) {
        self.end.get_or_insert(end);
    }
}
