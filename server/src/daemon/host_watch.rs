//! The end of a launch's host: noticed, brought about, and put on record.
//!
//! The order matters: what a host told is on record before it is asked for its ledger, that is in a file before the host is let go, and how it ended is on record before the supervisor may
//! forget it. A daemon that dies anywhere between leaves everything to the next.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use nix::sys::signal::Signal;
use stagepages_host::{
    launch::AbortReason,
    protocol::{Abort, Bye, Command},
};

use super::{
    Ending, Fate, Launch, Withstands, ended_ledger::ON_RECORD, supervisor_link::HostChild,
};
use crate::supervisor::HostExit;

/// How long a host may take to react: to an abort, to a hang-up, to a kill.
const PATIENCE: Duration = Duration::from_secs(5);

/// Before a record is tried to be written again: a full disk may be made room on. Doubled each time, up to [`SELDOM`].
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const SELDOM: Duration = Duration::from_secs(30);

impl Launch {
    /// Ends it: asks the host, then kills it. Returns when the host is gone, or after a bound.
    pub async fn abort(&self, lease_expired: bool) {
        let Some(child) = &self.child else { return };
        let gone = async {
            if self.status().ending.is_none() {
                let command = Command::Abort(Abort { lease_expired });
                // No answer is as good as one: the host ends, or it does not.
                drop(self.link.call(command, &[], None).await);
            }
            self.released().await;
        };
        if tokio::time::timeout(PATIENCE, gone).await.is_ok() {
            return;
        }
        if self.keeps_its_ledger() {
            return;
        }
        tracing::error!(
            launch = self.id,
            pid = child.pid,
            "the launch host does not react to an abort and is killed"
        );
        let reason = if lease_expired {
            AbortReason::LeaseExpired
        } else {
            AbortReason::Requested
        };
        self.status.send_modify(|status| status.killed(reason));
        // Its cause is known now; how long it takes to be gone is not. A disk that hangs does not hold up the end.
        drop(tokio::time::timeout(PATIENCE, self.keep()).await);
        self.kill().await;
        if tokio::time::timeout(PATIENCE, self.released())
            .await
            .is_err()
        {
            tracing::error!(
                launch = self.id,
                pid = child.pid,
                "the launch host is killed but not gone; its memory is not free yet"
            );
        }
    }

    /// Whether the host has given its memory back and is only here to tell its ledger, which has a bound of its own: it is not killed for that.
    pub(super) fn keeps_its_ledger(&self) -> bool {
        let keeps = self.ledger.needs_host();
        if keeps {
            tracing::info!(
                launch = self.id,
                "the ledger of the launch is still read; its host goes when that is done"
            );
        }
        keeps
    }

    /// Kills the host.
    pub(super) async fn kill(&self) {
        if let Err(error) = self.supervisor.kill_host(&self.uid, Signal::SIGKILL).await {
            tracing::error!(launch = self.id, %error, "killing the launch host");
        }
    }

    /// Ends it when its lease runs out. A host that gives no sign of life is not busy, whatever waits for it.
    pub(super) async fn watch_lease(self: Arc<Self>) {
        let busy = || {
            let status = self.status.borrow();
            status.runs() || (self.busy() && status.unresponsive.is_none())
        };
        tokio::select! {
            () = self.released() => {}
            () = self.lease.expired(busy) => {
                tracing::info!(launch = self.id, "nobody touched the launch for as long as its lease");
                self.abort(true).await;
            }
        }
    }

    /// Waits for the end of its host, and puts it on record.
    pub(super) async fn watch_host(self: Arc<Self>, child: HostChild) {
        let exit = tokio::select! {
            exit = child.exited() => exit,
            () = self.link.lost() => self.outlive(&child).await,
            () = self.told_all.cancelled() => {
                self.keep_told_end().await;
                self.keep_ledger().await;
                self.link.tell(Command::Bye(Bye {})).await;
                self.outlive(&child).await
            }
        };
        // What it told before it died counts: the link is read to its end first.
        if tokio::time::timeout(PATIENCE, self.link.lost())
            .await
            .is_err()
        {
            tracing::warn!(
                launch = self.id,
                "the connection of a dead launch host does not end"
            );
        }
        self.link.release();
        self.close_staging();
        let known = SystemTime::now();
        let mut end = self.status();
        end.gone(exit, known);
        self.ledger.settle(Fate::lost(&end));
        // On record before anyone is told: the next daemon says the same.
        let kept = self.save_as(&end, Withstands::Power).await;
        self.status.send_modify(|status| status.gone(exit, known));
        match self.status().ending {
            Some(Ending::Died(exit)) => {
                tracing::error!(launch = self.id, ?exit, "the launch host died");
            }
            Some(Ending::Told | Ending::Killed) | None => {
                tracing::info!(launch = self.id, ?exit, "the launch host is gone");
            }
        }
        self.metrics.launches().gone(self.platform, &self.status());
        // A full disk holds up nobody but this; and it may have been given up in the meantime.
        if kept.is_err() || self.status() != end {
            self.keep_end().await;
        }
        if let Err(error) = self.supervisor.acknowledge(&child.id).await {
            tracing::debug!(launch = self.id, %error, "the next daemon is told of this end again");
        }
    }

    /// The end of a host that cannot be spoken to any more: its own, or ours.
    async fn outlive(&self, child: &HostChild) -> HostExit {
        if let Ok(exit) = tokio::time::timeout(PATIENCE, child.exited()).await {
            return exit;
        }
        tracing::error!(
            launch = self.id,
            pid = child.pid,
            "the connection to a launch host is lost, and it is killed"
        );
        self.kill().await;
        child.exited().await
    }

    /// Takes it off record, and its ledger with it.
    ///
    /// # Errors
    /// The kernel's; it is still on record.
    pub async fn forget(&self) -> std::io::Result<()> {
        self.records.remove(&self.uid, &self.page).await?;
        // Nothing without its record: what stays of it by an accident goes at the next start.
        self.forget_ledger().await;
        Ok(())
    }

    /// As [`Self::keep_end`], of a host that told its end and waits. It is not killed because many launches end at once and wait for each other's records.
    async fn keep_told_end(&self) {
        self.ledger.hold(ON_RECORD);
        let saved = self.save(Withstands::Power).await;
        self.ledger.let_go();
        // A disk that refuses is another matter than one with much to do: it may do so for days.
        if saved.is_err() {
            self.keep_end().await;
        }
    }

    /// Puts the launch's end on record, however long that takes: until then its host is not let go, nor its exit forgotten.
    pub(super) async fn keep_end(&self) {
        let mut pause = TRY_AGAIN;
        while let Err(error) = self.save(Withstands::Power).await {
            tracing::error!(launch = self.id, %error, "the end of a launch is not on record; make room in state_dir");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SELDOM);
        }
    }
}
