//! A write that is cut off by a crash: afterwards the image is whole or absent, and the write goes on where it was.

use std::time::Duration;

use stagepages_proto::v1::{LedgerOrder, Platform};
use stagepages_tests::{Bench, Contents, DaemonOptions, PAGE, ledger, page_hashes, say};
use tokio_stream::wrappers::ReceiverStream;

use super::desk::{Desk, MESSAGE, Subject, stage};

/// Rounds of a usual run.
const ROUNDS: u64 = 6;

/// Daemons that one supervisor loses: it waits longer for each next one, and gives up after ten that died within a minute.
const DEATHS: u64 = 4;

fn rounds() -> u64 {
    let given = std::env::var("STAGEPAGES_ROUNDS").ok();
    given.map_or(ROUNDS, |rounds| {
        rounds.parse().expect("STAGEPAGES_ROUNDS is a number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_a_write_leaves_the_image_whole_or_absent() {
    let options = DaemonOptions::new();
    let mut bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let mut random = Contents::new(0x1_3a6e);
    let (mut whole, mut resumed) = (0, 0);
    for round in 0..rounds() {
        if round > 0 && round % DEATHS == 0 {
            bench.end().await;
            bench = Bench::start(&options, Platform::Sim).await.unwrap();
        }
        let image = Subject::random(round, 600 + random.below(400));
        let cut_off = random.below(image.bytes.chunks(MESSAGE).count() as u64 + 4);
        let pause = Duration::from_micros(random.below(12_000));
        let sent = write_until(&bench, &image, cut_off, pause).await;
        bench.daemon.kill_daemon();
        drop(sent.await);
        bench.reborn().await;

        let desk = Desk::new(&bench);
        if desk.missing(&image).await {
            let from = desk
                .query(&image, "u")
                .await
                .map_or(0, |state| state.committed_offset);
            assert!(from <= image.size());
            resumed += u64::from(from > 0);
            desk.write(image.requests("u", from)).await.unwrap();
        } else {
            whole += 1;
        }
        let launch = bench.launch(&format!("vm-{round}")).await;
        let pages = image.size() / PAGE;
        assert_eq!(
            stage(&bench, &launch.name, &image)
                .await
                .unwrap()
                .installed_pages,
            pages
        );
        let runs = ledger(&bench.api, &launch.name, LedgerOrder::Installation, 0).await;
        let hashes = page_hashes(&runs);
        for (hash, page) in hashes.values().zip(image.bytes.chunks(4096)) {
            assert_eq!(*hash, Some(*blake3::hash(page).as_bytes()), "round {round}");
        }
        bench.api.abort(&launch.name).await.unwrap();
        bench.api.delete(&launch.name).await.unwrap();
        desk.delete(&image).await.unwrap();
        let usage = bench.api.node_info().await.usage.unwrap();
        assert_eq!((usage.images, usage.image_bytes), (0, 0), "round {round}");
    }
    say(&format!(
        "crashes in writes: {} rounds, {whole} images whole at once, {resumed} gone on with",
        rounds()
    ));
    bench.end().await;
}

/// Writes so many messages of it, and what then is sent within `pause`.
async fn write_until(
    bench: &Bench,
    image: &Subject,
    messages: u64,
    pause: Duration,
) -> tokio::task::JoinHandle<()> {
    let desk = Desk::new(bench);
    let (requests, sent) = tokio::sync::mpsc::channel(1);
    let mut client = desk.client.clone();
    let call = tokio::spawn(async move {
        // It ends with the daemon, or before.
        client.write_image(ReceiverStream::new(sent)).await.ok();
    });
    let all = image.requests("u", 0);
    for request in all.iter().take(usize::try_from(messages).unwrap()) {
        if requests.send(request.clone()).await.is_err() {
            break;
        }
    }
    if messages < all.len() as u64 {
        // Somewhere in the middle: the stream stays open until the crash.
        tokio::spawn(async move {
            requests.closed().await;
        });
    } else {
        // All is sent, so that the crash meets the steps of the commit.
        drop(requests);
    }
    // Not to wait for anything: to be cut off at another moment each time.
    tokio::time::sleep(pause).await;
    call
}
