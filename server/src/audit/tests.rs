//! What a handle promises while the disk comes and goes.

use std::{fs, os::unix::fs::PermissionsExt as _};

use stagepages_audit::{Record, Who};

use super::*;

const LIMITS: Limits = Limits {
    file_bytes: 1 << 20,
    files: 2,
};

fn open(dir: &Path) -> (Audit, Writing) {
    Audit::open(dir, LIMITS, Daemon::default()).unwrap()
}

fn end(audit: &Audit, writing: Writing) {
    audit.close();
    assert!(writing.end(Duration::from_secs(60)));
}

fn records(dir: &Path) -> Vec<Record> {
    let text = fs::read_to_string(dir.join("audit.jsonl")).unwrap();
    let record = |line| serde_json::from_str(line).unwrap();
    text.lines().map(record).collect()
}

fn events(dir: &Path) -> Vec<Event> {
    records(dir).iter().map(|it| it.entry.event).collect()
}

#[tokio::test]
async fn what_was_told_is_written_before_the_end_and_what_was_made_sure_of_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, writing) = open(dir.path());
    audit
        .make_sure(Entry::new(Event::LaunchCreated))
        .await
        .unwrap();
    assert_eq!(
        events(dir.path()),
        [Event::DaemonStarted, Event::LaunchCreated]
    );
    for _ in 0..1000 {
        audit.daemon(Event::DaemonDraining);
    }
    end(&audit, writing);
    assert_eq!(events(dir.path()).len(), 1002);
}

#[tokio::test]
async fn while_nothing_can_be_written_creations_are_refused_and_the_rest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, writing) = open(dir.path());
    let created = || audit.make_sure(Entry::new(Event::LaunchCreated));
    created().await.unwrap();
    // Another file in the place of the log: nothing that root may write to all the same.
    let path = dir.path().join("audit.jsonl");
    let moved = dir.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    fs::write(&path, "not a log").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = created().await.unwrap_err();
    assert!(refused.to_string().contains("audit.jsonl"), "{refused}");
    audit.daemon(Event::DaemonDraining);
    audit.writable().unwrap_err();
    created().await.unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"not a log");
    // Put right, it goes on by itself.
    fs::remove_file(&path).unwrap();
    let recovered = async {
        while audit.writable().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), recovered)
        .await
        .unwrap();
    created().await.unwrap();
    end(&audit, writing);
    assert_eq!(
        events(dir.path()),
        [
            Event::LogResumed,
            Event::DaemonDraining,
            Event::LaunchCreated
        ]
    );
}

#[tokio::test]
async fn refused_calls_are_told_up_to_a_bound_and_counted_beyond() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, writing) = open(dir.path());
    for nth in 0..5000 {
        let who = Who {
            identity: format!("uid:{}", nth % 4),
            tenant: String::new(),
            address: String::new(),
            method: String::new(),
            request: String::new(),
        };
        audit.refuse(Entry {
            who: Some(who),
            outcome: "PERMISSION".to_owned(),
            ..Entry::new(Event::CallRefused)
        });
    }
    end(&audit, writing);
    let records = records(dir.path());
    let told = records
        .iter()
        .filter(|it| it.entry.event == Event::CallRefused)
        .count();
    assert_eq!(told, 20);
    let last = &records.last().unwrap().entry;
    assert_eq!(
        (last.event, last.count),
        (Event::CallsSuppressed, Some(4980))
    );
    assert_eq!(last.suppressed.len(), 4);
}

#[tokio::test]
async fn states_that_the_log_has_are_known_to_the_next_daemon_until_the_launch_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, writing) = open(dir.path());
    let tell = |event, uid: &str| {
        audit.tell(Entry {
            launch: Some(stagepages_audit::Launch {
                uid: uid.to_owned(),
                ..stagepages_audit::Launch::default()
            }),
            ..Entry::new(event)
        });
    };
    for (event, uid) in [
        (Event::LaunchCreated, "a"),
        (Event::LaunchCreated, "b"),
        (Event::LaunchAborted, "a"),
        (Event::LaunchDeleted, "a"),
        (Event::LaunchStaging, "b"),
        (Event::LaunchAdopted, "c"),
    ] {
        tell(event, uid);
    }
    end(&audit, writing);
    let (audit, writing) = open(dir.path());
    let mut expected = States::default();
    assert_eq!(audit.known("a"), expected);
    assert_eq!(audit.known("c"), expected);
    for state in [
        stagepages_host::launch::State::Created,
        stagepages_host::launch::State::Staging,
    ] {
        assert!(expected.insert(state));
    }
    assert_eq!(audit.known("b"), expected);
    end(&audit, writing);
}
