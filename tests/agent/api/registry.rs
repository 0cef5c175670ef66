//! A real OCI registry: Debian's docker-registry.
//!
//! **Invariant:** a registry that is installed and does not work is a failure; one that is not installed is told, once, and by the tests that need it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use stagepages_tests::{Pki, eventually, say};

/// The program.
const PROGRAM: &str = "docker-registry";
/// Who may log in.
pub(super) const USER: &str = "me";
/// `hunter2`, as htpasswd hashes it.
const HUNTER2: &str = "$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.";

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
        Self::serve(dir, "registry", "", "").await
    }

    /// Another one with the same images, that wants to see this user and this password, which is `hunter2`.
    pub(super) async fn with_login(dir: &Path) -> Self {
        let users = dir.join("htpasswd");
        fs::write(&users, format!("{USER}:{HUNTER2}\n")).unwrap();
        let auth = format!(
            "auth: {{htpasswd: {{realm: it, path: {}}}}}\n",
            users.display()
        );
        let registry = Self::serve(dir, "registry-login", "", &auth).await;
        registry.unwrap()
    }

    /// Another one with the same images, by TLS.
    pub(super) async fn with_tls(dir: &Path, pki: &Pki) -> Self {
        let (cert, key) = (pki.path("server.crt"), pki.path("server.key"));
        let tls = format!(
            ", tls: {{certificate: {}, key: {}}}",
            cert.display(),
            key.display()
        );
        let registry = Self::serve(dir, "registry-tls", &tls, "").await;
        registry.unwrap()
    }

    async fn serve(dir: &Path, name: &str, http: &str, more: &str) -> Option<Self> {
        let address = free();
        let config = dir.join(name).with_extension("yml");
        let storage = dir.join("registry");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: \"{address}\"{http}}}\n{more}",
                storage.display()
            ),
        )
        .unwrap();
        let log = fs::File::create(dir.join(name).with_extension("log")).unwrap();
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

    /// The same image in this registry.
    pub(super) fn here(&self, reference: &str) -> String {
        let (_, rest) = reference.split_once('/').unwrap();
        format!("{}/{rest}", self.host())
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
