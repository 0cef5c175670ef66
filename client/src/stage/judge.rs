//! What the answer of one call means: how many pages count, and whether to go on. Pure.
//!
//! An answer that contradicts itself or the call is believed in nothing: its pages are in doubt.
//!
//! **Invariant:** a verdict without an end settles at least one page, so whoever goes on behind it comes to an end.

use stagepages_proto::v1::{PageType, StagePagesResponse};

use super::{Conflict, Pages};
use crate::{StagepagesError, addr::Gpa, reason};

/// What one answer came to. `installed + identical` pages from the call's start on are settled.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Pages that the call installed.
    pub(crate) installed: u64,
    /// Pages behind these that are there as wanted.
    pub(crate) identical: u64,
    /// Why not to go on behind them; `None` to go on.
    pub(crate) end: Option<End>,
}

/// Why not to go on.
#[derive(Debug)]
pub(crate) enum End {
    /// A page is installed and differs.
    Conflict(Conflict),
    /// Refused; the count is certain.
    Refused(StagepagesError),
    /// How many of the call's pages are installed is not known.
    InDoubt(StagepagesError),
}

/// The installed page that an answer names.
struct Met {
    page: Conflict,
    identical: bool,
    identical_pages: u64,
}

/// Judges the answer to `call`.
pub(crate) fn judge(call: Pages, answer: Result<StagePagesResponse, StagepagesError>) -> Verdict {
    match answer {
        Ok(answer) => judge_count(call, &answer),
        Err(error) if error.reason() == Some(reason::ALREADY_INSTALLED) => judge_met(
            call,
            0,
            &Met {
                page: Conflict {
                    gpa: error.gpa().unwrap_or(call.gpa),
                    page_type: error.page_type().unwrap_or(PageType::Unspecified),
                },
                // Without a word about the bytes, they are not taken for ours.
                identical: error.identical().unwrap_or(false),
                identical_pages: error.identical_pages().unwrap_or(0),
            },
        ),
        Err(error) => judge_refusal(call, error),
    }
}

fn judge_count(call: Pages, answer: &StagePagesResponse) -> Verdict {
    let installed = answer.installed_pages;
    let next = call.gpa.plus_pages(installed);
    if installed == 0 || installed > call.count || next != Some(Gpa::new(answer.next_gpa)) {
        return contradiction(
            call,
            &format!(
                "{installed} pages installed, next GPA {:#x}",
                answer.next_gpa
            ),
        );
    }
    match &answer.stop {
        None if installed == call.count => Verdict {
            installed,
            identical: 0,
            end: None,
        },
        None => contradiction(
            call,
            &format!("{installed} pages installed, and nothing that stopped it"),
        ),
        Some(stop) => judge_met(
            call,
            installed,
            &Met {
                page: Conflict {
                    gpa: Gpa::new(stop.gpa),
                    page_type: stop.page_type(),
                },
                identical: stop.identical,
                identical_pages: stop.identical_pages,
            },
        ),
    }
}

/// `installed` pages and then an installed one.
fn judge_met(call: Pages, installed: u64, met: &Met) -> Verdict {
    let Some(left) = call
        .behind(installed)
        .filter(|left| left.gpa == met.page.gpa)
    else {
        return contradiction(
            call,
            &format!(
                "{installed} pages installed, stopped at GPA {}",
                met.page.gpa
            ),
        );
    };
    if !met.identical {
        return Verdict {
            installed,
            identical: 0,
            end: Some(End::Conflict(met.page)),
        };
    }
    if met.identical_pages == 0 || met.identical_pages > left.count {
        return contradiction(
            call,
            &format!(
                "{} identical pages from GPA {} on",
                met.identical_pages, met.page.gpa
            ),
        );
    }
    Verdict {
        installed,
        identical: met.identical_pages,
        end: None,
    }
}

fn judge_refusal(call: Pages, error: StagepagesError) -> Verdict {
    let open = error.reason().is_none_or(reason::leaves_count_open);
    let nothing = error
        .reason()
        .is_some_and(reason::installed_nothing)
        .then_some(0);
    match error.installed_pages().or(nothing) {
        Some(installed) if !open && installed <= call.count => Verdict {
            installed,
            identical: 0,
            end: Some(End::Refused(error)),
        },
        _ => Verdict {
            installed: 0,
            identical: 0,
            end: Some(End::InDoubt(error)),
        },
    }
}

fn contradiction(call: Pages, said: &str) -> Verdict {
    let message = format!(
        "the daemon's answer contradicts the call of {} pages at GPA {}: {said}",
        call.count, call.gpa
    );
    Verdict {
        installed: 0,
        identical: 0,
        end: Some(End::InDoubt(StagepagesError::bad_answer(message))),
    }
}

#[cfg(test)]
mod tests {
    use stagepages_proto::v1::StageStop;
    use tonic::{Code, Status};

    use super::*;

    const CALL: Pages = Pages {
        gpa: Gpa::new(0x10000),
        count: 8,
    };

    fn ok(
        installed: u64,
        stop: Option<(u64, bool, u64)>,
    ) -> Result<StagePagesResponse, StagepagesError> {
        Ok(StagePagesResponse {
            installed_pages: installed,
            next_gpa: installed.wrapping_mul(4096).wrapping_add(0x10000),
            stop: stop.map(|(gpa, identical, identical_pages)| StageStop {
                gpa,
                page_type: PageType::Normal.into(),
                identical,
                identical_pages,
            }),
        })
    }

    fn refused(
        reason: &str,
        metadata: &[(&'static str, &str)],
    ) -> Result<StagePagesResponse, StagepagesError> {
        Err(StagepagesError::refused_here(
            Code::Internal,
            reason,
            "refused".into(),
            metadata
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned())),
        ))
    }

    /// installed, identical, and a letter for the end: `+` go on, `C`onflict, `R`efused, in `D`oubt.
    fn told(answer: Result<StagePagesResponse, StagepagesError>) -> (u64, u64, char) {
        let verdict = judge(CALL, answer);
        let end = match verdict.end {
            None => '+',
            Some(End::Conflict(_)) => 'C',
            Some(End::Refused(_)) => 'R',
            Some(End::InDoubt(_)) => 'D',
        };
        (verdict.installed, verdict.identical, end)
    }

    #[test]
    fn a_whole_count_goes_on() {
        assert_eq!(told(ok(8, None)), (8, 0, '+'));
    }

    #[test]
    fn a_short_count_before_identical_pages_goes_on_behind_them() {
        assert_eq!(told(ok(3, Some((0x13000, true, 5)))), (3, 5, '+'));
        assert_eq!(told(ok(3, Some((0x13000, true, 2)))), (3, 2, '+'));
    }

    #[test]
    fn a_short_count_before_a_differing_page_is_a_conflict_and_keeps_its_count() {
        let verdict = judge(CALL, ok(3, Some((0x13000, false, 0))));
        assert_eq!(verdict.installed, 3);
        assert!(
            matches!(verdict.end, Some(End::Conflict(Conflict { gpa, page_type: PageType::Normal })) if gpa == Gpa::new(0x13000))
        );
    }

    #[test]
    fn already_installed_is_judged_like_a_short_count_of_none() {
        let met = |identical, pages| {
            refused(
                reason::ALREADY_INSTALLED,
                &[
                    ("gpa", "0x10000"),
                    ("identical", identical),
                    ("identical_pages", pages),
                ],
            )
        };
        assert_eq!(told(met("true", "8")), (0, 8, '+'));
        assert_eq!(told(met("true", "1")), (0, 1, '+'));
        assert_eq!(told(met("false", "0")), (0, 0, 'C'));
        assert_eq!(told(refused(reason::ALREADY_INSTALLED, &[])), (0, 0, 'C'));
    }

    #[test]
    fn a_refusal_keeps_the_count_that_it_carries() {
        assert_eq!(
            told(refused(
                reason::FIRMWARE_REFUSED,
                &[("installed_pages", "5")]
            )),
            (5, 0, 'R')
        );
        assert_eq!(
            told(refused(
                reason::ABORTED_DURING_CALL,
                &[("installed_pages", "8")]
            )),
            (8, 0, 'R')
        );
    }

    #[test]
    fn a_refusal_that_promises_no_effect_counts_none() {
        assert_eq!(told(refused(reason::QUEUE_FULL, &[])), (0, 0, 'R'));
        assert_eq!(told(refused(reason::OUTSIDE_MEMORY, &[])), (0, 0, 'R'));
    }

    #[test]
    fn a_count_that_nobody_gave_is_in_doubt() {
        assert_eq!(
            told(Err(Status::unavailable("connection reset").into())),
            (0, 0, 'D')
        );
        assert_eq!(told(refused(reason::HOST_DIED, &[])), (0, 0, 'D'));
        assert_eq!(told(refused("A_REASON_OF_TOMORROW", &[])), (0, 0, 'D'));
    }

    #[test]
    fn a_count_that_can_still_grow_is_in_doubt() {
        assert_eq!(
            told(refused(
                reason::DEADLINE_EXPIRED,
                &[("installed_pages", "5")]
            )),
            (0, 0, 'D')
        );
        assert_eq!(
            told(refused(
                reason::HOST_UNREACHABLE,
                &[("installed_pages", "0")]
            )),
            (0, 0, 'D')
        );
    }

    #[test]
    fn an_answer_that_contradicts_the_call_counts_nothing() {
        let misplaced = StagePagesResponse {
            installed_pages: 8,
            next_gpa: 0x10000,
            stop: None,
        };
        for answer in [
            ok(0, None),
            ok(9, None),
            ok(7, None),
            ok(u64::MAX >> 12, None),
            Ok(misplaced),
            ok(8, Some((0x18000, true, 1))),
            ok(3, Some((0x14000, true, 1))),
            ok(3, Some((0x13000, true, 0))),
            ok(3, Some((0x13000, true, 6))),
            refused(
                reason::ALREADY_INSTALLED,
                &[
                    ("gpa", "0x11000"),
                    ("identical", "true"),
                    ("identical_pages", "1"),
                ],
            ),
            refused(reason::FIRMWARE_REFUSED, &[("installed_pages", "9")]),
        ] {
            let shown = format!("{answer:?}");
            assert_eq!(told(answer), (0, 0, 'D'), "{shown}");
        }
    }
}
