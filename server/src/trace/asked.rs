//! What a launch host is asked for a call, and what it did: spans of its own, which the daemon sends for it, for a host has no network.
//!
//! ```text
//!  stagepages       call ─────────────────────────────────────────────
//!                     └ stagepages.host/Stage ─ sent … answered ───
//!  stagepages-host         └ Stage ─ queue, and since it was taken up
//!                               └ queue │ turn │ copy │ attributes │ ioctl │ hash
//! ```
//!
//! Host and daemon read the same clock, but a host is not trusted: what it tells lies within what the daemon saw, or is moved there.
//!
//! **Invariant:** a span of a host lies within the span of the request.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status},
};
use stagepages_host::protocol::{Command, Context, Outcome, Spent};

use super::{call::current, node::Node};

/// A request that a host has, of a call that is traced.
#[derive(Debug)]
pub struct Asked {
    node: Arc<Node>,
    name: &'static str,
}

/// What a host is told of the call that is served here, and the span of its request, if that is traced.
#[must_use]
pub fn ask(command: &Command) -> (Option<Context>, Option<Asked>) {
    let Some(call) = current() else {
        return (None, None);
    };
    let asked = call.node().map(|node| {
        let (asked, name) = names(command);
        let node = node.child(SpanKind::Client, asked, Instant::now());
        Asked { node, name }
    });
    let context = Context {
        request: call.request().as_str().to_owned(),
        traceparent: asked
            .as_ref()
            .map(|asked| asked.node.traceparent())
            .unwrap_or_default(),
    };
    (Some(context), asked)
}

/// What a host's answer tells of the time that it took.
#[must_use]
pub fn spent(outcome: &Outcome) -> Option<Spent> {
    match outcome {
        Outcome::Done(done) => done.spent,
        Outcome::Staged(staged) => staged.spent,
        Outcome::Refused(refused) => refused.spent,
        Outcome::Welcome(_)
        | Outcome::Probed(_)
        | Outcome::Runs(_)
        | Outcome::Verified(_)
        | Outcome::Remembered(_)
        | Outcome::Pong(_)
        | Outcome::RejectedCpuid(_) => None,
    }
}

impl Asked {
    /// The host's answer has come, from the process `pid`.
    pub fn answered(self, pid: Option<i32>, spent: Option<Spent>) {
        let sent = self.node.began();
        let answered = self.node.at(Instant::now());
        if let Some(spent) = spent {
            self.in_host(pid, spent, (sent, answered));
        }
        self.node.end(Status::Unset);
    }

    /// Makes the host's span, and its parts.
    fn in_host(&self, pid: Option<i32>, spent: Spent, (sent, answered): (SystemTime, SystemTime)) {
        let within = |time: Option<SystemTime>| time.unwrap_or(sent).clamp(sent, answered);
        let nanos = Duration::from_nanos;
        let taken_up = UNIX_EPOCH.checked_add(nanos(spent.began_unix_nanos));
        let came = within(taken_up.and_then(|at| at.checked_sub(nanos(spent.queue))));
        let done = within(taken_up.and_then(|at| at.checked_add(nanos(spent.total))));
        let taken_up = within(taken_up);
        let pid = pid.map(|pid| KeyValue::new("process.pid", i64::from(pid)));
        let host = self.node.in_host(
            SpanKind::Server,
            self.name,
            (came, done),
            pid.into_iter().collect(),
        );
        let part =
            |name, from, to| drop(host.in_host(SpanKind::Internal, name, (from, to), vec![]));
        if spent.queue > 0 {
            part("queue", came, taken_up);
        }
        // Sums over all chunks of an extent: their lengths are true, and their order is not.
        let mut at = taken_up;
        for (name, length) in [
            ("turn", spent.turn),
            ("copy", spent.copy),
            ("attributes", spent.attributes),
            ("ioctl", spent.ioctl),
            ("hash", spent.hash),
        ] {
            if length > 0 {
                let end = at
                    .checked_add(nanos(length))
                    .map_or(done, |end| end.min(done));
                part(name, at, end);
                at = end;
            }
        }
    }
}

/// What the request of a command is called, and what the host makes of it.
fn names(command: &Command) -> (&'static str, &'static str) {
    macro_rules! named {
        ($($kind:ident),*) => {
            match command {
                $(Command::$kind(_) => (
                    concat!("stagepages.host/", stringify!($kind)),
                    stringify!($kind),
                ),)*
            }
        };
    }
    named!(
        Hello,
        Probe,
        Create,
        Stage,
        ListRuns,
        Verify,
        Finish,
        Abort,
        GetResult,
        EndStream,
        Staging,
        Ping,
        Bye,
        SetVcpu,
        Start,
        Stop,
        ListenConsole,
        ConsoleInput,
        GetRejectedCpuid,
        Meter
    )
}
