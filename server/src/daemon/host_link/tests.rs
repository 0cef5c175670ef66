//! What a link does when callers leave, and when it ends.

use std::{sync::atomic::AtomicU32, time::Duration};

use stagepages_host::protocol::{Abort, Done, Snapshot as Told};
use tokio::time::timeout;

use super::*;

fn reply(id: u64, pages: u64) -> Vec<u8> {
    let snapshot = Told {
        state: 2,
        installed_pages: pages,
        ..Told::default()
    };
    let response = Response {
        id,
        snapshot: Some(snapshot),
        outcome: Some(Outcome::Done(Done::default())),
    };
    wire::encode(&Reply {
        message: Some(Message::Response(response)),
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_is_to_read_outlives_the_link_and_not_the_answer() {
    use std::os::unix::fs::FileExt as _;

    let (ours, host) = SeqSocket::pair().unwrap();
    let read = |memory: &std::fs::File| {
        let mut page = [0; 4096];
        memory.read_exact_at(&mut page, 0).unwrap();
        page[0]
    };
    let link = HostLink::start(ours, |_| {}).unwrap();
    let mut posted = Vec::new();
    for fill in [1, 2] {
        // Of a launch each: closing it gives back all that no host may read.
        let staging = crate::daemon::Staging::new().unwrap();
        let memory = staging.file().try_clone().unwrap();
        let mut slot = staging.slot().await.unwrap();
        slot.write(&[fill; 4096]).unwrap();
        let command = Command::Abort(Abort::default());
        posted.push((memory, link.post(command, &[], Some(slot)).await.unwrap()));
    }
    let (answered, left) = (posted.remove(0), posted.remove(0));
    host.send(&reply(1, 1), &[]).unwrap();
    answered.1.answer().await.unwrap();
    link.close();
    link.lost().await;
    // As at the end of the daemon.
    drop((link, left.1));
    let gone = async {
        while read(&answered.0) != 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), gone).await.unwrap();
    assert_eq!(read(&left.0), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_left_loses_no_snapshot_and_the_others_get_their_answers() {
    let (ours, host) = SeqSocket::pair().unwrap();
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let link = HostLink::start(ours, move |told| {
        if matches!(told, super::Told::Snapshot(_)) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    })
    .unwrap();

    let left = tokio::spawn({
        let link = link.clone();
        async move { link.call(Command::Abort(Abort::default()), &[], None).await }
    });
    let host = tokio::task::block_in_place(|| {
        let frame = host.recv().unwrap().unwrap();
        assert_eq!(wire::decode::<Request>(&frame.bytes).unwrap().id, 1);
        host
    });
    left.abort();
    let stayed = tokio::spawn({
        let link = link.clone();
        async move { link.call(Command::Abort(Abort::default()), &[], None).await }
    });
    tokio::task::block_in_place(|| host.recv().unwrap().unwrap());
    host.send(&reply(1, 1), &[]).unwrap();
    host.send(&reply(2, 2), &[]).unwrap();
    let answer = stayed.await.unwrap().unwrap();
    assert_eq!(answer.snapshot.unwrap().installed_pages, 2);
    assert_eq!(seen.load(Ordering::SeqCst), 2);

    drop(host);
    link.lost().await;
    assert_eq!(
        link.call(Command::Abort(Abort::default()), &[], None)
            .await
            .unwrap_err(),
        LinkLost
    );
}
