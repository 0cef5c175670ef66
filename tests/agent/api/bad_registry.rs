//! HTTP servers in the place of a registry that misbehave: they say nothing, too little, too much, or something else.
//!
//! **Invariant:** each answer is on a connection of its own, and what was asked for and what was sent of blobs is counted.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::registry::digest;

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(600);

/// How a server misbehaves. Each manifest is of one layer.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// Takes the request and says nothing.
    Hang,
    /// Ends the connection.
    Reset,
    /// Answers everything with this status, and a body without an end.
    Status(u16),
    /// Gives a manifest without an end.
    EndlessManifest,
    /// Gives this manifest, and any blob without an end.
    Endless(Vec<u8>),
    /// Gives this manifest, and these bytes for any blob.
    Wrong(Vec<u8>, Vec<u8>),
    /// Gives this manifest, and so many bytes of this blob; then it is silent.
    HangMid(Vec<u8>, Vec<u8>, usize),
    /// Gives this manifest, and this blob byte by byte.
    Drip(Vec<u8>, Vec<u8>),
    /// Gives this manifest, and so many bytes of this blob at a time, from where is asked for; then the connection breaks.
    ResetMid(Vec<u8>, Vec<u8>, usize),
    /// The same, but knows of no parts: it breaks at the first time, and sends all of it at the second.
    NoParts(Vec<u8>, Vec<u8>, usize),
    /// The same, but it breaks every time.
    NeverWhole(Vec<u8>, Vec<u8>, usize),
    /// The same, but what is asked for from some byte on it sends from another.
    OtherPart(Vec<u8>, Vec<u8>, usize),
    /// Gives this manifest and this blob to whoever has a token, which it gives to whoever shows this in base64.
    Token(Vec<u8>, Vec<u8>, &'static str),
}

/// What was asked for, and what was sent.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Heads of requests.
    pub(super) requests: Mutex<Vec<String>>,
    /// Bytes of blobs.
    pub(super) sent: AtomicU64,
}

/// A server that misbehaves.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) host: String,
    pub(super) seen: Arc<Seen>,
    _server: AbortOnDropHandle<()>,
}

impl Bad {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Seen::default());
        let (of_server, here) = (Arc::clone(&seen), host.clone());
        let server = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (manner, seen) = (manner.clone(), Arc::clone(&of_server));
                tokio::spawn(misbehave(stream, manner, seen, here.clone()));
            }
        };
        Self {
            host,
            seen,
            _server: AbortOnDropHandle::new(tokio::spawn(server)),
        }
    }

    /// How often somebody tried to pull its artifact: an attempt asks for the manifest at most once, and for a blob whose end came at most once.
    pub(super) fn attempts(&self) -> usize {
        let requests = self.seen.requests.lock().unwrap();
        let of = |kind: &str| requests.iter().filter(|it| it.contains(kind)).count();
        of("/manifests/").max(of("/blobs/"))
    }

    /// Where it has the artifact of this manifest.
    pub(super) fn reference(&self, manifest: &[u8]) -> String {
        format!("{}/it@{}", self.host, digest(manifest))
    }
}

/// A manifest of one layer.
pub(super) fn manifest(layer: &[u8], size: u64) -> Vec<u8> {
    let descriptor = json!({ "mediaType": "a/b", "digest": digest(layer), "size": size });
    json!({ "schemaVersion": 2, "config": descriptor, "layers": [descriptor] })
        .to_string()
        .into_bytes()
}

/// The manifest of what is in it.
pub(super) fn truly(layer: &[u8]) -> Vec<u8> {
    manifest(layer, layer.len().try_into().unwrap())
}

/// The head of a request; none where it is not whole.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => request.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&request).to_ascii_lowercase())
}

/// The first byte that is asked for.
fn asked_from(request: &str) -> usize {
    let range = request.split_once("range: bytes=").map(|(_, rest)| rest);
    let first = range.and_then(|it| it.split_once('-'));
    first.map_or(0, |(first, _)| first.parse().unwrap())
}

fn answer(status: u16, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} It\r\nconnection: close\r\n{more}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn endless(stream: &mut TcpStream, status: u16, seen: &Seen) {
    let head = format!("HTTP/1.1 {status} It\r\nconnection: close\r\n\r\n");
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    while stream.write_all(&[b' '; 65536]).await.is_ok() {
        seen.sent.fetch_add(65536, Ordering::SeqCst);
    }
}

/// Sends the head of all from `from` on, and so many bytes of it.
async fn part(stream: &mut TcpStream, blob: &[u8], from: usize, count: usize, seen: &Seen) {
    let (status, range) = match from {
        0 => (200, String::new()),
        _ => (
            206,
            format!(
                "content-range: bytes {from}-{}/{}\r\n",
                blob.len() - 1,
                blob.len()
            ),
        ),
    };
    let head = format!(
        "HTTP/1.1 {status} It\r\nconnection: close\r\n{range}content-length: {}\r\n\r\n",
        blob.len() - from
    );
    let end = blob.len().min(from + count);
    drop(stream.write_all(head.as_bytes()).await);
    drop(stream.write_all(&blob[from..end]).await);
    let sent = u64::try_from(end - from).unwrap();
    seen.sent.fetch_add(sent, Ordering::SeqCst);
}

async fn misbehave(mut stream: TcpStream, manner: Manner, seen: Arc<Seen>, host: String) {
    let Some(request) = head(&mut stream).await else {
        return;
    };
    let times = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push(request.clone());
        requests.iter().filter(|it| it.contains("/blobs/")).count()
    };
    let is_manifest = request.contains("/manifests/");
    let from = asked_from(&request);
    let stream = &mut stream;
    match manner {
        Manner::Hang => return tokio::time::sleep(FOREVER).await,
        Manner::Reset => return,
        Manner::Status(status) => return endless(stream, status, &seen).await,
        Manner::EndlessManifest => return endless(stream, 200, &seen).await,
        Manner::Token(manifest, blob, login) => {
            let bytes = guarded(&request, &host, &manifest, &blob, login);
            drop(stream.write_all(&bytes).await);
        }
        Manner::Endless(manifest)
        | Manner::Wrong(manifest, _)
        | Manner::HangMid(manifest, ..)
        | Manner::Drip(manifest, _)
        | Manner::ResetMid(manifest, ..)
        | Manner::NoParts(manifest, ..)
        | Manner::NeverWhole(manifest, ..)
        | Manner::OtherPart(manifest, ..)
            if is_manifest =>
        {
            drop(stream.write_all(&answer(200, "", &manifest)).await);
        }
        Manner::Endless(_) => return endless(stream, 200, &seen).await,
        Manner::Wrong(_, blob) => drop(stream.write_all(&answer(200, "", &blob)).await),
        Manner::HangMid(_, blob, count) => {
            part(stream, &blob, from, count, &seen).await;
            return tokio::time::sleep(FOREVER).await;
        }
        Manner::Drip(_, blob) => {
            part(stream, &blob, from, 1, &seen).await;
            for byte in &blob[from + 1..] {
                // The pace of a drip.
                tokio::time::sleep(Duration::from_millis(100)).await;
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        }
        Manner::ResetMid(_, blob, count) => {
            part(stream, &blob, from, count, &seen).await;
        }
        Manner::NoParts(_, blob, count) => {
            let count = if times == 1 { count } else { blob.len() };
            part(stream, &blob, 0, count, &seen).await;
        }
        Manner::NeverWhole(_, blob, count) => {
            part(stream, &blob, 0, count, &seen).await;
        }
        Manner::OtherPart(_, blob, count) => {
            let from = if from == 0 { 0 } else { from - 1 };
            part(stream, &blob, from, count, &seen).await;
        }
    }
    drop(stream.shutdown().await);
}

fn guarded(request: &str, host: &str, manifest: &[u8], blob: &[u8], login: &str) -> Vec<u8> {
    if request.starts_with("get /token?") {
        let is_right = request.contains(&format!("authorization: basic {login}"))
            && request.contains("scope=repository%3ait%3apull")
            && request.contains("service=it");
        return match is_right {
            true => answer(200, "", br#"{"token": "sesame"}"#),
            false => answer(401, "", b""),
        };
    }
    if !request.contains("authorization: bearer sesame") {
        let wanted =
            format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"it\"\r\n");
        return answer(401, &wanted, b"");
    }
    match request.contains("/manifests/") {
        true => answer(200, "", manifest),
        false => answer(200, "", blob),
    }
}
