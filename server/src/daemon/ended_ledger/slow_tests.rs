//! A disk with much to do costs time and no ledger.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use stagepages_host::platform::PlatformKind;
use stagepages_proto::v1;

use super::{
    Fate, Ledgers, NotKept,
    copy::{LONGEST, ON_RECORD},
    format::Note,
    place::Place,
    store::{MOST_DRAFTS, MOST_READERS},
};
use crate::daemon::{
    HostLink, Launch, Records, Status,
    launch::{Identity, Origin, Parts},
    supervisor_link::SupervisorLink,
};

const UID: &str = "00112233445566778899aabbccddeeff";

/// A launch without pages whose host is gone.
fn launch(records: Records, ledgers: Ledgers) -> Arc<Launch> {
    let identity = Identity {
        tenant: crate::auth::Tenant::local(),
        id: "vm".to_owned(),
        uid: UID.to_owned(),
        sequence: 1,
        asked: v1::LaunchSpec::default(),
        spec: v1::LaunchSpec::default(),
        platform: PlatformKind::Sim,
        created: SystemTime::UNIX_EPOCH,
        max_pending_calls: 1,
        lease: Duration::from_secs(1),
    };
    let parts = Parts {
        staging: None,
        link: HostLink::gone(),
        child: None,
        status: tokio::sync::watch::Sender::new(Status::fresh()),
        console: Arc::default(),
        remembered: Arc::default(),
        told_all: tokio_util::sync::CancellationToken::new(),
        finish: None,
        ledger: None,
        origin: Origin::Made,
        supervisor: SupervisorLink::to_nobody().unwrap(),
        records,
        ledgers,
        seat: None,
        audit: crate::audit::Audit::off(),
        metrics: crate::metrics::Metrics::new(1),
    };
    Launch::new(identity, parts)
}

fn ledgers(dir: &Path) -> Ledgers {
    let recorded = BTreeSet::from([UID.to_owned()]);
    Ledgers::open(dir, 1 << 20, &recorded).unwrap().0
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_waits_behind_other_records_for_too_long_stays_and_goes_on_record_later() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledgers").join(UID);
    fs::create_dir(dir.path().join("ledgers")).unwrap();
    fs::create_dir(dir.path().join("launches")).unwrap();
    fs::write(&file, "its ledger").unwrap();
    let (records, hold) = Records::held(&dir.path().join("launches")).unwrap();
    let launch = launch(records, ledgers(&dir.path().join("ledgers")));
    let kept = Fate {
        kept: Some(Note::default()),
        missing: String::new(),
    };
    launch.keep_ledger().await;
    assert_eq!(launch.ledger.fate(), Some(kept.clone()));
    assert!(file.exists());
    drop(hold);
    launch.keep_end().await;
    let (_, found, _) = Records::open(&dir.path().join("launches")).unwrap();
    assert_eq!(found[0].ledger, Some(kept));
}

#[tokio::test(start_paused = true)]
async fn a_host_is_needed_while_records_wait_but_not_for_ever() {
    let place = Place::new(None);
    assert!(!place.needs_host());
    place.hold(ON_RECORD);
    assert!(place.needs_host());
    tokio::time::advance(ON_RECORD).await;
    assert!(!place.needs_host());
    place.hold(ON_RECORD);
    place.let_go();
    assert!(!place.needs_host());
    assert!(place.begin() && place.needs_host());
    place.settle(Fate::missing("no"));
    assert!(!place.needs_host());
}

#[tokio::test(start_paused = true)]
async fn a_launch_waits_for_its_turn_longer_than_a_ledger_takes_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (records, _hold) = Records::held(dir.path()).unwrap();
    let ledgers = ledgers(&dir.path().join("ledgers"));
    let launch = launch(records, ledgers.clone());
    let mut turns = Vec::new();
    for _ in 0..MOST_DRAFTS {
        turns.push(ledgers.turn().await.unwrap());
    }
    let why = launch.ledger_turn().await.unwrap_err();
    assert!(why.contains("before its turn"), "{why}");
    let others = async {
        tokio::time::sleep(2 * LONGEST).await;
        turns.clear();
    };
    let (turn, ()) = tokio::join!(launch.ledger_turn(), others);
    drop(turn.unwrap());
}

#[tokio::test]
async fn a_file_that_comes_after_it_was_given_up_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = ledgers(&dir.path().join("ledgers"));
    let (records, _, _) = Records::open(&dir.path().join("launches")).unwrap();
    let launch = launch(records, ledgers.clone());
    launch
        .status
        .send_modify(|status| status.snapshot.installed_pages = 1);
    let file = dir.path().join("ledgers").join(UID);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (put, writer) = (file.clone(), ledgers.writer().clone());
    let late = tokio::spawn(async move {
        let work = move || {
            held.recv().unwrap_err();
            fs::write(put, "its ledger")
        };
        writer.run(work).await
    });
    tokio::task::yield_now().await;
    launch.keep_ledger().await;
    assert_eq!(launch.ledger.fate().unwrap().kept, None);
    assert!(!file.exists());
    drop(release);
    late.await.unwrap().unwrap();
    // Behind the removal.
    ledgers.writer().run(|| Ok(())).await.unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn who_reads_a_ledger_while_others_do_is_told_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = ledgers(dir.path());
    let mut others = Vec::new();
    for _ in 0..MOST_READERS {
        others.push(ledgers.read(UID, Note::default()).await.unwrap());
    }
    // Only here: a clock that is moved would not wait for the thread that reads.
    tokio::time::pause();
    let error = ledgers.read(UID, Note::default()).await.unwrap_err();
    tokio::time::resume();
    assert!(matches!(error.into(), NotKept::Busy));
    others.clear();
    ledgers.read(UID, Note::default()).await.unwrap();
}
