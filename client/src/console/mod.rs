//! A guest's console, followed over lost connections and restarted daemons.
//!
//! The daemon says of every piece of output how much the guest had written before it. So a listener that had to attach anew knows what it has
//! seen already, and what it missed. Input is another matter: what was sent when a connection was lost may have arrived or not.
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! use stagepages_client::{Client, Endpoint, LaunchRef, console::{Console, Event}, session::RetryPolicy};
//!
//! let client = Client::connect(&Endpoint::from_environment()?).await?;
//! let (mut console, input) = Console::attach(&client, &LaunchRef::from("vm-1"), RetryPolicy::default()).await?;
//! input.send("hello\r".into()).await?;
//! while let Some(event) = console.next().await? {
//!     if let Event::Output { data, .. } = event {
//!         println!("{}", data.escape_ascii());
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! **Invariant:** no output is given twice and none is left out untold; input is never sent twice.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use stagepages_proto::v1::{AttachConsoleRequest, AttachConsoleResponse};
use tokio::{sync::mpsc, time::sleep};
use tonic::Streaming;

use crate::{
    Client, LaunchRef, StagepagesError,
    session::{
        RetryPolicy,
        fault::{Fault, fault},
        retry::Patience,
        run::random,
    },
};

mod place;

use place::Place;

/// Largest input of one request, in bytes.
const MAX_INPUT: usize = 4096;

/// Pieces of input that wait while the guest does not read.
const WAITING_INPUT: usize = 16;

/// What a console tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The guest wrote.
    Output {
        /// Bytes that it had written before, to all ports together.
        offset: u64,
        /// The port's number, a [`ConsolePort`](stagepages_proto::v1::ConsolePort).
        port: i32,
        /// The bytes, at least one.
        data: Bytes,
    },
    /// The guest wrote so many bytes that are not kept any more.
    Missed {
        /// How many.
        bytes: u64,
    },
    /// The connection is lost, and tried again.
    Lost {
        /// What happened.
        error: String,
    },
}

/// A console, attached.
#[derive(Debug)]
pub struct Console {
    client: Client,
    launch: LaunchRef,
    patience: Patience,
    place: Place,
    news: VecDeque<Event>,
    typed: mpsc::Receiver<Bytes>,
    /// Input that is not sent yet.
    pending: Bytes,
    attached: Option<Attached>,
    wait: std::time::Duration,
}

#[derive(Debug)]
struct Attached {
    answers: Streaming<AttachConsoleResponse>,
    /// `None` once there is nothing more to send.
    requests: Option<mpsc::Sender<AttachConsoleRequest>>,
}

/// What [`Console::turn`] came to.
enum Turn {
    Heard(Result<Option<AttachConsoleResponse>, StagepagesError>),
    Typed(Option<Bytes>),
    Sent,
}

impl Console {
    /// Attaches to the console of a launch that runs or has run, as it is now and no later launch of its name. The second part takes input, in
    /// pieces of any size; when it is dropped, nothing more is sent, and the console goes on.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND. That the guest never ran (WRONG_STATE), [`Console::next`] says.
    pub async fn attach(
        client: &Client,
        launch: &LaunchRef,
        retry: RetryPolicy,
    ) -> Result<(Self, mpsc::Sender<Bytes>), StagepagesError> {
        let launch = LaunchRef::from(&client.get_launch(launch).await?);
        let (input, typed) = mpsc::channel(WAITING_INPUT);
        let mut console = Self {
            client: client.clone(),
            launch,
            patience: Patience::new(retry),
            place: Place::default(),
            news: VecDeque::new(),
            typed,
            pending: Bytes::new(),
            attached: None,
            wait: std::time::Duration::ZERO,
        };
        console.open().await?;
        Ok((console, input))
    }

    /// The launch, this one and no later one of its name.
    #[must_use]
    pub fn launch(&self) -> &LaunchRef {
        &self.launch
    }

    /// What the console tells next; `None` when the guest has stopped and everything was told. Passes input on meanwhile. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// WRONG_STATE (the guest never ran), LAUNCH_NOT_FOUND, or a connection that was lost for longer than the policy allows.
    pub async fn next(&mut self) -> Result<Option<Event>, StagepagesError> {
        loop {
            if let Some(event) = self.news.pop_front() {
                return Ok(Some(event));
            }
            if self.attached.is_none() {
                sleep(self.wait).await;
                if let Err(error) = self.open().await {
                    return self.lost(error).map(Some);
                }
            }
            match self.turn().await {
                Turn::Heard(Ok(Some(answer))) => {
                    self.patience.progressed();
                    self.news.extend(self.place.news(answer));
                }
                Turn::Heard(Ok(None)) => return Ok(None),
                Turn::Heard(Err(error)) => return self.lost(error).map(Some),
                Turn::Typed(Some(input)) => self.pending = input,
                Turn::Typed(None) => self.close_input(),
                Turn::Sent => {}
            }
        }
    }

    /// Waits for an answer, for input, or for room to send some.
    async fn turn(&mut self) -> Turn {
        let Some(Attached { answers, requests }) = &mut self.attached else {
            return Turn::Sent;
        };
        let Some(requests) = requests else {
            return Turn::Heard(answers.message().await.map_err(StagepagesError::from));
        };
        tokio::select! {
            biased;
            heard = answers.message() => Turn::Heard(heard.map_err(StagepagesError::from)),
            room = requests.reserve(), if !self.pending.is_empty() => {
                let input = self.pending.split_to(self.pending.len().min(MAX_INPUT));
                // If nobody takes requests any more, the answers say why.
                match room {
                    Ok(room) => room.send(AttachConsoleRequest { input, ..AttachConsoleRequest::default() }),
                    Err(_gone) => self.pending.clear(),
                }
                Turn::Sent
            }
            typed = self.typed.recv(), if self.pending.is_empty() => Turn::Typed(typed),
        }
    }

    async fn open(&mut self) -> Result<(), StagepagesError> {
        let (requests, taken) = mpsc::channel(1);
        let first = AttachConsoleRequest {
            name: self.launch.name().into(),
            uid: self.launch.uid().into(),
            input: Bytes::new(),
        };
        // There is room for one.
        drop(requests.try_send(first));
        let answers = self.client.attach_console(taken).await?;
        self.attached = Some(Attached {
            answers,
            requests: Some(requests),
        });
        Ok(())
    }

    fn close_input(&mut self) {
        if let Some(attached) = &mut self.attached {
            attached.requests = None;
        }
    }

    /// Decides whether to attach anew.
    fn lost(&mut self, error: StagepagesError) -> Result<Event, StagepagesError> {
        self.attached = None;
        if !matches!(fault(&error), Fault::Lost | Fault::Later) {
            return Err(error);
        }
        match self
            .patience
            .failed(Instant::now(), error.retry_after(), random())
        {
            Some(wait) => {
                self.wait = wait;
                Ok(Event::Lost {
                    error: error.what(),
                })
            }
            None => Err(error),
        }
    }
}
