//! The whole system at one moment, and each step that it can take.
//!
//! ```text
//!            Connect              HandOver               Take
//!   client ──────────▶ connection ─────────▶ host queue ───────▶ host
//!      ▲                   │ ▲                                    │
//!      └──────── Hear ─────┘ └────────────── answer ──────────────┘
//!
//!   Cut, a client's Crash: it leaves its connections     the daemon's: all connections end, the host's queue does not
//!   the host's: queue, ledger and kept answers are gone
//! ```
//!
//! The daemon is the step from connection to queue and back. It keeps nothing else, so it has no state of its own.
//!
//! **Invariant:** a step changes what the parties of that step can see, and the record of what was applied; nothing else.

use std::collections::VecDeque;

use crate::{
    client::{Client, Outcome},
    flaw::Flaw,
    host::{Applied, Host},
    message::{Answer, CallIndex, Connection, ConnectionId, Request, Verb},
    plan::{Transport, Who},
    protocol::{Action, Party, Protocol},
};

/// The system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct System {
    /// Ada and Bob.
    pub(crate) clients: [Client; 2],
    /// Those on which something is under way, in order of their ids.
    pub(crate) connections: Vec<Connection>,
    /// Handed to the host, and not yet taken up.
    pub(crate) queue: VecDeque<(ConnectionId, Request)>,
    /// `None` once it died.
    pub(crate) host: Option<Host>,
    /// Who may yet crash.
    pub(crate) mortal: Vec<Party>,
    /// Every call that was applied, in that order.
    pub(crate) history: Vec<Applied>,
}

impl System {
    pub(crate) fn new(protocol: &Protocol) -> Self {
        Self {
            clients: Who::BOTH.map(|who| Client::new(protocol.plan(who), protocol.losses)),
            connections: Vec::new(),
            queue: VecDeque::new(),
            host: Some(Host::new()),
            mortal: protocol.mortal.clone(),
            history: Vec::new(),
        }
    }

    pub(crate) fn client(&self, who: Who) -> &Client {
        &self.clients[who.index()]
    }

    /// Pages that a call installed, by the record.
    pub(crate) fn installed_by(&self, who: Who, call: CallIndex) -> usize {
        let same = |applied: &&Applied| applied.who == who && applied.call == call;
        let pages = |applied: &Applied| applied.frames.len();
        self.history.iter().filter(same).map(pages).sum()
    }

    /// The steps by which things go on as they should.
    pub(crate) fn advances(&self, protocol: &Protocol) -> Vec<Action> {
        let connect = Who::BOTH
            .into_iter()
            .filter(|&who| self.can_connect(who))
            .map(Action::Connect);
        let room = self.host.is_none() || self.queue.len() < protocol.slots;
        let hand_over = self
            .connections
            .iter()
            .filter(|connection| room && !connection.requests.is_empty())
            .map(|connection| Action::HandOver(connection.id));
        let take = (!self.queue.is_empty()).then_some(Action::Take);
        let hear = self
            .connections
            .iter()
            .filter(|connection| !connection.answers.is_empty())
            .map(|connection| Action::Hear(connection.id));
        connect.chain(hand_over).chain(take).chain(hear).collect()
    }

    /// The steps by which something goes wrong.
    pub(crate) fn mishaps(&self) -> Vec<Action> {
        let cut = self
            .connections
            .iter()
            .filter(|connection| {
                connection.is_read() && self.client(connection.id.who).losses_left > 0
            })
            .map(|connection| Action::Cut(connection.id));
        cut.chain(self.mortal.iter().copied().map(Action::Crash))
            .collect()
    }

    /// The system after `action`, which is one of its steps.
    pub(crate) fn after(mut self, protocol: &Protocol, action: Action) -> Self {
        match action {
            Action::Connect(who) => self.connect(protocol, who),
            Action::HandOver(id) => self.hand_over(id),
            Action::Take => self.take(protocol),
            Action::Hear(id) => self.hear(protocol, id),
            Action::Cut(id) => {
                self.clients[id.who.index()].losses_left -= 1;
                self.end(
                    protocol,
                    |connection| connection.id == id,
                    Connection::leave,
                );
            }
            Action::Crash(party) => self.crash(protocol, party),
        }
        self.forget_idle_connections();
        self
    }

    /// Whether a client has something to send, and waits for nothing before.
    ///
    /// A client that was too early tries again when the next number has moved: before that, the answer would be the same.
    fn can_connect(&self, who: Who) -> bool {
        let client = self.client(who);
        let idle = !self
            .connections
            .iter()
            .any(|connection| connection.id.who == who && connection.is_read());
        let first = client.outcomes.iter().find(|outcome| !outcome.is_final());
        let due = first.is_some_and(|&outcome| !self.is_waiting(outcome));
        !client.void && idle && due
    }

    /// Whether a call was too early, and still is.
    pub(crate) fn is_waiting(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Early { next } => self.host.as_ref().is_some_and(|host| host.next == next),
            Outcome::Open
            | Outcome::Lost
            | Outcome::Counted { .. }
            | Outcome::NotOurs
            | Outcome::Unclear
            | Outcome::Taken
            | Outcome::Forgotten
            | Outcome::GivenUp => false,
        }
    }

    fn connect(&mut self, protocol: &Protocol, who: Who) {
        let plan = protocol.plan(who);
        let client = &mut self.clients[who.index()];
        let lost: Vec<CallIndex> = client.calls(|outcome| outcome == Outcome::Lost).collect();
        let (verb, calls, stream) = if lost.is_empty() {
            let unfinished = client.calls(|outcome| !outcome.is_final()).collect();
            (Verb::Stage, unfinished, plan.transport == Transport::Stream)
        } else {
            (Verb::Ask, lost, false)
        };
        let renamed = client.restarted && protocol.rules.has(Flaw::RenamesItsCalls);
        let request = |call: CallIndex| {
            let key = plan.calls[call].key;
            let key = if renamed { key.renamed() } else { key };
            Request { verb, call, key }
        };
        let requests: VecDeque<Request> = calls.into_iter().map(request).collect();
        let opened: Vec<VecDeque<Request>> = if stream {
            vec![requests]
        } else {
            requests
                .into_iter()
                .map(|request| VecDeque::from([request]))
                .collect()
        };
        for requests in opened {
            let serial = client.connections;
            client.connections += 1;
            self.connections.push(Connection::open(
                ConnectionId { who, serial },
                stream,
                requests,
            ));
        }
        self.connections.sort_by_key(|connection| connection.id);
    }

    fn hand_over(&mut self, id: ConnectionId) {
        let host_lives = self.host.is_some();
        let connection = self.connection(id);
        let Some(request) = connection.requests.pop_front() else {
            return;
        };
        if host_lives {
            self.queue.push_back((id, request));
        } else {
            connection.answer(Answer::HostDied);
        }
    }

    fn take(&mut self, protocol: &Protocol) {
        let Some((id, request)) = self.queue.pop_front() else {
            return;
        };
        let connection = self.connection(id);
        let behind_a_stop = connection.stopped && !protocol.rules.has(Flaw::GoesOnBehindAStop);
        let answer = if behind_a_stop {
            Answer::NotApplied
        } else {
            self.carry_out(protocol, id.who, request)
        };
        let connection = self.connection(id);
        connection.stopped |= connection.stream && answer.stops_a_stream();
        connection.answer(answer);
    }

    fn carry_out(&mut self, protocol: &Protocol, who: Who, request: Request) -> Answer {
        let Some(host) = &mut self.host else {
            return Answer::HostDied;
        };
        match request.verb {
            Verb::Ask => host.ask(request.key),
            Verb::Stage => {
                let extent = protocol.plan(who).calls[request.call].extent;
                let (answer, installed) = host.stage(&protocol.rules, request.key, extent);
                if let (Some(frames), Answer::Applied { pages, .. }) = (installed, answer) {
                    self.history.push(Applied {
                        who,
                        call: request.call,
                        frames,
                        counted: pages,
                    });
                }
                answer
            }
        }
    }

    fn hear(&mut self, protocol: &Protocol, id: ConnectionId) {
        let connection = self.connection(id);
        let answer = connection.answers.pop_front();
        let call = connection.awaited.as_mut().and_then(VecDeque::pop_front);
        if let (Some(answer), Some(call)) = (answer, call) {
            let sequenced = protocol.rules.sequenced;
            self.clients[id.who.index()].learn(protocol.plan(id.who), sequenced, call, answer);
        }
    }

    /// Ends connections in the given way; their clients know nothing of the calls that were not answered.
    fn end(
        &mut self,
        protocol: &Protocol,
        which: impl Fn(&Connection) -> bool,
        how: impl Fn(&mut Connection) -> VecDeque<CallIndex>,
    ) {
        for connection in self
            .connections
            .iter_mut()
            .filter(|connection| which(connection))
        {
            let who = connection.id.who;
            for call in how(connection) {
                self.clients[who.index()].lose(protocol.plan(who), call);
            }
        }
    }

    fn crash(&mut self, protocol: &Protocol, party: Party) {
        self.mortal.retain(|&mortal| mortal != party);
        match party {
            Party::Client(who) => {
                self.end(
                    protocol,
                    |connection| connection.id.who == who,
                    Connection::leave,
                );
                self.clients[who.index()].restart(protocol.plan(who));
            }
            Party::Daemon => self.end(protocol, |_| true, Connection::die),
            Party::Host => self.kill_host(protocol),
        }
    }

    /// The daemon answers for a host that died what the host will not answer any more.
    fn kill_host(&mut self, protocol: &Protocol) {
        self.host = protocol.rules.has(Flaw::RevivesTheHost).then(Host::new);
        for (id, _) in std::mem::take(&mut self.queue) {
            self.connection(id).answer(Answer::HostDied);
        }
    }

    #[expect(clippy::expect_used, reason = "a broken model has to stop the test")]
    fn connection(&mut self, id: ConnectionId) -> &mut Connection {
        self.connections
            .iter_mut()
            .find(|connection| connection.id == id)
            .expect("a connection is kept while anything of it is under way")
    }

    /// Drops the connections that nothing more can come of.
    fn forget_idle_connections(&mut self) {
        let queue = &self.queue;
        self.connections.retain(|connection| {
            let waits = connection
                .awaited
                .as_ref()
                .is_some_and(|calls| !calls.is_empty());
            let queued = queue.iter().any(|&(id, _)| id == connection.id);
            waits || queued || !connection.requests.is_empty()
        });
    }
}
