//! A launch whose object lives is kept: its lease is begun anew again and again, whatever else is waited for; and whether the daemon answers is told.
//!
//! **Invariant:** no launch ends for want of a lease while its agent runs; and a daemon that is away changes nothing of what is said of the launch itself.

use std::{convert::Infallible, time::Duration};

use stagepages_client::Client;
use tokio::time::{sleep, timeout};

use super::life::Life;
use crate::{
    fault::Fault,
    resources::{ConfidentialLaunchStatus, Truth},
};

/// The condition.
const REACHABLE: &str = "DaemonReachable";
/// How often a lease is begun anew.
const RENEW: Duration = Duration::from_secs(5);
/// For an answer to that.
const ANSWER: Duration = Duration::from_secs(5);

impl Life {
    /// Keeps it, for as long as this is awaited.
    pub(super) async fn keep(&self) -> Infallible {
        let (mut client, mut was_away) = (None, false);
        // Several times within a lease.
        let lease = self.context.lease.unwrap_or(RENEW.saturating_mul(4));
        let pace = RENEW.min(lease / 4);
        loop {
            sleep(pace).await;
            let device = self.teller.status(|it| it.device.clone());
            // Before that there is none to keep.
            let Some(device) = device else { continue };
            let renewed = timeout(ANSWER, self.renew(&mut client, &device)).await;
            match renewed.unwrap_or_else(|_late| Err(Fault::silent(ANSWER))) {
                Err(fault) if fault.is_away() => {
                    (client, was_away) = (None, true);
                    self.unreached(&fault);
                }
                // What a refusal means, the launch's state says to whoever carries it out.
                Ok(()) | Err(_) => {
                    self.reached();
                    // Only what was seen from here: whoever fails by itself waits longer and longer.
                    if std::mem::take(&mut was_away) {
                        self.awake.notify_one();
                    }
                }
            }
        }
    }

    async fn renew(&self, kept: &mut Option<Client>, device: &str) -> Result<(), Fault> {
        let client = match kept {
            Some(client) => client,
            None => kept.insert(self.connect(device).await?),
        };
        // While there is no launch yet, whether the daemon answers is all there is to know.
        match self.teller.status(|it| it.launch_uid.is_some()) {
            true => drop(client.renew_lease(&self.reference()).await?),
            false => drop(client.node_info().await?),
        }
        Ok(())
    }

    /// The daemon does not answer.
    pub(super) fn unreached(&self, fault: &Fault) {
        self.faulty(REACHABLE, fault);
    }

    /// It does; which is worth a word if it did not before.
    pub(super) fn reached(&self) {
        let was_away = self.teller.status(|status| {
            { status.conditions.iter() }.any(|it| it.kind == REACHABLE && it.status == Truth::False)
        });
        if !was_away {
            return;
        }
        let text = "the daemon of this node answers again";
        self.teller
            .condition(REACHABLE, Truth::True, "DAEMON_REACHABLE", text);
        self.teller.update(|status| status.reason = reason(status));
        self.context
            .events
            .normal(&self.about, "DaemonReachable", text);
    }
}

/// The reason of what was said last of the launch itself.
fn reason(status: &ConfidentialLaunchStatus) -> Option<String> {
    let own = { status.conditions.iter() }.filter(|it| it.kind != REACHABLE);
    let last = own.max_by_key(|it| it.last_transition_time.0);
    last.map(|it| it.reason.clone())
}
