//! A request body that takes room in the receive budget for what it passes on, and ends when its peer stalls.
//!
//! tonic gathers a message until it is whole, and asks for more only when it has handed on every whole message before. So what
//! a stream holds after such a question is its unfinished message. A method with one message is different: it asks for the end
//! of the request before its handler sees the message, so it holds the message until the handler has consumed it.
//!
//! **Invariant:** no byte is passed on without room; a peer that sends nothing is not waited for without end, except between
//! the messages of a stream.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::timeout;
use tonic::codegen::StdError;

use super::{
    budget::{Budget, Room, Standing},
    framing::Framed,
    hand::InHand,
    held::{ALLOWANCE_BYTES, Held},
    record::Record,
    stall::{Patience, Stall},
};
use crate::rpc::{reason::Reason, status::ApiError};

/// A message that grows more slowly than this in `stall_timeout` stalls, in bytes. Otherwise a byte now and then would do.
const PROGRESS_BYTES: usize = 16 << 10;

/// What is suggested to a caller whose message found no room.
const RETRY: Duration = Duration::from_secs(1);

/// A framed request body within its bounds.
#[derive(Debug)]
pub(super) struct Metered<B> {
    inner: Framed<B>,
    patience: Patience,
    record: Record,
    held: Arc<Held>,
    /// Bytes that were passed on and are not consumed.
    passed_on: usize,
    /// One message, held until it is consumed.
    single: bool,
    stall: Stall,
    /// Bytes since the peer was last seen to get on.
    progress: usize,
    chunk: Option<WithoutRoom>,
    done: bool,
}

/// A chunk that waits for room.
struct WithoutRoom {
    chunk: Bytes,
    room: Pin<Box<dyn Future<Output = Option<Room>> + Send>>,
    standing: Standing,
    _hand: InHand,
}

impl<B> Metered<B> {
    /// Bounds `inner`. What it holds is in `held`, and for a method with one message stays there.
    pub(super) fn new(
        inner: Framed<B>,
        single: bool,
        patience: Patience,
        record: Record,
        held: Arc<Held>,
    ) -> Self {
        Self {
            inner,
            record,
            held,
            passed_on: 0,
            single,
            stall: Stall::new(patience.clone()),
            patience,
            progress: 0,
            chunk: None,
            done: false,
        }
    }

    /// Ends the body.
    fn fail<T>(&mut self, error: ApiError) -> Poll<Option<Result<T, StdError>>> {
        self.done = true;
        Poll::Ready(Some(Err(error.into_body_error())))
    }

    /// Waits for the peer, where it has to go on.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<ApiError> {
        if !self.single && !self.inner.is_within_message() {
            self.stall.clear();
            return Poll::Pending;
        }
        let standing = self.held.standing(self.record.standing());
        let waited = ready!(self.stall.poll(standing, None, cx));
        self.record.stalled();
        if let Some(stalled) = self.patience.trouble.stalled.one_more() {
            tracing::warn!(stalled, "calls end because their peer stalls");
        }
        Poll::Ready(stalled(waited, self.inner.unfinished()))
    }

    fn get_on(&mut self, bytes: usize) {
        self.progress += bytes;
        let whole = !self.inner.is_within_message();
        if whole || self.progress >= PROGRESS_BYTES {
            self.progress = 0;
            self.stall.clear();
        }
        if whole {
            self.record.delivered();
        }
    }

    /// Passes `chunk` on if there is room for it.
    fn pass_on(&mut self, chunk: Bytes, hand: InHand) -> Option<Bytes> {
        self.passed_on += chunk.len();
        if self.passed_on <= ALLOWANCE_BYTES || self.held.is_on_lane() {
            return Some(chunk);
        }
        // No longer than a frame of HTTP/2, whose length has 24 bits.
        let bytes = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        let standing = self.held.standing(self.record.standing());
        let budget = &self.patience.budget;
        if let Some(share) = budget.try_room(standing, bytes) {
            self.held.add(Room::Share(share), standing);
            return Some(chunk);
        }
        let room = room(
            Arc::clone(budget),
            standing,
            bytes,
            self.patience.stall_timeout,
        );
        self.chunk = Some(WithoutRoom {
            chunk,
            room: Box::pin(room),
            standing,
            _hand: hand,
        });
        None
    }
}

impl<B> Body for Metered<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let me = &mut *self;
        if let Some(waiting) = &mut me.chunk {
            let room = ready!(waiting.room.as_mut().poll(cx));
            let (chunk, standing) = (std::mem::take(&mut waiting.chunk), waiting.standing);
            me.chunk = None;
            // It was the daemon that was waited for.
            me.stall.clear();
            let Some(room) = room else {
                return me.fail(no_room(&me.patience));
            };
            me.held.add(room, standing);
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if !me.single {
            me.passed_on = me.inner.unfinished();
            me.held.keep(me.passed_on);
        }
        let hand = ready!(me.record.hand.poll_take(cx));
        let frame = match Pin::new(&mut me.inner).poll_frame(cx) {
            Poll::Pending => {
                drop(hand);
                let error = ready!(me.poll_stalled(cx));
                return me.fail(error);
            }
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(end) => {
                me.done = true;
                return Poll::Ready(end);
            }
        };
        let chunk = match frame.into_data() {
            Ok(chunk) => chunk,
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        me.get_on(chunk.len());
        match me.pass_on(chunk, hand) {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => Pin::new(me).poll_frame(cx),
        }
    }
}

impl fmt::Debug for WithoutRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the chunk: it is page contents.
        write!(f, "WithoutRoom({} bytes)", self.chunk.len())
    }
}

/// Waits for room, but not without end: none if there is none in time.
async fn room(
    budget: Arc<Budget>,
    standing: Standing,
    bytes: u32,
    at_most: Duration,
) -> Option<Room> {
    let room = timeout(at_most, budget.room(standing, bytes));
    room.await.ok().flatten()
}

fn stalled(waited: Duration, unfinished: usize) -> ApiError {
    let waited = waited.as_secs_f32();
    let text = format!(
        "the rest of a message did not come for {waited:.1} s, {unfinished} bytes of it did; nothing of it was applied, send it again"
    );
    ApiError::new(Reason::DeadlineExpired, text).meta("received_bytes", unfinished)
}

fn no_room(patience: &Patience) -> ApiError {
    if let Some(refused) = patience.trouble.refused.one_more() {
        tracing::warn!(refused, "calls are refused for the lack of receive budget");
    }
    let text = "the daemon's receive budget is used up by other messages; nothing of this one was applied, send it again later";
    ApiError::new(Reason::QueueFull, text)
        .retry_after(RETRY)
        .quota("receive_budget_bytes", text)
}

#[cfg(test)]
mod tests;
