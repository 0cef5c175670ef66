//! Asking for pages as a browser does, and reading what is on them. Independent of any HTTP library of the product.

use std::{collections::BTreeMap, path::PathBuf};

use stagepages_tests::{Daemon, DaemonOptions, User};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::UnixStream,
};

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) status: u16,
    /// By name, in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A request of a browser that stands at this path.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n")
}

/// Sends a request and reads until the connection ends; nothing, if it ends before an answer.
pub(crate) async fn talk<IO>(mut io: IO, request: &str) -> Option<Page>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    // A server that has enough may close before all is sent.
    let sent = io.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let read = io.read_to_end(&mut answer).await;
    let text = String::from_utf8(answer).unwrap();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        assert!(
            text.is_empty(),
            "half an answer: {text:?} {sent:?} {read:?}"
        );
        return None;
    };
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Some(Page {
        status: status.parse().unwrap(),
        headers: lines.map(header).collect(),
        body: body.to_owned(),
    })
}

/// Connects to the page of a daemon that has one by default.
pub(crate) async fn connect(daemon: &Daemon) -> UnixStream {
    UnixStream::connect(daemon.status_socket()).await.unwrap()
}

/// The page at this path. Tests ask more often than one reader may, and ask again then.
pub(crate) async fn look(daemon: &Daemon, path: &str) -> Page {
    stagepages_tests::eventually("an answer that is not 429", async || {
        let page = talk(connect(daemon).await, &get(path)).await.unwrap();
        (page.status != 429).then_some(page)
    })
    .await
}

impl Page {
    /// The page, which has to be one.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    /// Every number that the API has, by where it is there: its value, and how it is shown.
    pub(crate) fn numbers(&self) -> BTreeMap<String, (String, String)> {
        let mut numbers = BTreeMap::new();
        for part in self.body.split("<data ").skip(1) {
            let (tag, rest) = part.split_once('>').unwrap();
            let shown = rest.split_once("</data>").unwrap().0;
            let attribute = |name: &str| {
                let (_, value) = tag.split_once(&format!("{name}=\"")).unwrap();
                value.split_once('"').unwrap().0.to_owned()
            };
            let known = numbers.insert(
                attribute("data-api"),
                (attribute("value"), shown.to_owned()),
            );
            // A number may be there twice, but not as two numbers.
            assert!(known.is_none_or(|known| known.0 == attribute("value")));
        }
        numbers
    }

    /// One of them.
    #[track_caller]
    pub(crate) fn number(&self, api: &str) -> u64 {
        let numbers = self.numbers();
        let (value, shown) = numbers
            .get(api)
            .unwrap_or_else(|| panic!("no {api} in {:?}", numbers.keys()));
        if shown.chars().all(|c| c.is_ascii_digit() || c == ',') {
            assert_eq!(&shown.replace(',', ""), value, "{api}");
        }
        value.parse().unwrap()
    }

    /// The text of the element with this id, without markup.
    #[track_caller]
    pub(crate) fn part(&self, id: &str) -> String {
        let (_, rest) = self
            .body
            .split_once(&format!("id=\"{id}\""))
            .unwrap_or_else(|| panic!("no {id} in {}", self.body));
        let (_, rest) = rest.split_once('>').unwrap();
        let end = ["</section>", "</details>"].map(|end| rest.find(end).unwrap_or(rest.len()));
        text(&rest[..end[0].min(end[1])])
    }

    /// Whether its text has these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        text(&self.body).contains(words)
    }
}

/// HTML without tags, its spaces made one.
pub(crate) fn text(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            c if !inside => text.push(c),
            _ => {}
        }
    }
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

/// A daemon whose page anybody on this machine may ask for.
pub(crate) struct Open {
    pub(crate) daemon: Daemon,
    dir: TempDir,
}

pub(crate) const fn user(uid: u32) -> User {
    User { uid, gid: uid }
}

/// One entry of a policy.
pub(crate) fn entry(uid: u32, tenant: &str, role: &str) -> String {
    format!("[[caller]]\nidentity = \"uid:{uid}\"\ntenant = {tenant:?}\nroles = [{role:?}]\n")
}

impl Open {
    /// With this policy; `None` for the one that a daemon has by itself.
    pub(crate) fn start(policy: Option<&str>, options: DaemonOptions) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        assert!(
            User::can_be_taken(),
            "only root can be other users; run this suite as root"
        );
        let dir = tempfile::Builder::new()
            .prefix("sp")
            .tempdir_in("/tmp")
            .unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut options = options
            .without_tcp()
            .listen(&format!("unix:{}", path("open.sock")))
            .flag(&format!("--status-listen=unix:{}", path("status.sock")))
            .flag("--socket-mode=0666");
        if let Some(policy) = policy {
            std::fs::write(path("policy.toml"), policy).unwrap();
            options = options.flag(&format!("--policy={}", path("policy.toml")));
        }
        let daemon = Daemon::start(&options);
        Self { daemon, dir }
    }

    /// The API, for everybody.
    pub(crate) fn api(&self) -> PathBuf {
        self.dir.path().join("open.sock")
    }

    /// Puts another policy in place, and has it read.
    pub(crate) async fn change_policy(&self, policy: &str) {
        let again = self.daemon.log().matches("policy read again").count() + 1;
        let new = self.dir.path().join("new");
        std::fs::write(&new, policy).unwrap();
        std::fs::rename(&new, self.dir.path().join("policy.toml")).unwrap();
        stagepages_tests::eventually("the new policy", async || {
            let found = self.daemon.log().matches("policy read again").count();
            (found >= again).then_some(())
        })
        .await;
    }

    /// A connection of this user's.
    pub(crate) fn connect(&self, user: User) -> UnixStream {
        let stream = user.connect(&self.dir.path().join("status.sock")).unwrap();
        stream.set_nonblocking(true).unwrap();
        UnixStream::from_std(stream).unwrap()
    }

    /// The page at this path, as this user.
    pub(crate) async fn look(&self, user: User, path: &str) -> Page {
        talk(self.connect(user), &get(path)).await.unwrap()
    }
}
