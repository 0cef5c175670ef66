//! Plain HTTP/1.1 by hand, and the metrics that a daemon tells by it.
//!
//! **Invariant:** what does not parse is a panic; no sample is passed over.
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::daemon::Daemon;
use crate::wait::LONG;

/// Where plain pages are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainPlace {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

/// An answer of plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainAnswer {
    /// The status code.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

/// A connection of plain HTTP.
pub trait PlainStream: Read + Write + Send {}

impl<T: Read + Write + Send> PlainStream for T {}

impl PlainPlace {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(&self) -> io::Result<Box<dyn PlainStream>> {
        Ok(match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(LONG))?;
                Box::new(stream)
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, Duration::from_secs(10))?;
                stream.set_read_timeout(Some(LONG))?;
                Box::new(stream)
            }
        })
    }

    /// One request on a connection of its own; `headers` are whole lines.
    ///
    /// # Errors
    /// The connection ended before the answer did.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> io::Result<PlainAnswer> {
        let mut stream = self.connect()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        let text = String::from_utf8_lossy(&all).into_owned();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok(PlainAnswer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    /// The metrics there.
    ///
    /// # Panics
    /// If nobody serves them.
    #[must_use]
    pub fn scrape(&self) -> Scrape {
        let answer = self.ask("GET", "/metrics", "").expect("metrics are served");
        assert_eq!(answer.status, 200, "{}", answer.head);
        Scrape::parse(&answer.body)
    }
}

/// Samples, by name and labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scrape {
    samples: BTreeMap<(String, String), f64>,
    types: BTreeMap<String, String>,
    helps: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads Prometheus text 0.0.4.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            let word = |prefix: &str| {
                let rest = line.strip_prefix(prefix)?;
                let (name, rest) = rest.split_once(' ')?;
                Some((name.to_owned(), rest.to_owned()))
            };
            if let Some((name, kind)) = word("# TYPE ") {
                assert_eq!(scrape.types.insert(name, kind), None, "{line}");
            } else if let Some((name, help)) = word("# HELP ") {
                assert_eq!(scrape.helps.insert(name, help), None, "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let value: f64 = value.parse().expect("a number");
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let mut labels: Vec<_> = labels
                    .trim_end_matches('}')
                    .split(',')
                    .filter(|label| !label.is_empty())
                    .collect();
                labels.sort_unstable();
                let key = (name.to_owned(), labels.join(","));
                assert_eq!(scrape.samples.insert(key, value), None, "{line}");
            }
        }
        scrape
    }

    /// What families there are, with their types.
    #[must_use]
    pub fn types(&self) -> &BTreeMap<String, String> {
        &self.types
    }

    /// Every name that a sample has.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(|(name, _)| name.as_str())
    }

    /// The labels that the samples of a family have, values and all.
    pub fn labels_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of = move |it: &str| it == name || it == format!("{name}_count");
        self.samples
            .keys()
            .filter(move |(known, _)| of(known))
            .map(|(_, labels)| labels.as_str())
    }

    /// The sum of the samples of this name that have all of `labels`, each as `name="value"`; none if there is none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let of = self.samples.iter().filter(|((known, has), _)| {
            known == name
                && labels
                    .iter()
                    .all(|label| has.split(',').any(|it| it == *label))
        });
        let values: Vec<_> = of.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The same of what counts whole things; 0 if there is none.
    ///
    /// # Panics
    /// If it is no whole number.
    #[must_use]
    pub fn count(&self, name: &str, labels: &[&str]) -> u64 {
        let sum = self.sum(name, labels).unwrap_or_default();
        let text = format!("{sum:.0}");
        assert!((sum - text.parse::<f64>().expect("a number")).abs() < 1e-9);
        text.parse().expect("a count")
    }
}

/// Where a daemon that was started with metrics has them.
pub(crate) fn metrics_socket(dir: &Path) -> PathBuf {
    dir.join("metrics.sock")
}

impl Daemon {
    /// Where it serves its metrics, if it was started with them.
    #[must_use]
    pub fn metrics(&self) -> PlainPlace {
        PlainPlace::Unix(metrics_socket(self.dir()))
    }
}
