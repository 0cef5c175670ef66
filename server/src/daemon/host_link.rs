//! The daemon's end of one launch host's socket: requests out, answers and progress in.
//!
//! Whoever asks may stop waiting at any time. What was sent is answered all the same: the answer's snapshot reaches the launch's status,
//! and the call's slot is given back only then.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt, io,
    os::fd::BorrowedFd,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use stagepages_host::{
    launch::{Answered, Reason, Refusal, Snapshot},
    protocol::{self, BadMessage, Command, Message, Outcome, Reply, Request, Response, Spent},
    wire::{self, SeqSocket},
};
use stagepages_kvm::PageType;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Slot, aio::AsyncSeq};
use crate::{
    metrics::Stagework,
    trace::{self, Asked, Call},
};

/// A host's answer.
#[derive(Debug)]
pub struct Answer {
    /// The process that sent it, as the kernel saw it.
    pub sender: Option<i32>,
    /// The launch after it; `None` while the host has none.
    pub snapshot: Option<Snapshot>,
    /// What came of the request; a [`Outcome::Refused`] is here as the error.
    pub outcome: Result<Outcome, Refusal>,
}

/// What a host tells, asked or not.
#[derive(Debug)]
pub enum Told {
    /// The launch as it is now.
    Snapshot(Snapshot),
    /// The launch is over: some of the answers that it remembered.
    Farewell(Vec<Answered>),
    /// The guest wrote, or took input.
    Console(protocol::Console),
    /// It has told everything, and waits for [`Command::Bye`].
    End,
    /// A request was answered, after the snapshot that came with it: what of that counts.
    Answered(Box<Stagework>),
    /// Nothing more comes. Pages of this type may have been on their way in.
    Lost(Option<PageType>),
}

/// A command that was sent.
#[derive(Debug)]
pub struct Posted(oneshot::Receiver<Answer>);

impl Posted {
    /// Waits for the answer.
    ///
    /// # Errors
    /// [`LinkLost`]: the host may or may not have carried it out.
    pub async fn answer(self) -> Result<Answer, LinkLost> {
        self.0.await.map_err(|_gone| LinkLost)
    }
}

/// The host is gone, or does not speak the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection to the launch host is lost")]
pub struct LinkLost;

/// A connection to a launch host.
#[derive(Debug, Clone)]
pub struct HostLink {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` for a launch that was over before this daemon began.
    socket: Option<AsyncSeq>,
    next_id: AtomicU64,
    /// What both speak; set once it is agreed upon.
    version: OnceLock<u32>,
    /// `None` once the link is lost.
    pending: Mutex<Option<HashMap<u64, Pending>>>,
    lost: CancellationToken,
    /// Slots of requests that were never answered; kept until the host is known to be gone.
    left: Mutex<Vec<Slot>>,
}

struct Pending {
    answer: oneshot::Sender<Answer>,
    /// Of the pages that it is about, if it is to stage some.
    page_type: Option<PageType>,
    /// Kept until the host has read it.
    slot: Option<Slot>,
    /// Whose request it is, also when that call is over.
    call: Option<Call>,
    /// The span of the request, if that call is traced.
    asked: Option<Asked>,
}

impl Pending {
    /// Hands on the host's answer.
    fn answer(self, answer: Answer, spent: Option<Spent>) {
        let Self {
            answer: waiting,
            slot,
            call,
            asked,
            page_type: _,
        } = self;
        if let Some(asked) = asked {
            asked.answered(answer.sender, spent);
        }
        let slot = slot.map(|mut slot| {
            slot.take_back();
            if let Err(refusal) = &answer.outcome
                && refusal.reason == Reason::ImageCorrupt
            {
                slot.held().is_corrupt(&refusal.message);
            }
            // What a call holds is free when it is answered: its turn, its place in the queue, its part of a quota.
            drop(std::mem::take(slot.held()));
            slot
        });
        // Nobody may be waiting any more; the snapshot has told the launch.
        if let (Err(answer), Some(call)) = (waiting.send(answer), call) {
            call.outlived(answer.outcome.is_ok());
        }
        // Wiping it takes a moment, for which nobody waits.
        drop(slot);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl HostLink {
    /// Speaks over `socket`. Whatever the host tells, with an answer or between, goes to `told`, in order and before the answer.
    ///
    /// # Errors
    /// The socket cannot be made nonblocking.
    pub fn start(
        socket: SeqSocket,
        told: impl Fn(Told) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            socket: Some(AsyncSeq::new(socket)?),
            next_id: AtomicU64::new(1),
            version: OnceLock::new(),
            pending: Mutex::new(Some(HashMap::new())),
            lost: CancellationToken::new(),
            left: Mutex::new(Vec::new()),
        });
        let reader = Arc::clone(&shared);
        tokio::spawn(async move {
            let ended = reader.read(&told).await;
            tracing::debug!(?ended, "a launch host's connection ended");
            told(Told::Lost(reader.first_page_type()));
            // Nobody speaks here any more, also if it was the host that broke the protocol.
            reader.hang_up();
            // Whoever waits for an answer learns that none will come. But a host that lives on may still read the slots.
            let slots = reader
                .lock()
                .take()
                .into_iter()
                .flatten()
                .filter_map(|(_, pending)| pending.slot);
            reader
                .left
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(slots);
            reader.lost.cancel();
        });
        Ok(Self { shared })
    }

    /// The link to a host that is gone.
    #[must_use]
    pub fn gone() -> Self {
        let lost = CancellationToken::new();
        lost.cancel();
        let shared = Shared {
            socket: None,
            next_id: AtomicU64::new(1),
            version: OnceLock::new(),
            pending: Mutex::new(None),
            lost,
            left: Mutex::new(Vec::new()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Sends `command`, and waits for the answer; see [`Self::post`].
    ///
    /// # Errors
    /// [`LinkLost`]: the host may or may not have carried it out.
    pub async fn call(
        &self,
        command: Command,
        fds: &[BorrowedFd<'_>],
        slot: Option<Slot>,
    ) -> Result<Answer, LinkLost> {
        self.post(command, fds, slot).await?.answer().await
    }

    /// Sends `command`; its answer can be waited for. Commands are carried out in the order of posting.
    ///
    /// Dropping this future before the command is sent unsends it. Afterwards the host carries it out, whoever waits for the answer,
    /// and `slot` stays taken until it has answered.
    ///
    /// # Errors
    /// [`LinkLost`]: the command was not sent.
    pub async fn post(
        &self,
        command: Command,
        fds: &[BorrowedFd<'_>],
        mut slot: Option<Slot>,
    ) -> Result<Posted, LinkLost> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let (context, asked) = trace::ask(&command);
        let page_type = if let Command::Stage(stage) = &command {
            protocol::page_type_from_number(stage.page_type).ok()
        } else {
            None
        };
        let request = Request {
            id,
            command: Some(command),
            context,
        };
        let frame = match wire::encode(&request) {
            Ok(frame) => frame,
            Err(error) => {
                // The caller waits for it below.
                drop(answer.send(unsendable(&request, &error)));
                return Ok(Posted(answered));
            }
        };
        {
            let mut pending = self.shared.lock();
            let pending = pending.as_mut().ok_or(LinkLost)?;
            if let Some(slot) = &mut slot {
                slot.lend();
            }
            let call = trace::current();
            let waiting = Pending {
                answer,
                page_type,
                slot,
                call,
                asked,
            };
            pending.insert(id, waiting);
        }
        let unsent = Unsent {
            shared: &self.shared,
            id,
        };
        self.shared.send(&frame, fds).await?;
        unsent.sent();
        Ok(Posted(answered))
    }

    /// Sends `command`, which the host does not answer. Nothing happens if the link is lost.
    pub async fn tell(&self, command: Command) {
        let request = Request {
            id: self.shared.next_id.fetch_add(1, Ordering::Relaxed),
            command: Some(command),
            context: None,
        };
        let sent = match wire::encode(&request) {
            Ok(frame) => self.shared.send(&frame, &[]).await,
            Err(error) => {
                return tracing::error!(%error, "what a host is told does not fit a frame");
            }
        };
        if let Err(LinkLost) = sent {
            tracing::debug!("a lost launch host is told nothing any more");
        }
    }

    /// Takes the version of the protocol that the host's welcome names.
    pub fn agreed(&self, version: u32) {
        // A link greets once.
        self.shared.version.get_or_init(|| version);
    }

    /// The version of the protocol that both speak: the oldest until it is agreed upon.
    pub fn version(&self) -> u32 {
        *self
            .shared
            .version
            .get()
            .unwrap_or(&protocol::OLDEST_VERSION)
    }

    /// Hangs up. A host without a launch then ends.
    pub fn close(&self) {
        self.shared.hang_up();
    }

    /// Gives back what a host that is gone had not given back.
    pub fn release(&self) {
        let mut left = self
            .shared
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for mut slot in left.drain(..) {
            slot.take_back();
        }
    }

    /// Waits until the connection has ended and all its answers were passed on.
    pub async fn lost(&self) {
        self.shared.lost.cancelled().await;
    }
}

/// Takes a request back that was never sent.
struct Unsent<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Unsent<'_> {
    fn sent(mut self) {
        self.id = 0; // no request has this id
    }
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        let mut pending = self.shared.lock();
        let unsent = pending.as_mut().and_then(|all| all.remove(&self.id));
        if let Some(mut slot) = unsent.and_then(|pending| pending.slot) {
            slot.take_back();
        }
    }
}

/// The answer to a request that no frame holds: the host was not asked, and is as it was.
fn unsendable(request: &Request, error: &wire::CodecError) -> Answer {
    let reason = match request.command {
        Some(Command::Create(_)) => Reason::InvalidLaunch,
        Some(_) | None => Reason::MalformedRequest,
    };
    let text = format!(
        "the request is too long for the launch host ({error}); give fewer or shorter regions, labels, vCPU states and settings"
    );
    Answer {
        sender: None,
        snapshot: None,
        outcome: Err(Refusal::new(reason, text)),
    }
}

impl Shared {
    async fn send(&self, frame: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), LinkLost> {
        let socket = self.socket.as_ref().ok_or(LinkLost)?;
        socket.send(frame, fds).await.map_err(|error| {
            tracing::debug!(%error, "sending to a launch host");
            LinkLost
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, Pending>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hang_up(&self) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.shutdown()
        {
            tracing::debug!(%error, "hanging up on a launch host");
        }
    }

    /// The type of the pages that the host stages, or would have staged next.
    fn first_page_type(&self) -> Option<PageType> {
        let pending = self.lock();
        let staging = pending
            .iter()
            .flatten()
            .filter(|(_, it)| it.page_type.is_some());
        let first = staging.min_by_key(|(id, _)| **id);
        first.and_then(|(_, it)| it.page_type)
    }

    async fn read(&self, told: &impl Fn(Told)) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        while let Some(frame) = socket.recv().await? {
            let reply: Reply = wire::decode(&frame.bytes)?;
            match reply.message {
                Some(Message::Progress(snapshot)) => {
                    told(Told::Snapshot(
                        Snapshot::try_from(snapshot).map_err(io::Error::other)?,
                    ));
                }
                Some(Message::Response(response)) => {
                    let sender = frame.sender.map(|sender| sender.pid);
                    let spent = response.outcome.as_ref().and_then(trace::spent);
                    let mut work = Stagework::of(response.outcome.as_ref());
                    let (id, answer) = answer(response, sender).map_err(io::Error::other)?;
                    if let Some(snapshot) = &answer.snapshot {
                        told(Told::Snapshot(snapshot.clone()));
                    }
                    let pending = self.lock().as_mut().and_then(|pending| pending.remove(&id));
                    work.page_type = pending.as_ref().and_then(|pending| pending.page_type);
                    told(Told::Answered(Box::new(work)));
                    if let Some(pending) = pending {
                        trace::within(pending.call.clone(), || pending.answer(answer, spent));
                    }
                }
                Some(Message::Farewell(farewell)) => {
                    let answers: Result<_, BadMessage> = farewell
                        .answers
                        .into_iter()
                        .map(Answered::try_from)
                        .collect();
                    told(Told::Farewell(answers.map_err(io::Error::other)?));
                    if farewell.last {
                        told(Told::End);
                    }
                }
                Some(Message::Console(console)) => told(Told::Console(console)),
                None => return Err(io::Error::other(BadMessage::new("message", "none"))),
            }
        }
        Ok(())
    }
}

fn answer(response: Response, sender: Option<i32>) -> Result<(u64, Answer), BadMessage> {
    let snapshot = response.snapshot.map(Snapshot::try_from).transpose()?;
    let outcome = response
        .outcome
        .ok_or_else(|| BadMessage::new("outcome", "none"))?;
    let outcome = if let Outcome::Refused(refused) = outcome {
        Err(Refusal::try_from(refused)?)
    } else {
        Ok(outcome)
    };
    let answer = Answer {
        sender,
        snapshot,
        outcome,
    };
    Ok((response.id, answer))
}
