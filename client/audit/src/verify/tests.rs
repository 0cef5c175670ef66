//! What a verifier finds: every single thing that can be done to a log, at any place of it.

use proptest::prelude::*;

use super::*;
use crate::{Chain, Entry, Event};

/// Records of one log, cut into files.
fn log(files: &[usize]) -> (Vec<Vec<Vec<u8>>>, Chain) {
    let mut chain = Chain::behind(None);
    let mut line = |nth: usize| {
        let mut entry = Entry::new(Event::ALL[nth % Event::ALL.len()]);
        entry.count = Some(nth as u64);
        chain.seal(&entry).unwrap()
    };
    let lines = files
        .iter()
        .map(|count| (0..*count).map(&mut line).collect());
    (lines.collect(), chain)
}

fn verify(files: &[Vec<Vec<u8>>], expected: Option<Head>) -> Report {
    let mut verifier = Verifier::new(expected);
    for (nth, lines) in files.iter().enumerate() {
        let bytes = lines.concat();
        verifier.file(&nth.to_string(), &mut &bytes[..]).unwrap();
    }
    verifier.finish()
}

#[track_caller]
fn found(report: &Report, file: usize, line: usize, kind: &str) {
    let found = report.problems.iter().any(|problem| {
        problem.file == file.to_string()
            && problem.line == line as u64 + 1
            && problem.what.kind() == kind
    });
    assert!(found, "no {kind} at {file}:{}: {report:?}", line + 1);
}

/// Sizes of files, and a place in one of them.
fn place() -> impl Strategy<Value = (Vec<usize>, usize, usize)> {
    proptest::collection::vec(1_usize..6, 1..4).prop_flat_map(|sizes| {
        let files = sizes.len();
        (Just(sizes), 0..files).prop_flat_map(|(sizes, file)| {
            let lines = sizes[file];
            (Just(sizes), Just(file), 0..lines)
        })
    })
}

proptest! {
    #[test]
    fn a_log_as_it_was_written_is_sound_and_its_head_is_told((sizes, _, _) in place()) {
        let (files, chain) = log(&sizes);
        let report = verify(&files, chain.head());
        prop_assert!(report.is_sound(), "{report:?}");
        prop_assert_eq!(report.head, chain.head());
        prop_assert_eq!((report.first, report.records), (Some(1), sizes.iter().sum::<usize>() as u64));
        // Rotation drops the oldest.
        if sizes.len() > 1 {
            let report = verify(&files[1..], chain.head());
            prop_assert!(report.is_sound(), "{report:?}");
            prop_assert_eq!(report.first, Some(sizes[0] as u64 + 1));
        }
    }

    #[test]
    fn a_changed_byte_is_found_where_it_is((sizes, file, line) in place(), at in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        let (mut files, chain) = log(&sizes);
        let bytes = &mut files[file][line];
        let at = at.index(bytes.len());
        let newline = at == bytes.len() - 1;
        bytes[at] ^= flip;
        let made_newline = bytes[at] == b'\n';
        let last = file == sizes.len() - 1 && line == sizes[file] - 1;
        let report = verify(&files, chain.head());
        prop_assert!(!report.is_sound());
        if newline && last {
            // As a crash would leave it; that something is missing is known by the head alone.
            prop_assert_eq!(report.problems[0].what.kind(), "head_missing");
        } else if newline && line == sizes[file] - 1 {
            found(&report, file, line, "cut");
        } else if made_newline {
            prop_assert!(report.problems.iter().any(|it| it.line == line as u64 + 1 || it.line == line as u64 + 2));
        } else {
            found(&report, file, line, "changed");
        }
    }

    #[test]
    fn a_removed_line_is_found_where_it_was((sizes, file, line) in place()) {
        let (mut files, chain) = log(&sizes);
        let all: usize = sizes.iter().sum();
        let nth: usize = sizes[..file].iter().sum::<usize>() + line;
        files[file].remove(line);
        let report = verify(&files, chain.head());
        if nth + 1 == all {
            prop_assert_eq!(report.problems[0].what.kind(), "head_missing");
        } else if nth > 0 {
            let (file, line) = if line < files[file].len() { (file, line) } else { (file + 1, 0) };
            found(&report, file, line, "missing");
        } else {
            // As rotation would leave it.
            prop_assert!(report.is_sound());
            prop_assert_eq!(report.first, Some(2));
        }
    }

    #[test]
    fn two_lines_that_changed_places_are_found(sizes in proptest::collection::vec(2_usize..6, 1..4), at in any::<prop::sample::Index>()) {
        let (mut files, chain) = log(&sizes);
        let file = at.index(sizes.len());
        let line = at.index(sizes[file] - 1);
        files[file].swap(line, line + 1);
        let report = verify(&files, chain.head());
        found(&report, file, line + 1, "misplaced");
    }

    #[test]
    fn a_line_that_is_there_twice_is_found((sizes, file, line) in place()) {
        let (mut files, chain) = log(&sizes);
        let twice = files[file][line].clone();
        files[file].insert(line + 1, twice);
        let report = verify(&files, chain.head());
        found(&report, file, line + 1, "misplaced");
    }

    #[test]
    fn a_record_that_somebody_else_made_is_found((sizes, file, line) in place(), forged in any::<bool>()) {
        let (mut files, chain) = log(&sizes);
        let nth = sizes[..file].iter().sum::<usize>() + line;
        // One with the right number and the right hash of its own, but for another log.
        let before = (nth > 0).then(|| Head { seq: nth as u64, hash: Hash::of(b"another") });
        let made = Chain::behind(before).seal(&Entry::new(Event::LaunchDeleted)).unwrap();
        if forged {
            files[file][line] = made;
        } else {
            files[file].insert(line, made);
        }
        let report = verify(&files, chain.head());
        prop_assert!(!report.is_sound(), "{report:?}");
        if nth > 0 {
            found(&report, file, line, "unchained");
        }
    }

    #[test]
    fn a_line_that_never_was_a_record_is_found((sizes, file, line) in place(), junk in "[^\n]{0,80}") {
        let (mut files, chain) = log(&sizes);
        files[file].insert(line, format!("{junk}\n").into_bytes());
        let report = verify(&files, chain.head());
        found(&report, file, line, "changed");
        prop_assert_eq!(report.problems.len(), 1, "{:?}", report);
    }

    #[test]
    fn an_end_that_was_cut_off_is_known_by_the_head_and_what_is_torn_is_told((sizes, file, line) in place(), keep in any::<prop::sample::Index>()) {
        let (mut files, chain) = log(&sizes);
        files.truncate(file + 1);
        files[file].truncate(line + 1);
        let torn = keep.index(files[file][line].len());
        files[file][line].truncate(torn);
        let report = verify(&files, None);
        prop_assert!(report.is_sound(), "{report:?}");
        prop_assert_eq!(report.torn_end.map_or(0, |end| end.bytes), torn as u64);
        let report = verify(&files, chain.head());
        let [problem] = &report.problems[..] else { panic!("{report:?}") };
        prop_assert_eq!(problem.what.kind(), "head_missing");
    }
}

/// A log whose second daemon found `torn` behind two records.
fn mended(torn: &[u8]) -> (Vec<Vec<u8>>, Chain) {
    let (files, mut chain) = log(&[2]);
    let mut lines = files.concat();
    let mut file = lines.concat();
    file.extend_from_slice(torn);
    let tail = crate::tail(&file);
    let mut closed = torn.to_vec();
    if tail.open {
        closed.push(b'\n');
    }
    lines.push(closed);
    let mut entry = Entry::new(Event::LogMended);
    entry.torn = tail.torn;
    lines.push(chain.seal(&entry).unwrap());
    lines.push(chain.seal(&Entry::new(Event::DaemonStarted)).unwrap());
    (lines, chain)
}

#[test]
fn what_a_crash_left_is_told_from_a_change_by_the_record_that_covers_it() {
    for torn in [
        &b"{\"seq\":3,\"ti"[..],
        b"x",
        b"\0\0\0\0",
        b"\0\0\n\0half\n",
        b"\n",
        b"\n\nx",
    ] {
        let (lines, chain) = mended(torn);
        let report = verify(std::slice::from_ref(&lines), chain.head());
        assert!(report.is_sound() && report.mended == 1, "{report:?}");
        // Neither can be taken away, nor changed, without the other.
        let mut without = lines.clone();
        without.remove(2);
        assert!(!verify(&[without], chain.head()).is_sound(), "{torn:?}");
        let mut other = lines.clone();
        other[2].insert(0, b'y');
        assert!(!verify(&[other], chain.head()).is_sound(), "{torn:?}");
        let mut unsaid = lines;
        unsaid.remove(3);
        assert!(!verify(&[unsaid], chain.head()).is_sound(), "{torn:?}");
    }
}

#[test]
fn an_earlier_head_is_looked_for_where_it_was() {
    let (files, _) = log(&[3]);
    let (early, _) = (verify(&[files[0][..2].to_vec()], None), ());
    let head = early.head.unwrap();
    assert!(verify(&files, Some(head)).is_sound());
    let other = Head {
        hash: Hash::of(b"other"),
        ..head
    };
    found(&verify(&files, Some(other)), 0, 1, "head_differs");
    let behind = verify(&[files[0][2..].to_vec()], Some(head));
    found(&behind, 0, 0, "head_too_old");
    let none = verify(&[vec![]], Some(head));
    assert_eq!(none.problems[0].what.kind(), "head_missing");
}

#[test]
fn a_line_without_end_is_one_problem_and_no_memory() {
    let (files, chain) = log(&[2]);
    let mut bytes = files[0][0].clone();
    bytes.extend(std::iter::repeat_n(b'x', 5 * MAX_LINE));
    bytes.push(b'\n');
    bytes.extend_from_slice(&files[0][1]);
    let report = verify(&[vec![bytes]], chain.head());
    found(&report, 0, 1, "changed");
    assert_eq!(report.problems.len(), 1, "{report:?}");
}

#[test]
fn many_problems_are_counted_and_some_are_told() {
    let junk = vec![b"junk\n".to_vec(); 3 * MOST];
    let report = verify(&[junk], None);
    assert_eq!(report.problems.len(), MOST);
    assert_eq!(report.more, 2 * MOST as u64);
}
