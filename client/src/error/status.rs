//! An error read from the status of a call, with the details that `google.rpc` messages carry in it.
//!
//! **Invariant:** details that cannot be decoded are as if absent; the code and the message are always there.

use std::error::Error;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{StatusExt, pb};

use super::{Answer, DOMAIN, StagepagesError, Violation};
use crate::{causes::cause, plain, tls};

impl From<Status> for StagepagesError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let fields = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default();
        let states = details
            .precondition_failure()
            .map(|failure| failure.violations.as_slice())
            .unwrap_or_default();
        let quotas = details
            .quota_failure()
            .map(|failure| failure.violations.as_slice())
            .unwrap_or_default();
        let violations = (fields.iter().map(|it| (&it.field, &it.description)))
            .chain(states.iter().map(|it| (&it.subject, &it.description)))
            .chain(quotas.iter().map(|it| (&it.subject, &it.description)))
            .map(|(subject, description)| Violation {
                subject: plain(subject),
                description: plain(description),
            })
            .collect();
        let (code, message) = match sent_away(&status) {
            true => (Code::Unavailable, SENT_AWAY.to_owned()),
            false => (status.code(), message_of(&status)),
        };
        Self(Box::new(Answer {
            code,
            reason: info.map(|info| plain(&info.reason)),
            message,
            metadata: info
                .map(|info| {
                    info.metadata
                        .iter()
                        .map(|(key, value)| (plain(key), plain(value)))
                        .collect()
                })
                .unwrap_or_default(),
            violations,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            breaks_contract: false,
            request: details.request_info().map(|info| plain(&info.request_id)),
        }))
    }
}

impl From<&pb::Status> for StagepagesError {
    /// From an answer that carries a status instead of ending with one: the details are in the same form.
    fn from(status: &pb::Status) -> Self {
        Self::from(Status::with_details(
            Code::from_i32(status.code),
            status.message.clone(),
            status.encode_to_vec().into(),
        ))
    }
}

/// What tonic calls a defect of HTTP/2.
const SENT_AWAY: &str =
    "the daemon takes no more calls on this connection: it drains, or another one takes its place";

/// Whether the call met a GOAWAY without an error: the connection is to end, and nothing is broken.
fn sent_away(status: &Status) -> bool {
    let causes = std::iter::successors(status.source(), cause);
    causes
        .filter_map(|error| error.downcast_ref::<h2::Error>())
        .any(|error| {
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
        })
}

/// The daemon's message; for a status that tonic made of a lost connection, with its causes, which say the interesting part.
fn message_of(status: &Status) -> String {
    let mut message = match status.message() {
        "" => status.code().description().to_owned(),
        given => given.to_owned(),
    };
    let mut cause = status.source();
    while let Some(error) = cause {
        let text = error.to_string();
        let text = tls::late(&text).map_or(text, str::to_owned);
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    plain(&message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tonic::transport::Endpoint;
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::v1::{GetNodeInfoRequest, node_service_client::NodeServiceClient};

    #[test]
    fn violations_are_collected_from_every_detail() {
        let mut details = ErrorDetails::with_bad_request_violation(
            "spec.regions[0].size",
            "0x1001 bytes is no multiple of 4096",
        );
        details
            .add_precondition_failure_violation("PLATFORM", "/dev/sev", "is missing")
            .set_retry_info(Some(Duration::from_secs(2)));
        let error = StagepagesError::from(Status::with_error_details(
            Code::InvalidArgument,
            "bad",
            details,
        ));
        let subjects: Vec<&str> = error
            .violations()
            .iter()
            .map(|it| it.subject.as_str())
            .collect();
        assert_eq!(subjects, ["spec.regions[0].size", "/dev/sev"]);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_status_inside_an_answer_reads_like_one_that_ends_a_call() {
        let details = ErrorDetails::with_error_info(
            "NOT_APPLIED",
            DOMAIN,
            [("gpa".to_owned(), "0x5000".to_owned())],
        );
        let ends = Status::with_error_details(Code::Aborted, "NOT_APPLIED: behind a stop", details);
        let inside = pb::Status::decode(ends.details()).unwrap();
        let error = StagepagesError::from(&inside);
        assert_eq!(error.reason(), Some("NOT_APPLIED"));
        assert_eq!(
            (error.code(), error.message()),
            (Code::Aborted, "NOT_APPLIED: behind a stop")
        );
        assert_eq!(error.gpa().map(crate::addr::Gpa::bytes), Some(0x5000));
    }

    #[test]
    fn another_domains_reason_is_not_ours() {
        let details = ErrorDetails::with_error_info(
            "DRAINING",
            "proxy.example",
            [("installed_pages".to_owned(), "7".to_owned())],
        );
        let error =
            StagepagesError::from(Status::with_error_details(Code::Unavailable, "", details));
        assert_eq!((error.reason(), error.installed_pages()), (None, None));
        assert!(error.remedy().contains("check that the daemon runs"));
    }

    /// Speaks HTTP/2 until a call comes, and has it go away with `reason`, untouched.
    async fn send_away(mut io: DuplexStream, reason: u8) -> std::io::Result<()> {
        const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        const HEADERS: u8 = 1;
        io.write_all(&SETTINGS).await?;
        io.read_exact(&mut [0; 24]).await?; // the preface
        loop {
            let mut head = [0; 9];
            io.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            tokio::io::copy(&mut (&mut io).take(length.into()), &mut tokio::io::sink()).await?;
            if head[3] == HEADERS {
                break;
            }
        }
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, reason];
        io.write_all(&goaway).await?;
        // Until the other side has closed.
        tokio::io::copy(&mut io, &mut tokio::io::sink()).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_daemon_that_sends_its_callers_away_is_unavailable_and_not_broken() {
        for (reason, code, says) in [
            (0, Code::Unavailable, "no more calls"),
            (1, Code::Internal, "h2 protocol error"),
        ] {
            let dial = tower::service_fn(move |_: http::Uri| async move {
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                tokio::spawn(send_away(theirs, reason));
                Ok::<_, std::io::Error>(TokioIo::new(ours))
            });
            let endpoint = Endpoint::from_static("http://localhost");
            let channel = endpoint.connect_with_connector(dial).await.unwrap();
            let mut node = NodeServiceClient::new(channel);
            let refused = node.get_node_info(GetNodeInfoRequest {}).await;
            let error = StagepagesError::from(refused.unwrap_err());
            assert_eq!(error.code(), code, "{error}");
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[test]
    fn the_daemons_words_cannot_drive_the_terminal() {
        let error = StagepagesError::from(Status::not_found("no launch \x1b[31mvm\x07\nsecond"));
        assert_eq!(error.message(), "no launch \\u{1b}[31mvm\\u{7} second");
    }
}
