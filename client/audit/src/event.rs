//! What a record is about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares each event with its name.
macro_rules! events {
    ($($(#[doc = $doc:literal])+ $event:ident = $name:literal,)+) => {
        /// What happened. Later builds may write further ones: [`Event::Other`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Event {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $event,)+
            /// One that this build does not know. Never written.
            #[serde(other, rename = "other")]
            Other,
        }

        impl Event {
            /// All that this build writes.
            pub const ALL: &[Self] = &[$(Self::$event),+];

            /// Its name, as records have it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$event => $name,)+
                    Self::Other => "other",
                }
            }
        }
    };
}

events! {
    /// A launch was created; it is answered after this record is on the disk.
    LaunchCreated = "launch.created",
    /// A daemon found a launch of an earlier one, in the state that the record has.
    LaunchAdopted = "launch.adopted",
    /// The first page was installed.
    LaunchStaging = "launch.staging",
    /// The launch was finished; the record has its digest.
    LaunchFinished = "launch.finished",
    /// The guest was started.
    LaunchRunning = "launch.running",
    /// The guest is over.
    LaunchStopped = "launch.stopped",
    /// The launch is over without its guest having ended by itself.
    LaunchAborted = "launch.aborted",
    /// The record of an ended launch was deleted.
    LaunchDeleted = "launch.deleted",
    /// The same by age.
    LaunchEvicted = "launch.evicted",
    /// An image was stored.
    ImageStored = "image.stored",
    /// A tenant's image was deleted.
    ImageDeleted = "image.deleted",
    /// A tenant gave another one its image; the record has to whom.
    ImageGranted = "image.granted",
    /// An image was dropped to make room.
    ImageEvicted = "image.evicted",
    /// An image was found not to hold what was committed, and set aside.
    ImageQuarantined = "image.quarantined",
    /// A call was refused.
    CallRefused = "call.refused",
    /// More calls were refused than are told one by one; the record has how many.
    CallsSuppressed = "calls.suppressed",
    /// A daemon began.
    DaemonStarted = "daemon.started",
    /// It takes no new launches any more.
    DaemonDraining = "daemon.draining",
    /// It ended in order.
    DaemonEnded = "daemon.ended",
    /// A policy that had changed was read again, and is in use or could not be used; the record has the file.
    PolicyReloaded = "policy.reloaded",
    /// The same of certificates, keys and CAs of TLS.
    CertificatesReloaded = "certificates.reloaded",
    /// A daemon found the end of the file torn by a crash, and went on behind it.
    LogMended = "log.mended",
    /// The log could not be written for a while, and is again; the record has how many state changes are missing from it.
    LogResumed = "log.resumed",
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_by_its_name_and_one_of_tomorrow_is_read() {
        for event in Event::ALL {
            let json = serde_json::to_string(event).unwrap();
            assert_eq!(json, format!("\"{event}\""));
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), *event);
        }
        let tomorrow: Event = serde_json::from_str("\"launch.migrated\"").unwrap();
        assert_eq!(tomorrow, Event::Other);
    }
}
