//! What a person should see of a launch or an image, as Events.
//!
//! **Invariant:** telling never holds up work: what does not fit into a bounded queue is dropped, for the conditions say it too.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::resources::bounded;

/// Events that wait.
const WAITING: usize = 64;
/// For one answer of the API server.
const ANSWER: Duration = Duration::from_secs(10);
/// The API's bound of a note, in bytes.
const NOTE: usize = 1000;

/// Tells.
#[derive(Debug)]
pub(crate) struct Events {
    queue: mpsc::Sender<(ObjectReference, Event)>,
    _sender: AbortOnDropHandle<()>,
}

impl Events {
    pub(crate) fn new(client: kube::Client, node: &str) -> Self {
        let reporter = Reporter {
            controller: "stagepages.dev/node-agent".to_owned(),
            instance: Some(node.to_owned()),
        };
        let recorder = Recorder::new(client, reporter);
        let (queue, mut waiting) = mpsc::channel::<(ObjectReference, Event)>(WAITING);
        let sender = async move {
            while let Some((about, event)) = waiting.recv().await {
                match timeout(ANSWER, recorder.publish(&event, &about)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "an event was not taken"),
                    Err(_late) => tracing::debug!("an event was not answered"),
                }
            }
        };
        Self {
            queue,
            _sender: AbortOnDropHandle::new(tokio::spawn(sender)),
        }
    }

    /// Something went as it should.
    pub(crate) fn normal(&self, about: &ObjectReference, reason: &str, note: &str) {
        self.tell(about, EventType::Normal, reason, note);
    }

    /// Something is wrong.
    pub(crate) fn warning(&self, about: &ObjectReference, reason: &str, note: &str) {
        self.tell(about, EventType::Warning, reason, note);
    }

    fn tell(&self, about: &ObjectReference, type_: EventType, reason: &str, note: &str) {
        let event = Event {
            type_,
            reason: camel(reason),
            note: Some(bounded(note, NOTE)),
            action: "Launch".to_owned(),
            secondary: None,
        };
        if self.queue.try_send((about.clone(), event)).is_err() {
            tracing::debug!(reason, "too many events wait; this one is dropped");
        }
    }
}

/// `IMAGE_TOO_LARGE` as Events are written: `ImageTooLarge`.
fn camel(reason: &str) -> String {
    let words = reason.split('_').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        match word.bytes().any(|byte| byte.is_ascii_lowercase()) {
            true => word.to_owned(),
            false => first.to_owned() + &rest.to_ascii_lowercase(),
        }
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_written_as_events_are() {
        assert_eq!(camel("IMAGE_TOO_LARGE"), "ImageTooLarge");
        assert_eq!(camel("Running"), "Running");
        assert_eq!(camel(""), "");
    }
}
