//! Requests, answers and watches.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    refused::{Refused, refused},
    role::Asked,
    store::{KINDS, Kind, LAUNCHES},
};

/// A quiet watch tells its version after this.
const BOOKMARK: Duration = Duration::from_millis(500);

type Body = BoxBody<Bytes, Infallible>;

pub(super) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
        let (tls, shared, stop) = (tls.clone(), Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            let Some(Ok(stream)) = stop.run_until_cancelled(tls.accept(stream)).await else {
                shared.manner.strangers.fetch_add(1, Ordering::SeqCst);
                return;
            };
            let service = service_fn(|request| {
                let (shared, stop) = (Arc::clone(&shared), stop.clone());
                async move { Ok::<_, Infallible>(answer(request, shared, stop).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A connection that breaks is the other side's matter.
            drop(stop.run_until_cancelled(connection).await);
        });
    }
}

fn full(code: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = code.try_into().unwrap();
    let json = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    response
}

fn no(refused: &Refused) -> Response<Body> {
    full(refused.code, &refused.status())
}

/// What a path names.
struct Target {
    kind: Kind,
    namespace: String,
    name: Option<String>,
    is_status: bool,
}

fn target(path: &str) -> Option<Target> {
    let path = path.trim_start_matches('/');
    let in_root = |kind: &Kind| path.strip_prefix(kind.root)?.strip_prefix('/');
    let rest = KINDS.iter().find_map(in_root)?;
    let parts: Vec<_> = rest.split('/').collect();
    let (namespace, parts) = match parts.as_slice() {
        ["namespaces", namespace, parts @ ..] => (*namespace, parts),
        parts => ("", parts),
    };
    let (plural, parts) = parts.split_first()?;
    let kind = KINDS
        .into_iter()
        .find(|it| in_root(it).is_some() && it.plural == *plural)?;
    Some(Target {
        kind,
        namespace: namespace.to_owned(),
        name: parts.first().map(|it| (*it).to_owned()),
        is_status: parts.get(1) == Some(&"status"),
    })
}

/// A method as roles name it.
fn verb(method: &Method, has_name: bool, is_watch: bool) -> &'static str {
    match (method.as_str(), has_name) {
        ("GET", true) => "get",
        ("GET", false) if is_watch => "watch",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        ("PUT", _) => "update",
        _ => "delete",
    }
}

fn decoded(text: &str) -> String {
    text.replace("%3D", "=")
        .replace("%2F", "/")
        .replace('+', " ")
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> Response<Body> {
    let manner = &shared.manner;
    tokio::time::sleep(Duration::from_millis(manner.slow.load(Ordering::SeqCst))).await;
    let take = |count: &std::sync::atomic::AtomicU64| {
        let less = |it: u64| it.checked_sub(1);
        count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    };
    if take(&manner.errors) {
        return no(&refused(500, "InternalError", "out of order"));
    }
    let Some(by) = shared.user(request.headers()) else {
        let refused = refused(401, "Unauthorized", "Unauthorized");
        manner.deny(&refused);
        return no(&refused);
    };
    let Some(target) = target(request.uri().path()) else {
        return no(&refused(404, "NotFound", "no such path"));
    };
    let query = request.uri().query().unwrap_or_default();
    let query: HashMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect();
    let method = request.method().clone();
    let is_watch = { query.get("watch") }.is_some_and(|it| it == "true" || it == "1");
    let asked = Asked {
        by: &by,
        verb: verb(&method, target.name.is_some(), is_watch),
        kind: target.kind,
        is_status: target.is_status,
    };
    if let Err(refused) = shared.roles.judge(&asked) {
        manner.deny(&refused);
        return no(&refused);
    }
    if method == Method::PATCH && take(&manner.conflicts) {
        manner.conflicted.fetch_add(1, Ordering::SeqCst);
        return no(&refused(409, "Conflict", "somebody was faster"));
    }
    let body = request.into_body().collect().await;
    let Ok(body) = body else {
        return no(&refused(400, "BadRequest", "no body"));
    };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
    let fields = query.get("fieldSelector").map(String::as_str);
    let done = match (method, &target.name) {
        (Method::GET, None) if is_watch => return watch(shared, target.kind, &query, stop),
        (Method::GET, None) => {
            let store = shared.store();
            Ok(json!({
                "kind": format!("{}List", target.kind.kind),
                "apiVersion": target.kind.api_version(),
                "metadata": { "resourceVersion": store.version().to_string() },
                "items": store.list(target.kind, fields),
            }))
        }
        (Method::GET, Some(name)) => {
            let found = shared.store().get(target.kind, &target.namespace, name);
            found.ok_or_else(|| refused(404, "NotFound", format!("{name} not found")))
        }
        (Method::POST, None) => {
            let mut store = shared.store();
            store.create(&by, target.kind, &target.namespace, body)
        }
        (Method::PATCH, Some(name)) => {
            let manager = query.get("fieldManager").map(String::as_str);
            let key = (target.kind, target.namespace.as_str(), name.as_str());
            shared
                .store()
                .patch(&by, key, target.is_status, &body, manager)
        }
        _ => Err(refused(405, "MethodNotAllowed", "not served here")),
    };
    shared.tell();
    match done {
        Ok(object) => full(200, &object),
        Err(refused) => {
            shared.manner.deny(&refused);
            no(&refused)
        }
    }
}

fn watch(
    shared: Arc<Shared>,
    kind: Kind,
    query: &HashMap<String, String>,
    stop: CancellationToken,
) -> Response<Body> {
    let (send, receive) = mpsc::channel::<Bytes>(16);
    let mut version: u64 = query
        .get("resourceVersion")
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    let fields = query.get("fieldSelector").cloned();
    let bookmarks = query
        .get("allowWatchBookmarks")
        .is_some_and(|it| it == "true");
    let line = |what: &str, object: Value| {
        Bytes::from(format!("{}\n", json!({ "type": what, "object": object })))
    };
    tokio::spawn(async move {
        let mut changed = shared.news.subscribe();
        while !stop.is_cancelled() {
            changed.borrow_and_update();
            let (news, now) = {
                let store = shared.store();
                match kind == LAUNCHES && shared.manner.late.load(Ordering::SeqCst) {
                    true => (Some(Vec::new()), version),
                    false => (
                        store.since(version, kind, fields.as_deref()),
                        store.version(),
                    ),
                }
            };
            let Some(news) = news else {
                let gone = refused(410, "Expired", "too old resource version").status();
                drop(send.send(line("ERROR", gone)).await);
                return;
            };
            for it in news {
                if send.send(line(it.what, it.object)).await.is_err() {
                    return;
                }
            }
            version = now;
            let quiet = tokio::select! {
                () = stop.cancelled() => return,
                changed = timeout(BOOKMARK, changed.changed()) => changed.is_err(),
            };
            if quiet && bookmarks {
                let object = json!({
                    "kind": kind.kind, "apiVersion": kind.api_version(),
                    "metadata": { "resourceVersion": version.to_string(), "name": "" },
                });
                if send.send(line("BOOKMARK", object)).await.is_err() {
                    return;
                }
            }
        }
    });
    let frames = ReceiverStream::new(receive).map(|bytes| Ok(Frame::data(bytes)));
    let mut response = Response::new(StreamBody::new(frames).boxed());
    let json = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    response
}
