use std::{collections::VecDeque, future::poll_fn};

use tokio::time::Instant;

use super::*;
use crate::net::{Limits, tally::Trouble};

/// A body of chunks that a test sends.
#[derive(Debug, Default)]
struct Sent {
    chunks: VecDeque<Bytes>,
    ended: bool,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        match self.chunks.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None if self.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

fn patience() -> Patience {
    let limits = Limits::default();
    Patience {
        stall_timeout: Duration::from_secs(30),
        budget: Arc::new(Budget::new(&limits).expect("suffices")),
        trouble: Arc::new(Trouble::default()),
    }
}

struct Call {
    body: Metered<Sent>,
    held: Arc<Held>,
}

impl Call {
    fn new(patience: &Patience, record: &Record, single: bool, chunks: &[Bytes]) -> Self {
        let held = Arc::<Held>::default();
        let sent = Sent {
            chunks: chunks.iter().cloned().collect(),
            ended: false,
        };
        let body = Metered::new(
            Framed::new(sent, 4 << 20, single, Arc::default()),
            single,
            patience.clone(),
            record.clone(),
            Arc::clone(&held),
        );
        Self { body, held }
    }

    async fn next(&mut self) -> Option<Result<usize, String>> {
        let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await?;
        Some(match frame {
            Ok(frame) => Ok(frame.into_data().map_or(0, |data| data.len())),
            Err(error) => Err(error.to_string()),
        })
    }

    fn poll(&mut self) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        Pin::new(&mut self.body).poll_frame(&mut cx)
    }
}

/// The first `bytes` of a message that has `length`.
fn part(length: u32, bytes: usize) -> Bytes {
    let mut chunk = vec![0];
    chunk.extend(length.to_be_bytes());
    chunk.resize(bytes, 0);
    chunk.into()
}

/// A message that needs room, whole, and how long it is.
const LARGE: usize = 2 * ALLOWANCE_BYTES;

fn large() -> Bytes {
    part(u32::try_from(LARGE).expect("fits") - 5, LARGE)
}

/// Takes all the room there is, in pieces.
fn fill(budget: &Arc<Budget>) -> Vec<tokio::sync::OwnedSemaphorePermit> {
    let mut all = Vec::new();
    for standing in [Standing::Known, Standing::Unknown] {
        for piece in [1 << 20, 1 << 10, 1] {
            all.extend(std::iter::from_fn(|| budget.try_room(standing, piece)));
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_message_that_stands_still_ends_its_call() {
    let patience = patience();
    let mut call = Call::new(&patience, &Record::default(), false, &[part(9999, 100)]);
    assert_eq!(call.next().await, Some(Ok(100)));
    let before = Instant::now();
    let error = call.next().await.expect("an error").expect_err("an error");
    assert!(error.contains("DEADLINE_EXPIRED"), "{error}");
    assert!(error.contains("100 bytes"), "{error}");
    assert_eq!(before.elapsed(), Duration::from_secs(30));
    assert_eq!(call.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_is_no_progress() {
    let patience = patience();
    let mut call = Call::new(&patience, &Record::default(), true, &[part(99_999, 100)]);
    assert_eq!(call.next().await, Some(Ok(100)));
    for _ in 0..2 {
        assert!(call.poll().is_pending());
        tokio::time::advance(Duration::from_secs(14)).await;
        let sent = call.body.inner.body_mut();
        sent.chunks.push_back(Bytes::from_static(b"x"));
        assert_eq!(call.next().await, Some(Ok(1)));
    }
    let before = Instant::now();
    let error = call.next().await.expect("an error").expect_err("an error");
    assert!(error.contains("102 bytes"), "{error}");
    assert_eq!(before.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_rest_between_messages_and_a_single_call_may_not() {
    let patience = patience();
    let whole = part(95, 100);
    let mut stream = Call::new(
        &patience,
        &Record::default(),
        false,
        std::slice::from_ref(&whole),
    );
    assert_eq!(stream.next().await, Some(Ok(100)));
    assert!(stream.poll().is_pending());
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(stream.poll().is_pending());
    // Neither before its message, nor behind it.
    for chunks in [vec![], vec![whole]] {
        let mut single = Call::new(&patience, &Record::default(), true, &chunks);
        for _ in chunks {
            assert_eq!(single.next().await, Some(Ok(100)));
        }
        let error = single
            .next()
            .await
            .expect("an error")
            .expect_err("an error");
        assert!(error.contains("DEADLINE_EXPIRED"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_gives_back_what_was_consumed_and_a_single_call_holds_it() {
    let patience = patience();
    let record = Record::default();
    let room = fill(&patience.budget).len();
    for single in [false, true] {
        // The stream's next message has begun, and is small enough so far.
        let more = if single { &[][..] } else { &[0; 50] };
        let chunk = Bytes::from([&large()[..], more].concat());
        let mut call = Call::new(&patience, &record, single, std::slice::from_ref(&chunk));
        assert_eq!(call.next().await, Some(Ok(chunk.len())));
        assert!(fill(&patience.budget).len() != room);
        assert!(call.poll().is_pending());
        drop(call.body);
        assert_eq!(fill(&patience.budget).len() == room, !single);
        call.held.keep(0);
        assert_eq!(fill(&patience.budget).len(), room);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_without_room_keeps_its_connection_from_taking_another() {
    let patience = patience();
    let (record, other) = (Record::default(), Record::default());
    let mut all = fill(&patience.budget);
    let mut on_lane = Call::new(&patience, &other, true, &[large()]);
    assert_eq!(on_lane.next().await, Some(Ok(LARGE)));
    assert!(on_lane.held.is_on_lane());
    let mut first = Call::new(&patience, &record, true, &[large()]);
    let mut second = Call::new(&patience, &record, true, &[large()]);
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());
    assert!(first.body.chunk.is_some() && second.body.chunk.is_none());
    // Room comes back, and both go on.
    all.clear();
    assert_eq!(first.next().await, Some(Ok(LARGE)));
    assert_eq!(second.next().await, Some(Ok(LARGE)));
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_in_time_is_told_to_come_back_but_small_messages_pass() {
    let patience = patience();
    let record = Record::default();
    let all = fill(&patience.budget);
    let _lane = Arc::clone(&patience.budget).room(Standing::Known, 1).await;
    let mut call = Call::new(&patience, &record, true, &[large()]);
    let error = call.next().await.expect("an error").expect_err("an error");
    assert!(error.contains("QUEUE_FULL"), "{error}");
    let mut call = Call::new(&patience, &record, true, &[part(95, 100)]);
    assert_eq!(call.next().await, Some(Ok(100)));
    drop(all);
}

#[tokio::test(start_paused = true)]
async fn who_has_delivered_is_not_in_the_way_of_who_has_not() {
    let patience = patience();
    let begun = || part(4 << 20, 1 << 20);
    // A crowd that begins messages takes all the room there is for such.
    let mut crowd: Vec<_> = (0..64)
        .map(|_| Call::new(&patience, &Record::default(), true, &[begun()]))
        .collect();
    let taken = crowd.iter_mut().map(|call| call.poll().is_ready());
    assert!(taken.filter(|taken| *taken).count() < 64);
    assert!(patience.budget.is_short(Standing::Unknown));
    let known = Record::default();
    known.delivered();
    let mut call = Call::new(&patience, &known, true, &[begun()]);
    assert_eq!(call.next().await, Some(Ok(1 << 20)));
    // Until it stalls itself.
    call.next().await.expect("an error").expect_err("an error");
    assert_eq!(known.standing(), Standing::Unknown);
}

#[tokio::test(start_paused = true)]
async fn messages_that_fill_the_share_by_halves_are_all_completed() {
    let patience = patience();
    // Half of every message comes at once, the rest when it is read: together more than there is room for.
    let (half, rest) = (part(4 << 20, 2 << 20), Bytes::from(vec![0; (2 << 20) + 5]));
    let calls = (0..64).map(|_| {
        let mut call = Call::new(
            &patience,
            &Record::default(),
            true,
            &[half.clone(), rest.clone()],
        );
        call.body.inner.body_mut().ended = true;
        async move {
            while let Some(frame) = call.next().await {
                frame.expect("has room in the end");
                tokio::task::yield_now().await;
            }
        }
    });
    let mut tasks: tokio::task::JoinSet<()> = calls.collect();
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
    assert!(!patience.budget.is_short(Standing::Unknown));
}
