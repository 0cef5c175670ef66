//! `stagectl` over TCP: what it takes, and what it says when something is wrong.
use stagepages_tests::stagectl::{Run, run};
use stagepages_tests::{Authority, Daemon, DaemonOptions, Leaf, SERVER_ID};

/// Runs `stagectl node` against the TCP port under `host`, with the harness' files and `more`.
fn node(daemon: &Daemon, host: &str, more: &[&str]) -> Run {
    let endpoint = format!("tcp:{host}:{}", daemon.tcp().port());
    let file = |name| daemon.pki().path(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let mut words = vec!["--endpoint", &endpoint];
    if !more.contains(&"--ca") {
        words.extend(["--ca", &ca]);
    }
    words.extend(["--cert", &cert, "--key", &key]);
    words.extend(more);
    words.push("node");
    run(&words)
}

#[test]
fn names_addresses_and_spiffe_ids_are_verified() {
    let daemon = Daemon::start(&DaemonOptions::new().listen("tcp:[::1]:0"));
    for (host, more) in [
        ("localhost", &[][..]),
        ("127.0.0.1", &[]),
        ("127.0.0.1", &["--server-name", "localhost"]),
        ("127.0.0.1", &["--server-name", SERVER_ID]),
    ] {
        let run = node(&daemon, host, more);
        assert_eq!(run.exit, Some(0), "{host} {more:?}: {}", run.stderr);
    }
    for name in ["other", "192.0.2.1", "spiffe://test/other"] {
        let run = node(&daemon, "127.0.0.1", &["--server-name", name]);
        assert_eq!(run.exit, Some(1), "{name}");
        let said = format!("the daemon's certificate is not for {name}");
        assert!(run.stderr.contains(&said), "{}", run.stderr);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    }
    daemon.stop();
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let pki = daemon.pki();
    let said = |more: &[&str], part: &str| {
        let run = node(&daemon, "localhost", more);
        assert_ne!(run.exit, Some(0));
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    };
    pki.put("other.crt", &Authority::new("other").pem());
    let other = pki.path("other.crt").display().to_string();
    said(
        &["--ca", &other],
        "signed by none of the CAs in the CA file",
    );
    said(
        &["--ca", "/nonexistent"],
        "cannot read the CA file /nonexistent",
    );
    let bare = run(&["--endpoint", &format!("tcp:{}", daemon.tcp()), "node"]);
    assert!(
        bare.stderr.contains("--cert") && bare.exit == Some(1),
        "{}",
        bare.stderr
    );
    let good = pki.client();
    pki.put_pair(
        "client",
        &Authority::new("other").issue(&Leaf::client(&["spiffe://test/x"])),
    );
    said(&[], "does not know the CA of the client's certificate");
    pki.put_pair("client", &pki.ca.issue(&Leaf::client(&[])));
    said(&[], "refuses the client's certificate");
    pki.put("client.key", &good.key);
    said(&[], "is not the key of the certificate");
    daemon.stop();
}

#[test]
fn a_whole_session_goes_over_tls() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let endpoint = format!("tcp:localhost:{}", daemon.tcp().port());
    let file = |name| daemon.pki().path(name).display().to_string();
    let global = [
        "--endpoint",
        &endpoint,
        "--ca",
        &file("ca.crt"),
        "--cert",
        &file("client.crt"),
        "--key",
        &file("client.key"),
    ]
    .map(str::to_owned);
    let stagectl = |words: &str| {
        let words: Vec<&str> = global
            .iter()
            .map(String::as_str)
            .chain(words.split(' '))
            .collect();
        let run = run(&words);
        assert_eq!(run.exit, Some(0), "{words:?}: {}", run.stderr);
        run.stdout
    };
    let image = daemon.dir().join("image");
    std::fs::write(&image, vec![7; 5 << 20]).unwrap();
    stagectl(
        "launch create vm-1 --platform sim --memory 0x0+64M --page-latency 1us --ordering sequenced",
    );
    let stage = format!(
        "launch stage vm-1 {} --gpa 0x0 --type normal --session s",
        image.display()
    );
    let out = stagectl(&stage);
    assert!(out.contains("1280"), "{out}");
    stagectl("launch verify vm-1");
    stagectl("launch abort vm-1");
    daemon.stop();
}
