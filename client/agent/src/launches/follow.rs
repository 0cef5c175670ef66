//! A launch that is finished: started if that is wished, and watched until it is over.
//!
//! **Invariant:** a launch that is over is told as what the daemon says of it, and of its guest's console the end.

use std::{pin::pin, time::Duration};

use stagepages_client::{
    Client, LaunchRef,
    console::{Console, Event},
    session::RetryPolicy,
    v1::{Launch, LaunchState},
};
use tokio::time::{Instant, timeout};

use super::life::Life;
use crate::{
    fault::{DAEMON_UNREACHABLE, Fault},
    resources::Truth,
};

/// Bytes of the console's end that are kept.
const TAIL: usize = 2048;
/// Between two writes of it.
const PACE: Duration = Duration::from_secs(1);
/// How long the rest of the console of a guest that has stopped is waited for.
const REST: Duration = Duration::from_secs(5);

impl Life {
    /// Starts the guest, if that is wished and was not done.
    pub(super) async fn start(&self, client: &Client) -> Result<(), Fault> {
        if !self.launch.spec.start {
            return Ok(());
        }
        let launch = client.get_launch(&self.reference()).await?;
        if launch.state() == LaunchState::Finished {
            let launch = client.start_launch(&self.reference()).await?;
            self.tell(&launch);
        }
        Ok(())
    }

    /// Watches it until it is over, and returns it as it is then.
    pub(super) async fn follow(&self, client: &Client) -> Result<Launch, Fault> {
        let reference = self.reference();
        let mut watch = client.watch_launch(&reference).await?;
        let mut console = pin!(self.console(client, &reference));
        let (mut is_attached, mut is_told) = (false, false);
        loop {
            let next = tokio::select! {
                next = watch.next() => next?,
                () = &mut console, if is_attached && !is_told => {
                    is_told = true;
                    continue;
                }
            };
            let Some(launch) = next else { break };
            self.tell(&launch);
            match launch.state() {
                LaunchState::Running => {
                    self.running();
                    is_attached = true;
                }
                LaunchState::Stopped | LaunchState::Aborted => {
                    if launch.start_time.is_some() && !is_told {
                        drop(timeout(REST, console).await);
                    }
                    return Ok(launch);
                }
                LaunchState::Created
                | LaunchState::Staging
                | LaunchState::Finished
                | LaunchState::Unspecified => {}
            }
        }
        Err(Fault::passing(
            DAEMON_UNREACHABLE,
            "the daemon ended its watch; it is begun anew",
        ))
    }

    fn running(&self) {
        let text = "the guest runs";
        if self
            .teller
            .condition("Running", Truth::True, "RUNNING", text)
        {
            self.context.events.normal(&self.about, "Running", text);
        }
    }

    /// Keeps the console's end in the status, until the guest has stopped and all was told.
    async fn console(&self, client: &Client, reference: &LaunchRef) {
        let attached = Console::attach(client, reference, RetryPolicy::default()).await;
        let Ok((mut console, input)) = attached else {
            return;
        };
        drop(input);
        let (mut tail, mut told) = (Vec::new(), Instant::now());
        loop {
            match timeout(PACE, console.next()).await {
                Ok(Ok(Some(Event::Output { data, .. }))) => {
                    tail.extend_from_slice(&data);
                    let more = tail.len().saturating_sub(TAIL);
                    tail.drain(..more);
                    if told.elapsed() < PACE {
                        continue;
                    }
                }
                Ok(Ok(Some(Event::Missed { .. } | Event::Lost { .. }))) | Err(_) => {}
                Ok(Ok(None) | Err(_)) => break,
            }
            told = Instant::now();
            self.told(&tail);
        }
        self.told(&tail);
    }

    fn told(&self, tail: &[u8]) {
        if !tail.is_empty() {
            self.teller
                .update(|status| status.console = Some(printable(tail)));
        }
    }
}

/// What of it can be shown: ASCII and line ends.
fn printable(tail: &[u8]) -> String {
    let shown = tail.iter().filter(|byte| **byte != b'\r');
    let shown = shown.map(|byte| match byte {
        b'\n' | b'\t' | b' '..=b'~' => char::from(*byte),
        _ => '.',
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_not_shown() {
        assert_eq!(printable(b"a\x1b[31mb\r\nc\xff"), "a.[31mb\nc.");
    }
}
