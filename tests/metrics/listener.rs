//! Where metrics are served, and what their visitors cannot do.
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime};

use stagepages_tests::{Daemon, DaemonOptions, Leaf, PlainPlace, PlainStream, Scrape, eventually};

/// Whether the daemon closes a connection without an answer.
fn closed(stream: &mut dyn PlainStream) -> bool {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer.is_empty(),
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// The port that the kernel chose, as the daemon logs it once it has said that it is ready.
async fn tcp(daemon: &Daemon) -> PlainPlace {
    let port = eventually("the ports in the log", async || {
        let log = daemon.log();
        let at = log.split("metrics=").nth(1)?;
        let (port, _) = at.split("tcp:127.0.0.1:").nth(1)?.split_once('"')?;
        Some(port.to_owned())
    })
    .await;
    PlainPlace::Tcp(SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_without_the_key() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let error = daemon.metrics().connect().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    eventually("the log to say so", async || {
        daemon.log().contains("metrics=\"\"").then_some(())
    })
    .await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_formats_have_the_same_and_other_pages_and_methods_are_refused() {
    let options = DaemonOptions::new()
        .metrics()
        .flag("--metrics-listen=tcp:127.0.0.1:0");
    let daemon = Daemon::start(&options);
    for place in [daemon.metrics(), tcp(&daemon).await] {
        let old = place.ask("GET", "/metrics", "").unwrap();
        assert_eq!(old.status, 200);
        let head = old.head.to_ascii_lowercase();
        for line in [
            "content-type: text/plain; version=0.0.4; charset=utf-8",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
        let accept = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
        let new = place.ask("GET", "/metrics", accept).unwrap();
        assert!(
            new.head
                .contains("application/openmetrics-text; version=1.0.0")
        );
        assert!(new.body.ends_with("# EOF\n"));
        let names = |text: &str| {
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            let names = samples.filter_map(|line| line.split([' ', '{']).next());
            names
                .map(str::to_owned)
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(names(&old.body), names(&new.body));
        drop(Scrape::parse(&old.body));
        let head = place.ask("HEAD", "/metrics", "").unwrap();
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(place.ask("GET", "/metrics?x=1", "").unwrap().status, 200);
        for path in ["/", "/metrics/", "/../metrics", "//metrics"] {
            assert_eq!(place.ask("GET", path, "").unwrap().status, 404, "{path}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let answer = place.ask(method, "/metrics", "").unwrap();
            assert_eq!(answer.status, 405, "{method}");
            assert!(
                answer
                    .head
                    .to_ascii_lowercase()
                    .contains("allow: get, head")
            );
        }
    }
    daemon.stop();
}

#[test]
fn heads_that_are_too_long_and_what_is_no_http_end_their_connection_only() {
    let daemon = Daemon::start(&DaemonOptions::new().metrics());
    let place = daemon.metrics();
    let long = "x".repeat(40 << 10);
    let lines = "a: b\r\n".repeat(100);
    let get = "GET /metrics HTTP/1.1\r\nhost: x\r\n";
    let heads = [
        format!("{get}a: {long}\r\n\r\n"),
        format!("{get}{lines}\r\n"),
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\0\0\0 not http at all\r\n\r\n".to_owned(),
    ];
    for head in heads {
        let mut stream = place.connect().unwrap();
        // It may be closed before all is sent.
        drop(stream.write_all(head.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.contains("stagepages_"), "{answer}");
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    drop(place.scrape());
    daemon.stop();
}

/// Nobody waits for a head that does not come; the test waits for the daemon's own bound.
#[test]
fn a_head_that_does_not_come_is_waited_for_a_bounded_time() {
    let daemon = Daemon::start(&DaemonOptions::new().metrics());
    let mut slow = daemon.metrics().connect().unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nho").unwrap();
    let mut answer = Vec::new();
    // Ends by the daemon, or the harness's patience of a minute ends it with an error.
    slow.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    daemon.stop();
}

#[test]
fn a_crowd_drives_out_itself_and_a_scrape_gets_through() {
    let daemon = Daemon::start(&DaemonOptions::new().metrics());
    let place = daemon.metrics();
    let mut crowd: Vec<_> = (0..100).map(|_| place.connect().unwrap()).collect();
    drop(place.scrape());
    // As many as there may be are left of it; the first are gone.
    for stream in &mut crowd[..60] {
        assert!(closed(stream.as_mut()));
    }
    drop(crowd);
    drop(place.scrape());
    assert!(
        daemon
            .log()
            .contains("connections for pages are at their limit")
    );
    daemon.stop();
}

/// Who has all places and takes nothing of its answers loses them to the next.
#[test]
fn visitors_that_take_no_answers_hold_up_nobody() {
    let daemon = Daemon::start(&DaemonOptions::new().metrics());
    let PlainPlace::Unix(path) = daemon.metrics() else {
        unreachable!("a Unix socket")
    };
    let deaf: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
            // Until the daemon reads no more, which is when it cannot write.
            while stream.write_all(request).is_ok() {
                if stream.write_all(&request.repeat(100)).is_err() {
                    break;
                }
            }
            stream
        })
        .collect();
    drop(daemon.metrics().scrape());
    drop(deaf);
    daemon.stop();
}

#[test]
fn a_connection_is_kept_for_the_next_scrape() {
    let daemon = Daemon::start(&DaemonOptions::new().metrics());
    let mut stream = daemon.metrics().connect().unwrap();
    for _ in 0..3 {
        stream
            .write_all(b"HEAD /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 200"));
    }
    // An end of the daemon does not wait for it.
    daemon.stop();
}

#[test]
fn an_address_that_is_taken_ends_the_start_and_names_the_key() {
    let daemon = Daemon::start(&DaemonOptions::new().metrics());
    let PlainPlace::Unix(path) = daemon.metrics() else {
        unreachable!("a Unix socket")
    };
    let flag = format!("--metrics-listen=unix:{}", path.display());
    let failed = Daemon::try_start(&DaemonOptions::new().flag(&flag)).unwrap_err();
    assert!(failed.log.contains("metrics_listen"), "{}", failed.log);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expiry_of_certificates_is_told_and_follows_their_renewal() {
    let daemon = Daemon::start(&DaemonOptions::new().metrics());
    let not_after = |certificate: &str| {
        let label = format!("certificate=\"{certificate}\"");
        let name = "stagepages_tls_not_after_timestamp_seconds";
        daemon.metrics().scrape().sum(name, &[&label])
    };
    let now = SystemTime::now();
    let seconds = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap().as_secs_f64()
    };
    assert!(not_after("server") > Some(seconds(now)));
    assert!(not_after("client_ca") > not_after("server"));
    let end = now + Duration::from_secs(7 * 3600);
    let leaf = Leaf::server().valid(now - Duration::from_secs(60), end);
    daemon
        .pki()
        .put_pair("server", &daemon.pki().ca.issue(&leaf));
    eventually("the new certificate", async || {
        let told = not_after("server")?;
        ((told - seconds(end)).abs() < 2.0).then_some(())
    })
    .await;
    daemon.stop();
}
