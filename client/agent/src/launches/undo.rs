//! The end of what was begun: the launch is aborted, and where the object goes, its record too.
//!
//! **Invariant:** the finalizer is taken off only when the daemon has said that there is no such launch any more; or where none was ever created.

use std::time::Duration;

use stagepages_client::{Client, StagepagesError, reason, v1::Launch};
use tokio::time::{sleep, timeout};

use super::{
    carry::note,
    finalizer,
    life::{End, Life},
};
use crate::{
    backoff::Backoff,
    fault::Fault,
    resources::{State, Truth},
};

const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(30);
/// For one try where nobody waits for the outcome.
const QUIETLY: Duration = Duration::from_secs(20);

fn unless_gone<T>(done: Result<T, StagepagesError>) -> Result<Option<T>, Fault> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.reason() == Some(reason::LAUNCH_NOT_FOUND) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Life {
    /// Ends it, until that is done.
    pub(super) async fn undo(&self, end: &End) {
        let mut backoff = Backoff::new(LEAST, MOST);
        while let Err(fault) = self.undone(end).await {
            tracing::warn!(launch = %self.reference().id(), %fault, request = fault.request, "cannot be aborted yet");
            if *end != End::Gone {
                self.faulty("Aborting", &fault);
            }
            sleep(backoff.after_failure()).await;
        }
        self.context
            .devices
            .leave(&self.about.uid.clone().unwrap_or_default());
    }

    async fn undone(&self, end: &End) -> Result<(), Fault> {
        match end {
            End::Pod(why) | End::Device(why) => {
                let aborted = self.abort(false).await?;
                let is_bound = self.teller.status(|it| it.device.is_some());
                let lack = match is_bound {
                    true => None,
                    false => self.without_platform().await,
                };
                let (reason, text) = match lack {
                    Some(lack) => (lack.reason, format!("{why}; {}", lack.message)),
                    None => (
                        match end {
                            End::Device(_) => "DEVICE_GONE".to_owned(),
                            End::Pod(_) | End::Deleted | End::Gone | End::Unbound => {
                                "POD_GONE".to_owned()
                            }
                        },
                        format!(
                            "{why}, and the launch with it; create Pod and ConfidentialLaunch anew"
                        ),
                    ),
                };
                self.teller.ends(
                    |status| {
                        aborted.iter().for_each(|launch| note(status, launch));
                        status.state = match status.launch_uid {
                            Some(_) => State::Aborted,
                            None => State::Failed,
                        };
                    },
                    &[("Bound", Truth::False), ("Failed", Truth::True)],
                    &reason,
                    &text,
                );
                self.context.events.warning(&self.about, &reason, &text);
                self.teller.told().await;
                Ok(())
            }
            End::Unbound => Ok(()),
            End::Gone => self.abort(true).await.map(drop),
            End::Deleted => {
                self.abort(true).await?;
                finalizer::put(&self.context, &self.launch, false).await?;
                tracing::info!(launch = %self.reference().id(), "aborted and deleted with its object");
                Ok(())
            }
        }
    }

    /// Aborts the launch, if there is one, and forgets it if `wholly`; returns what it was.
    async fn abort(&self, wholly: bool) -> Result<Option<Launch>, Fault> {
        // Nothing is created before the object names a device.
        let Some(device) = self.teller.status(|it| it.device.clone()) else {
            return Ok(None);
        };
        let client = self.connect(&device).await?;
        self.abort_by(&client, wholly).await
    }

    async fn abort_by(&self, client: &Client, wholly: bool) -> Result<Option<Launch>, Fault> {
        let reference = self.reference();
        let is_creating = !self.creating.is_empty();
        let launch = unless_gone(client.abort_launch(&reference).await)?;
        if launch.is_none() && is_creating {
            let text = "the daemon has not answered to its creation yet, which this may have overtaken; it is tried again";
            return Err(Fault::passing(reason::HOST_UNREACHABLE, text));
        }
        if wholly && launch.is_some() {
            unless_gone(client.delete_launch(&reference).await)?;
        }
        Ok(launch)
    }

    /// Frees what a failed launch holds, if that can be done now, and returns what it was; its lease does it otherwise.
    pub(super) async fn abort_quietly(&self) -> Option<Launch> {
        match timeout(QUIETLY, self.abort(false)).await {
            Ok(Ok(launch)) => return launch,
            Ok(Err(fault)) => {
                tracing::warn!(%fault, request = fault.request, "a failed launch cannot be aborted; its lease will end it");
            }
            Err(_late) => {
                tracing::warn!("a failed launch was not aborted in time; its lease will end it");
            }
        }
        None
    }
}
