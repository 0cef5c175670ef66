//! The end of the world, a disk that is full, and people who move files, between any two steps.

use std::{
    fs,
    io::BufReader,
    os::unix::fs::{PermissionsExt as _, symlink},
    sync::Mutex,
};

use stagepages_audit::{Report, Verifier};

use super::{
    super::place::{CURRENT, Step},
    *,
};

const LIMITS: Limits = Limits {
    file_bytes: 700,
    files: 3,
};

/// Fails at one step, and where the world has ended at every later one.
#[derive(Debug)]
struct Fault {
    left: Mutex<Option<usize>>,
    ends: bool,
    /// In sixteenths: how much of a write that fails is written all the same.
    written: usize,
}

impl Fault {
    fn at(step: usize, ends: bool, written: usize) -> Arc<Self> {
        Arc::new(Self {
            left: Mutex::new(Some(step)),
            ends,
            written,
        })
    }
}

impl Steps for Fault {
    fn before(&self, step: Step, bytes: usize) -> io::Result<usize> {
        let mut left = self.left.lock().unwrap();
        match *left {
            Some(0) => {
                if !self.ends {
                    *left = None;
                }
                // Nothing at all is done once the world has ended.
                if step == Step::Write && self.written > 0 {
                    if self.ends {
                        *left = Some(usize::MAX);
                    }
                    return Ok(bytes * self.written / 16);
                }
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(usize::MAX) => Err(io::ErrorKind::StorageFull.into()),
            Some(more) => {
                *left = Some(more - 1);
                Ok(bytes)
            }
            None => Ok(bytes),
        }
    }
}

fn entry(count: u64) -> Entry {
    Entry {
        count: Some(count),
        ..Entry::new(Event::ImageStored)
    }
}

fn verify(dir: &Path, expected: Option<Head>) -> Report {
    let place = Place::open(dir, Arc::new(Unhindered)).unwrap();
    let mut verifier = Verifier::new(expected);
    let mut names = place.full().unwrap();
    names.push(CURRENT.to_owned());
    for name in names {
        if let Ok(file) = File::open(dir.join(&name)) {
            verifier.file(&name, &mut BufReader::new(file)).unwrap();
        }
    }
    verifier.finish()
}

/// The counts of all records that are there, in their order.
fn counts(dir: &Path) -> Vec<u64> {
    let place = Place::open(dir, Arc::new(Unhindered)).unwrap();
    let mut names = place.full().unwrap();
    names.push(CURRENT.to_owned());
    let mut counts = Vec::new();
    for name in names {
        let text = fs::read_to_string(dir.join(name)).unwrap_or_default();
        let records = text.lines().filter_map(|line| {
            let record: stagepages_audit::Record = serde_json::from_str(line).ok()?;
            record.entry.count
        });
        counts.extend(records);
    }
    counts
}

/// Appends `numbers` one by one, and those that failed again, once. Returns those that were promised to be on the disk.
fn write(log: &mut Log, numbers: std::ops::Range<u64>) -> Vec<u64> {
    numbers
        .filter(|number| {
            let one = entry(*number);
            log.append(&[&one]).is_ok() || log.append(&[&one]).is_ok()
        })
        .collect()
}

#[test]
fn records_are_rotated_and_the_chain_goes_on_across_files_and_daemons() {
    let dir = tempfile::tempdir().unwrap();
    let mut head = None;
    for daemon in 0..4 {
        let mut log = Log::open(dir.path(), LIMITS).unwrap();
        assert_eq!(log.head(), head);
        assert_eq!(write(&mut log, daemon * 5..daemon * 5 + 5).len(), 5);
        head = log.head();
    }
    let report = verify(dir.path(), head);
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.head, head);
    assert_eq!(head.unwrap().seq, 20);
    assert_eq!(report.files, 3);
    assert!(report.first.unwrap() > 1);
    for file in fs::read_dir(dir.path()).unwrap() {
        let found = file.unwrap().metadata().unwrap();
        assert!(found.len() <= LIMITS.file_bytes);
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_crash_at_any_step_loses_nothing_that_was_promised_and_the_chain_goes_on() {
    for written in [0, 1, 8, 15] {
        let mut ended = false;
        for step in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let fault = Fault::at(step, true, written);
            let steps: Arc<dyn Steps> = fault.clone();
            let promised = Log::open_with(dir.path(), LIMITS, steps)
                .map(|mut log| write(&mut log, 0..7))
                .unwrap_or_default();
            if fault
                .left
                .lock()
                .unwrap()
                .is_some_and(|left| left > 0 && left < usize::MAX)
            {
                ended = true;
                break;
            }
            let mut log = Log::open(dir.path(), LIMITS).unwrap();
            assert_eq!(write(&mut log, 100..103).len(), 3, "step {step}");
            let report = verify(dir.path(), log.head());
            assert!(report.is_sound(), "step {step}, {written}: {report:?}");
            assert_eq!(report.torn_end, None);
            let there = counts(dir.path());
            if report.first == Some(1) {
                for number in &promised {
                    assert!(there.contains(number), "step {step}: {number} of {there:?}");
                }
            }
            assert!(there.is_sorted(), "{there:?}");
            assert_eq!(there[there.len() - 3..], [100, 101, 102]);
        }
        assert!(ended);
    }
}

#[test]
fn a_step_that_fails_leaves_no_trace_and_is_taken_again() {
    for written in [0, 8] {
        for step in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let fault = Fault::at(step, false, written);
            let mut log = Log::open_with(dir.path(), LIMITS, fault.clone()).unwrap();
            assert_eq!(write(&mut log, 0..7).len(), 7, "step {step}");
            if fault.left.lock().unwrap().is_some() {
                break;
            }
            let report = verify(dir.path(), log.head());
            assert!(
                report.is_sound() && report.mended == 0,
                "{step}: {report:?}"
            );
            let there = counts(dir.path());
            let mut once = there.clone();
            once.dedup();
            assert_eq!(there, once, "step {step}");
            assert_eq!(there.last(), Some(&6));
        }
    }
}

#[test]
fn what_somebody_else_put_there_is_not_written_to() {
    let refused = |what: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        symlink(elsewhere.path(), dir.path().join("link")).unwrap();
        what(dir.path());
        let error = Log::open(dir.path(), LIMITS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("audit_dir"), "{error}");
        assert_eq!(fs::read(elsewhere.path()).unwrap(), b"");
    };
    let current = |dir: &Path| dir.join(CURRENT);
    let private = |path: &Path| {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    refused(&|dir| fs::rename(dir.join("link"), current(dir)).unwrap());
    refused(&|dir| {
        private(&dir.join("file"));
        fs::hard_link(dir.join("file"), current(dir)).unwrap();
    });
    refused(&|dir| {
        private(&current(dir));
        fs::set_permissions(current(dir), fs::Permissions::from_mode(0o644)).unwrap();
    });
    refused(&|dir| fs::set_permissions(dir, fs::Permissions::from_mode(0o770)).unwrap());
    if rustix::process::geteuid().is_root() {
        refused(&|dir| {
            private(&current(dir));
            std::os::unix::fs::chown(current(dir), Some(1), None).unwrap();
        });
        refused(&|dir| std::os::unix::fs::chown(dir, Some(1), None).unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    symlink(dir.path(), dir.path().join("log")).unwrap();
    Log::open(&dir.path().join("log"), LIMITS).unwrap_err();
}

#[test]
fn a_file_that_was_moved_away_is_missed_and_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), LIMITS).unwrap();
    assert_eq!(write(&mut log, 0..2).len(), 2);
    let moved = dir.path().join("moved");
    fs::rename(dir.path().join(CURRENT), &moved).unwrap();
    let before = fs::read(&moved).unwrap();
    assert_eq!(write(&mut log, 2..4).len(), 2);
    assert_eq!(fs::read(&moved).unwrap(), before);
    let report = verify(dir.path(), log.head());
    assert!(report.is_sound());
    assert_eq!((report.first, report.records), (Some(3), 2));
    // A file that somebody puts in its place is not taken for it.
    fs::remove_file(dir.path().join(CURRENT)).unwrap();
    fs::rename(&moved, dir.path().join(CURRENT)).unwrap();
    assert_eq!(write(&mut log, 4..5), [] as [u64; 0]);
}

#[test]
fn a_file_that_is_no_log_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(CURRENT);
    let junk = "junk\n".repeat(usize::try_from(END).unwrap() / 4);
    fs::write(&path, junk).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let error = Log::open(dir.path(), LIMITS).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}
