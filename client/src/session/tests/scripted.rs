//! Single stories, told step by step.

use stagepages_proto::v1::{PageType, StagePagesResponse, StageStop};
use tonic::Status;

use super::host::refusal;
use crate::{
    LaunchRef, StagepagesError,
    addr::Gpa,
    reason,
    session::{
        SessionName,
        machine::{Action, Machine, Numbers},
        name::CutName,
        piece::Piece,
    },
    stage::{Pages, StageEnd, content::Content},
};

/// Pieces of 4 pages each, from 0 on.
fn machine(numbers: Numbers, pieces: u64) -> Machine {
    let mut machine = Machine::new(Gpa::new(0), numbers, 8, false);
    let name: SessionName = "s".parse().unwrap();
    for nth in 0..pieces {
        let cut = Pages {
            gpa: Gpa::new(nth * 0x4000),
            count: 4,
        };
        let data = Content::Data(vec![7; 0x4000].into());
        let cut_name = CutName::new(&name, cut, PageType::Normal, &data);
        let piece = Piece::new(cut_name, PageType::Normal, cut, data, false);
        machine.push(piece);
    }
    machine.exhausted();
    machine
}

/// Sends all that may be sent: address, pages, number and name of each.
fn send(machine: &mut Machine) -> Vec<(u64, usize, Option<u64>, String)> {
    let mut sent = Vec::new();
    while machine.next() == Action::Send {
        let request = machine.send(&LaunchRef::from("vm")).unwrap();
        let pages = request.data.unwrap().len() / 4096;
        sent.push((request.gpa, pages, request.sequence, request.request_id));
    }
    sent
}

fn whole(gpa: u64) -> Result<StagePagesResponse, StagepagesError> {
    Ok(StagePagesResponse {
        installed_pages: 4,
        next_gpa: gpa + 0x4000,
        stop: None,
    })
}

fn short(gpa: u64, installed: u64, identical_pages: u64) -> StagePagesResponse {
    let next_gpa = gpa + installed * 4096;
    StagePagesResponse {
        installed_pages: installed,
        next_gpa,
        stop: Some(StageStop {
            gpa: next_gpa,
            page_type: PageType::Normal.into(),
            identical: identical_pages > 0,
            identical_pages,
        }),
    }
}

fn lost() -> StagepagesError {
    Status::unavailable("connection reset").into()
}

#[test]
fn everything_is_sent_before_the_first_answer_and_counted_once() {
    let mut machine = machine(Numbers::Next(7), 3);
    let sent = send(&mut machine);
    let numbers: Vec<_> = sent.iter().map(|it| (it.0, it.2)).collect();
    assert_eq!(
        numbers,
        [(0, Some(7)), (0x4000, Some(8)), (0x8000, Some(9))]
    );
    for gpa in [0, 0x4000, 0x8000] {
        assert_eq!(machine.next(), Action::Await);
        machine.answered(whole(gpa));
    }
    assert_eq!(machine.next(), Action::Over);
    assert_eq!((machine.tally().installed, machine.tally().calls), (12, 3));
    assert!(matches!(machine.into_end(), StageEnd::Complete));
}

#[test]
fn behind_a_stop_the_rest_comes_first_under_the_next_name_and_number() {
    let mut machine = machine(Numbers::Next(0), 2);
    let first = send(&mut machine);
    machine.answered(Ok(short(0, 1, 2)));
    assert_eq!(machine.next(), Action::Close { unanswered: 1 });
    machine.closed(false);
    let rest = send(&mut machine);
    assert_eq!((rest[0].0, rest[0].1, rest[0].2), (0x3000, 1, Some(1)));
    assert_ne!(rest[0].3, first[0].3, "the first name was applied");
    assert_eq!(rest.len(), 1, "one at a time behind a stop");
    machine.answered(Ok(StagePagesResponse {
        installed_pages: 1,
        next_gpa: 0x4000,
        stop: None,
    }));
    let next = send(&mut machine);
    assert_eq!((next[0].0, next[0].2), (0x4000, Some(2)));
    assert_eq!(next[0].3, first[1].3, "what was not applied keeps its name");
    assert_eq!(
        (machine.tally().installed, machine.tally().identical),
        (2, 2)
    );
}

#[test]
fn a_refused_call_leaves_its_name_and_number_to_the_rest() {
    let mut machine = machine(Numbers::Next(0), 1);
    let first = send(&mut machine);
    let metadata = [
        ("gpa", "0x0".to_owned()),
        ("identical", "true".to_owned()),
        ("identical_pages", "3".to_owned()),
    ];
    machine.answered(Err(refusal(reason::ALREADY_INSTALLED, &metadata)));
    machine.closed(false);
    let rest = send(&mut machine);
    assert_eq!((rest[0].0, rest[0].2), (0x3000, Some(0)));
    assert_eq!(rest[0].3, first[0].3);
}

#[test]
fn after_a_loss_everything_sent_is_asked_for_before_anything_is_sent() {
    let mut machine = machine(Numbers::None, 3);
    send(&mut machine);
    machine.answered(whole(0));
    machine.lost(lost());
    machine.closed(false);
    assert_eq!(machine.next(), Action::Pause);
    machine.resume();
    assert_eq!(machine.next(), Action::Ask(0));
    machine.found(0, whole(0x4000));
    assert_eq!(machine.next(), Action::Ask(0));
    machine.not_found(0);
    assert_eq!(send(&mut machine)[0].0, 0x8000);
    machine.answered(whole(0x8000));
    assert_eq!(machine.next(), Action::Over);
    let tally = machine.tally();
    assert_eq!((tally.installed, tally.calls, tally.losses), (12, 4, 1));
}

#[test]
fn a_found_answer_tells_what_a_predecessor_stepped_over() {
    let mut machine = machine(Numbers::None, 1);
    send(&mut machine);
    machine.lost(lost());
    machine.closed(false);
    machine.resume();
    // Two identical pages, then one installed, then one identical.
    machine.found(0, Ok(short(0x2000, 1, 1)));
    assert_eq!(machine.next(), Action::Over);
    assert_eq!(
        (machine.tally().installed, machine.tally().identical),
        (1, 3)
    );
}

#[test]
fn an_answer_kept_for_something_else_is_believed_in_nothing() {
    for answer in [
        short(0x4000, 1, 1),
        StagePagesResponse {
            installed_pages: 4,
            next_gpa: 0x5000,
            stop: None,
        },
        StagePagesResponse {
            installed_pages: u64::MAX,
            next_gpa: 0,
            stop: None,
        },
    ] {
        let mut machine = machine(Numbers::None, 1);
        send(&mut machine);
        machine.lost(lost());
        machine.closed(false);
        machine.resume();
        machine.found(0, Ok(answer));
        assert_eq!(
            (machine.next(), machine.tally().installed),
            (Action::Over, 0)
        );
        assert!(matches!(machine.into_end(), StageEnd::Failed(_)));
    }
}

#[test]
fn given_up_what_was_sent_is_in_doubt_and_nothing_else() {
    let mut machine = machine(Numbers::None, 3);
    machine.send(&LaunchRef::from("vm")).unwrap();
    machine.send(&LaunchRef::from("vm")).unwrap();
    machine.lost(lost());
    machine.closed(false);
    machine.give_up();
    assert_eq!(machine.next(), Action::Over);
    let doubt = Pages {
        gpa: Gpa::new(0),
        count: 8,
    };
    assert_eq!(machine.in_doubt(), [doubt]);
    assert_eq!(machine.next_gpa(), Gpa::new(0));
}

#[test]
fn a_conflict_ends_it_and_leaves_nothing_in_doubt() {
    let mut machine = machine(Numbers::None, 3);
    send(&mut machine);
    machine.answered(whole(0));
    machine.answered(Ok(short(0x4000, 3, 0)));
    assert_eq!(machine.next(), Action::Close { unanswered: 1 });
    machine.closed(false);
    assert_eq!(machine.next(), Action::Over);
    assert_eq!(
        (machine.tally().installed, machine.next_gpa()),
        (7, Gpa::new(0x7000))
    );
    assert!(machine.in_doubt().is_empty());
    assert!(matches!(machine.into_end(), StageEnd::Conflict(page) if page.gpa == Gpa::new(0x7000)));
}

#[test]
fn somebody_elses_number_is_an_error_unless_a_late_call_explains_it() {
    let mut undisturbed = machine(Numbers::Next(0), 1);
    send(&mut undisturbed);
    undisturbed.answered(Err(refusal(reason::OUT_OF_SEQUENCE, &[])));
    undisturbed.closed(false);
    assert_eq!(undisturbed.next(), Action::Over);

    let mut shaken = machine(Numbers::Next(0), 1);
    send(&mut shaken);
    shaken.lost(lost());
    shaken.closed(false);
    shaken.resume();
    shaken.not_found(0);
    assert_eq!(shaken.next(), Action::Number);
    shaken.numbered(0);
    send(&mut shaken);
    shaken.answered(Err(refusal(reason::OUT_OF_SEQUENCE, &[])));
    shaken.closed(false);
    assert_eq!(shaken.next(), Action::Pause);
    shaken.resume();
    assert_eq!(shaken.next(), Action::Ask(0));
}

#[test]
fn a_name_that_a_late_call_of_a_predecessor_took_is_found_and_anybody_elses_is_an_error() {
    for (found, complete) in [(short(0x1000, 3, 0), true), (short(0, 4, 0), false)] {
        let answer = StagePagesResponse {
            stop: None,
            ..found
        };
        let mut machine = machine(Numbers::None, 1);
        send(&mut machine);
        machine.lost(lost());
        machine.closed(false);
        machine.resume();
        machine.not_found(0);
        send(&mut machine);
        machine.answered(Err(refusal(reason::REQUEST_ID_REUSED, &[])));
        machine.closed(false);
        machine.resume();
        assert_eq!(machine.next(), Action::Ask(0));
        machine.found(0, Ok(answer));
        assert_eq!(machine.next(), Action::Over);
        let tally = machine.tally();
        let counts = if complete { (3, 1) } else { (0, 0) };
        assert_eq!((tally.installed, tally.identical), counts);
        assert_eq!(matches!(machine.into_end(), StageEnd::Complete), complete);
    }
}

#[test]
fn a_broken_stop_rule_is_asked_about() {
    let mut machine = machine(Numbers::None, 2);
    send(&mut machine);
    machine.answered(Ok(short(0, 1, 1)));
    machine.closed(true);
    assert_eq!(machine.next(), Action::Ask(0));
}

#[test]
fn an_unreadable_source_still_counts_what_was_sent() {
    let mut machine = machine(Numbers::None, 1);
    machine.unreadable(std::io::ErrorKind::UnexpectedEof.into());
    send(&mut machine);
    assert_eq!(machine.next(), Action::Await);
    machine.answered(whole(0));
    assert_eq!(
        (machine.next(), machine.tally().installed),
        (Action::Over, 4)
    );
    assert!(matches!(machine.into_end(), StageEnd::Unreadable(_)));
}
