//! Requests with headers, and the log line by line.
use serde_json::Value;
use stagepages_proto::v1::{
    CreateLaunchRequest, GetLaunchRequest, LaunchSpec, Platform, StagePagesRequest,
};
use stagepages_tests::{Daemon, Extent, page, region, spec};
use tonic::Request;
use tonic::metadata::MetadataValue;

/// A request that has the header `name`.
pub(crate) fn with<T>(message: T, name: &'static str, value: &[u8]) -> Request<T> {
    let mut request = Request::new(message);
    // Also what no client library would send.
    request
        .metadata_mut()
        .as_mut()
        .append(name, http::HeaderValue::from_bytes(value).unwrap());
    request
}

/// A request for which the log is looked through later.
pub(crate) fn called<T>(message: T, id: &str) -> Request<T> {
    with(message, "x-request-id", id.as_bytes())
}

/// The id that came back.
pub(crate) fn told(metadata: &tonic::metadata::MetadataMap) -> String {
    let all: Vec<_> = metadata.get_all("x-request-id").iter().collect();
    assert_eq!(all.len(), 1, "{metadata:?}");
    all[0].to_str().unwrap().to_owned()
}

pub(crate) fn small(platform: Platform) -> LaunchSpec {
    spec(platform, [region(page(0), 64 * 4096)])
}

pub(crate) fn create(id: &str, spec: LaunchSpec) -> CreateLaunchRequest {
    CreateLaunchRequest {
        launch_id: id.to_owned(),
        spec: Some(spec),
    }
}

pub(crate) fn get(id: &str) -> GetLaunchRequest {
    GetLaunchRequest {
        name: format!("launches/{id}"),
        uid: String::new(),
    }
}

/// StagePages for `pages` pages from the first on.
pub(crate) fn stage(id: &str, pages: usize) -> StagePagesRequest {
    Extent::normal(page(0), vec![7; pages * 4096]).request(&format!("launches/{id}"))
}

/// The lines of a log in JSON.
pub(crate) fn lines(daemon: &Daemon) -> Vec<Value> {
    let log = daemon.log();
    // The last one may be written at this moment.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let lines = whole.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// What a line's spans say of `field`.
pub(crate) fn of_span<'a>(line: &'a Value, field: &str) -> Option<&'a str> {
    let spans = line["spans"].as_array()?;
    spans.iter().find_map(|span| span[field].as_str())
}

/// The lines of one call that `role` wrote.
pub(crate) fn of_call<'a>(lines: &'a [Value], role: &str, id: &str) -> Vec<&'a Value> {
    let of = |line: &&Value| line["role"] == role && of_span(line, "request") == Some(id);
    lines.iter().filter(of).collect()
}

/// A header value from a test's text.
pub(crate) fn ascii(text: &str) -> MetadataValue<tonic::metadata::Ascii> {
    text.parse().unwrap()
}

/// The trace of calls that a test traces, and the span in which it makes them.
pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub(crate) const SPAN: &str = "b7ad6b7169203331";

/// A request of a caller that is in a span of its own.
pub(crate) fn traced<T>(message: T, flags: &str) -> Request<T> {
    let parent = format!("00-{TRACE}-{SPAN}-{flags}");
    with(message, "traceparent", parent.as_bytes())
}
