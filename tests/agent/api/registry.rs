//! A real OCI registry: Debian's docker-registry; and TCP servers in its place that misbehave.
//!
//! **Invariant:** a registry that is installed and does not work is a failure; one that is not installed is told, once, and by the tests that need it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use stagepages_tests::{eventually, say};
use tokio::io::AsyncWriteExt as _;
use tokio_util::task::AbortOnDropHandle;

/// The program.
const PROGRAM: &str = "docker-registry";

/// The registry.
#[derive(Debug)]
pub(super) struct Registry {
    child: Child,
    address: SocketAddr,
}

/// A free port; somebody else could be faster, which a test would tell.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub(super) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

impl Registry {
    /// Starts one with its files in `dir`; `None`, and a line that says so, where it is not installed.
    pub(super) async fn start(dir: &Path) -> Option<Self> {
        let address = free();
        let config = dir.join("registry.yml");
        let storage = dir.join("registry");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: \"{address}\"}}\n",
                storage.display()
            ),
        )
        .unwrap();
        let log = fs::File::create(dir.join("registry.log")).unwrap();
        let child = Command::new(PROGRAM)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let child = match child {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                say(
                    "docker-registry is not installed (apt-get install docker-registry): nothing that pulls from a real registry is tested here",
                );
                return None;
            }
            child => child.unwrap(),
        };
        let registry = Self { child, address };
        eventually("the registry to listen", async || {
            TcpStream::connect(address).ok()
        })
        .await;
        Some(registry)
    }

    /// `HOST:PORT`.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Pushes an artifact of these files, and returns its pinned reference.
    pub(super) fn push(&self, name: &str, files: &[(&str, &[u8])]) -> String {
        let config = b"{}";
        self.blob(name, config);
        let layers = files.iter().map(|(title, bytes)| {
            self.blob(name, bytes);
            json!({
                "mediaType": "application/octet-stream",
                "digest": digest(bytes),
                "size": bytes.len(),
                "annotations": { "org.opencontainers.image.title": title },
            })
        });
        let media = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(config),
                "size": config.len(),
            },
            "layers": layers.collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string().into_bytes();
        let pinned = digest(&manifest);
        let path = format!("/v2/{name}/manifests/{pinned}");
        let (status, _, body) = self.ask("PUT", &path, media, &manifest);
        assert_eq!(status, 201, "{body}");
        format!("{}/{name}@{pinned}", self.host())
    }

    fn blob(&self, name: &str, bytes: &[u8]) {
        let path = format!("/v2/{name}/blobs/uploads/");
        let (status, place, body) = self.ask("POST", &path, "", b"");
        assert_eq!(status, 202, "{body}");
        let place = place.unwrap();
        let path = &place[place.find("/v2/").unwrap()..];
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}digest={}", digest(bytes));
        let (status, _, body) = self.ask("PUT", &path, "application/octet-stream", bytes);
        assert_eq!(status, 201, "{body}");
    }

    /// One request on a connection of its own: its status, its location and its body.
    fn ask(
        &self,
        method: &str,
        path: &str,
        media: &str,
        body: &[u8],
    ) -> (u16, Option<String>, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let place = { answer.lines() }.find_map(|line| {
            line.to_ascii_lowercase()
                .starts_with("location: ")
                .then(|| line[10..].to_owned())
        });
        (status, place, answer)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// How a server misbehaves.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// Takes the request and says nothing.
    Hang,
    /// Ends the connection.
    Reset,
    /// Gives this manifest, and any blob without an end.
    Endless(Vec<u8>),
    /// Gives this manifest, and these bytes for any blob.
    Wrong(Vec<u8>, Vec<u8>),
    /// Answers everything with this status.
    Status(u16),
}

/// A server that misbehaves.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) host: String,
    _server: AbortOnDropHandle<()>,
}

impl Bad {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(misbehave(stream, manner.clone()));
            }
        };
        Self {
            host,
            _server: AbortOnDropHandle::new(tokio::spawn(server)),
        }
    }
}

async fn misbehave(mut stream: tokio::net::TcpStream, manner: Manner) {
    use tokio::io::AsyncReadExt as _;
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answer = |status: u16, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status} It\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let is_manifest = path.contains("/manifests/");
    let bytes = match manner {
        Manner::Hang => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return;
        }
        Manner::Reset => return,
        Manner::Status(code) => answer(code, b""),
        Manner::Endless(manifest) | Manner::Wrong(manifest, _) if is_manifest => {
            answer(200, &manifest)
        }
        Manner::Endless(_) if path.contains("/blobs/") => {
            let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            if stream.write_all(head).await.is_err() {
                return;
            }
            while stream.write_all(&[0; 65536]).await.is_ok() {}
            return;
        }
        Manner::Wrong(_, blob) if path.contains("/blobs/") => answer(200, &blob),
        Manner::Endless(_) | Manner::Wrong(..) => answer(200, b"{}"),
    };
    drop(stream.write_all(&bytes).await);
    drop(stream.shutdown().await);
}
