//! Refused calls, told where every answer passes on its way out.
//!
//! Told are all calls that are refused for who makes them or for how much that one has, and all refused calls that would have changed something. What a caller is
//! told in the middle of a stream is told by the stream. All refused calls are remembered for a while, for the status page.
//!
//! **Invariant:** an answer passes as it is, whether or not it is told.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use stagepages_audit::{Entry, Event, Image, Launch, Who};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

use super::{Call, Refused, current, who::TEXT};
use crate::rpc::{
    reason::Reason,
    status::{ApiError, MAX_MESSAGE_BYTES, printable},
};

/// What methods that change nothing begin with.
const READING: [&str; 6] = ["Find", "Get", "List", "Query", "Verify", "Watch"];

/// Whether the method at `path` changes something. One that is not known here does.
#[must_use]
pub fn mutates(path: &str) -> bool {
    let Some((service, method)) = path.trim_start_matches('/').split_once('/') else {
        return true;
    };
    service.starts_with("stagepages.") && !READING.iter().any(|word| method.starts_with(word))
}

/// Whether a refusal is told of a method that changes nothing, too.
fn always(reason: &str) -> bool {
    let told = [
        Reason::Permission,
        Reason::Unauthenticated,
        Reason::QuotaExceeded,
    ];
    told.iter().any(|known| known.as_str() == reason)
}

/// Tells what is refused in `response`, now or when its trailers come.
pub fn watched(call: Call, response: Response<Body>) -> Response<Body> {
    if response.headers().contains_key(Status::GRPC_STATUS) {
        call.look(response.headers());
        response
    } else if response.body().is_end_stream() {
        response
    } else {
        response.map(|inner| Body::new(Watched { inner, call }))
    }
}

/// Tells what is refused within a stream, of the call that is served here.
pub fn refused(error: &ApiError) {
    if let Some(call) = current() {
        call.tell(&Status::from(error.clone()));
    }
}

impl Call {
    fn look(&self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers)
            && status.code() != Code::Ok
        {
            self.tell(&status);
        }
    }

    pub(super) fn tell(&self, status: &Status) {
        let info = status.get_details_error_info();
        // Health has no reasons of ours.
        let (reason, metadata) = info.map_or_else(
            || (format!("{:?}", status.code()), HashMap::new()),
            |info| (info.reason, info.metadata),
        );
        let who = self.who();
        self.remember(&who, &reason, status.message(), metadata.get("launch"));
        if !always(&reason) && !mutates(&who.method) {
            return;
        }
        let meta = |key: &str| metadata.get(key).map(|text| printable(text, TEXT));
        let launch = meta("launch").map(|name| Launch {
            id: name.trim_start_matches("launches/").to_owned(),
            state: meta("launch_state").unwrap_or_default(),
            installed_pages: meta("installed_pages").and_then(|pages| pages.parse().ok()),
            ..Launch::default()
        });
        let image = meta("image").map(|name| Image {
            digest: name.trim_start_matches("images/").to_owned(),
            ..Image::default()
        });
        self.audit.refuse(Entry {
            outcome: printable(&reason, TEXT),
            who: Some(who),
            launch,
            image,
            ..Entry::new(Event::CallRefused)
        });
    }
}

impl Call {
    /// For who looks at the status page, what its caller is told anyway.
    fn remember(&self, who: &Who, reason: &str, message: &str, launch: Option<&String>) {
        let text = message.strip_prefix(reason).unwrap_or(message);
        let method = who.method.rsplit('/').next().unwrap_or_default();
        let launch = launch.map_or("", |name| name.trim_start_matches("launches/"));
        self.audit.recent.add(
            &who.tenant,
            Refused {
                at: SystemTime::now(),
                count: 1,
                identity: who.identity.clone(),
                method: method.to_owned(),
                reason: printable(reason, TEXT),
                text: printable(text.trim_start_matches(": "), MAX_MESSAGE_BYTES),
                launch: printable(launch, TEXT),
            },
        );
    }
}

/// A response body whose trailers are looked at.
struct Watched {
    inner: Body,
    call: Call,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.look(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn what_changes_nothing_is_told_from_what_does() {
        let set = FileDescriptorSet::decode(stagepages_proto::v1::FILE_DESCRIPTOR_SET).unwrap();
        let mut changing = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    if mutates(&path) {
                        changing.push(method.name().to_owned());
                    }
                }
            }
        }
        changing.sort_unstable();
        assert_eq!(
            changing,
            [
                "AbortLaunch",
                "AttachConsole",
                "CreateLaunch",
                "DeleteImage",
                "DeleteLaunch",
                "FinishLaunch",
                "GrantImage",
                "RenewLease",
                "SetVcpuState",
                "StagePages",
                "StagePagesStream",
                "StartLaunch",
                "StopLaunch",
                "WriteImage"
            ]
        );
        assert!(!mutates("/grpc.health.v1.Health/Check"));
    }
}
