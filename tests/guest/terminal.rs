//! A console as a client has it.
use stagepages_proto::v1::{AttachConsoleRequest, AttachConsoleResponse, ConsolePort};
use stagepages_tests::Bench;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// One attachment.
#[derive(Debug)]
pub(crate) struct Terminal {
    requests: Option<mpsc::Sender<AttachConsoleRequest>>,
    answers: Streaming<AttachConsoleResponse>,
    /// What has come so far, of all ports.
    pub(crate) seen: Vec<u8>,
    /// The offset of the first byte that came.
    pub(crate) first: Option<u64>,
}

impl Terminal {
    /// Attaches to launch `name`.
    pub(crate) async fn attach(bench: &Bench, name: &str) -> Self {
        let (requests, taken) = mpsc::channel(4);
        let first = AttachConsoleRequest {
            name: name.to_owned(),
            ..AttachConsoleRequest::default()
        };
        requests.send(first).await.unwrap();
        let mut launches = bench.api.launches.clone();
        let answers = launches.attach_console(ReceiverStream::new(taken)).await;
        Self {
            requests: Some(requests),
            answers: answers.unwrap().into_inner(),
            seen: Vec::new(),
            first: None,
        }
    }

    /// Types.
    pub(crate) async fn send(&self, input: impl Into<Vec<u8>>) {
        let request = AttachConsoleRequest {
            input: input.into().into(),
            ..AttachConsoleRequest::default()
        };
        self.requests.as_ref().unwrap().send(request).await.unwrap();
    }

    /// Types no more.
    pub(crate) fn half_close(&mut self) {
        self.requests = None;
    }

    /// The next answer; `None` at the end.
    pub(crate) async fn hear(&mut self) -> Result<Option<AttachConsoleResponse>, Status> {
        let answer = self.answers.message().await?;
        if let Some(answer) = &answer {
            self.first.get_or_insert(answer.offset);
            for output in &answer.output {
                self.seen.extend_from_slice(&output.data);
            }
        }
        Ok(answer)
    }

    /// Listens until `text` has come.
    pub(crate) async fn until(&mut self, text: &str) {
        while !self.text().contains(text) {
            let answer = self.hear().await.unwrap();
            assert!(answer.is_some(), "{text:?} is not in {:?}", self.text());
        }
    }

    /// Listens to the end; what the guest wrote to each port.
    pub(crate) async fn hear_out(&mut self) -> (String, String) {
        let (mut serial, mut debug) = (Vec::new(), Vec::new());
        while let Some(answer) = self.hear().await.unwrap() {
            for output in answer.output {
                match output.port() {
                    ConsolePort::Serial => serial.extend_from_slice(&output.data),
                    ConsolePort::Debug => debug.extend_from_slice(&output.data),
                    ConsolePort::Unspecified => panic!("{output:?}"),
                }
            }
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(serial), text(debug))
    }

    /// What has come so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}
