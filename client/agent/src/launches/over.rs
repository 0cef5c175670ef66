//! A launch that is over: what ended it, and what is to be done about it.
//!
//! **Invariant:** what ended the launch is what is told, not what a later call was refused for; and no guest is said to run that does not.

use std::time::Duration;

use stagepages_client::{
    v1::{AbortCause, AbortReason, Launch, LaunchState},
    words,
};
use tokio::time::timeout;

use super::{carry::note, life::Life};
use crate::{
    fault::Fault,
    resources::{State, Truth},
};

/// The way out of each.
const ANOTHER: &str = "delete this ConfidentialLaunch and create another";
/// For the daemon's word on what ended it.
const ANSWER: Duration = Duration::from_secs(20);

/// Why a launch was aborted, for programs and for people.
fn cause(launch: &Launch) -> (String, String) {
    let Some(cause) = &launch.abort else {
        return ("ABORTED".to_owned(), "no cause is told".to_owned());
    };
    let reason = words::abort_reason(cause.reason).to_uppercase();
    (reason.replace([' ', '-'], "_"), cause.message.clone())
}

impl Life {
    /// Says how it ended.
    pub(super) fn over(&self, launch: &Launch) {
        if launch.state() == LaunchState::Stopped {
            let stop = launch.stop.as_ref();
            let text = match stop {
                Some(stop) => format!(
                    "the guest stopped: {} {}",
                    words::stop_reason(stop.reason),
                    stop.message
                ),
                None => "the guest stopped".to_owned(),
            };
            let say = |status: &mut _| note(status, launch);
            self.teller
                .ends(say, &[("Running", Truth::False)], "STOPPED", &text);
            self.context.events.normal(&self.about, "Stopped", &text);
            return;
        }
        let (reason, text) = cause(launch);
        let text = format!("the launch was aborted: {text}; {ANOTHER}");
        let say = |status: &mut _| note(status, launch);
        self.teller
            .ends(say, &[("Failed", Truth::True)], &reason, &text);
        self.context.events.warning(&self.about, &reason, &text);
    }

    /// It will never be.
    pub(super) async fn failed(&self, at: &'static str, fault: &Fault) {
        self.teller.fault(at, Truth::False, fault);
        let aborted = self.abort_quietly().await;
        self.teller.ends(
            |status| match &aborted {
                Some(launch) => note(status, launch),
                None => status.state = State::Failed,
            },
            &[("Failed", Truth::True)],
            &fault.reason,
            &fault.told(),
        );
        self.context
            .events
            .warning(&self.about, &fault.reason, &fault.told());
    }

    /// What ended it before the agent could go on: the launch, if it was something else than the platform, whose refusals the fault says better; or else
    /// the fault, which may be that there is no launch any more.
    pub(super) async fn ended_by(&self, fault: Fault) -> Result<Launch, Fault> {
        let device = self.teller.status(|it| it.device.clone());
        let Some(device) = device else {
            return Err(fault);
        };
        let asked = timeout(ANSWER, async {
            let client = self.connect(&device).await?;
            self.found(&client).await
        });
        let launch = match asked.await {
            Ok(Ok(Some(launch))) if launch.state() == LaunchState::Aborted => launch,
            Ok(Err(lost)) if lost.is_lasting => return Err(lost),
            Ok(Ok(_) | Err(_)) | Err(_) => return Err(fault),
        };
        match launch.abort.as_ref().map(AbortCause::reason) {
            None | Some(AbortReason::PlatformRefused) => Err(fault),
            Some(_) => Ok(launch),
        }
    }
}
