//! Slow, giant and many requests.

use stagepages_tests::{Daemon, DaemonOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::site::{Open, connect, entry, get, look, talk, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let mut silent = connect(&daemon).await;
    let mut slow = connect(&daemon).await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: local")
        .await
        .unwrap();
    let mut kept = connect(&daemon).await;
    let request = get("/").replace("Connection: close\r\n", "");
    kept.write_all(request.as_bytes()).await.unwrap();
    look(&daemon, "/").await.ok();
    let mut end = Vec::new();
    // Each ends by the daemon's doing; the last after its answer.
    silent.read_to_end(&mut end).await.unwrap();
    slow.read_to_end(&mut end).await.unwrap();
    let mut answer = Vec::new();
    kept.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    look(&daemon, "/").await.ok();
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn giants_are_refused_or_cut_off() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let long = "a".repeat(1 << 20);
    let many: String = (0..1000).map(|nth| format!("X-{nth}: 1\r\n")).collect();
    let head = |more: &str| format!("GET / HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    for request in [
        get(&format!("/{long}")),
        get(&format!("/?launches={}", &long[..4000])),
        head(&format!("X: {long}\r\n")),
        head(&many),
        head("Host: again\r\n"),
        "garbage\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let answer = talk(connect(&daemon).await, &request).await;
        assert!(
            answer
                .as_ref()
                .is_none_or(|answer| (400..500).contains(&answer.status)),
            "{answer:?}"
        );
    }
    // A body is not read: the connection ends instead.
    let posted = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{long}",
        u64::MAX / 2
    );
    let answer = talk(connect(&daemon).await, &posted).await;
    assert!(answer.is_none_or(|answer| answer.status == 405));
    look(&daemon, "/").await.ok();
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reader_leaves_room_for_others() {
    let policy = entry(2001, "blue", "viewer") + &entry(2002, "blue", "viewer");
    let open = Open::start(Some(&policy), DaemonOptions::new());
    let held: Vec<_> = (0..200).map(|_| open.connect(user(2001))).collect();
    open.look(user(2002), "/").await.ok();
    drop(held);
    // Too often is not answered either, and is forgiven.
    let mut refused = 0;
    for _ in 0..500 {
        let answer = open.look(user(2002), "/launches/x").await;
        assert!(matches!(answer.status, 404 | 429), "{answer:?}");
        refused += u32::from(answer.status == 429);
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 3, "500 requests on end were answered");
    stagepages_tests::eventually("an answer again", async || {
        let page = open.look(user(2002), "/").await;
        (page.status == 200).then_some(())
    })
    .await;
    open.daemon.stop();
}
