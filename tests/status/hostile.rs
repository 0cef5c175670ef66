//! Names that are markup, and requests that are none of a reader's.

use stagepages_proto::v1::LaunchSpec;
use stagepages_tests::{Api, Daemon, DaemonOptions, SimScript, page, region};

use crate::site::{connect, get, look, talk};

const MARKUP: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>&lt;'";

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_write_is_text_wherever_it_stands() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let api = Api::unix(daemon.socket()).await;
    let labels = [(MARKUP[..60].to_owned(), MARKUP.to_owned())];
    let spec = LaunchSpec {
        labels: labels.into(),
        ..SimScript::new().spec([region(page(0), 1 << 20)])
    };
    api.create("vm", spec).await.unwrap();
    // The words of an error have what the caller wrote.
    api.get(&format!("launches/{MARKUP}")).await.unwrap_err();
    api.create(MARKUP, LaunchSpec::default()).await.unwrap_err();
    let pages = [
        look(&daemon, "/").await.ok(),
        look(&daemon, "/launches/vm").await.ok(),
    ];
    for page in &pages {
        let scripts = page.body.matches("<script").count();
        assert_eq!(scripts, 1, "{}", page.body);
        assert!(!page.body.contains("<img"));
    }
    assert!(pages[0].body.contains("&lt;script&gt;alert(1)"));
    assert!(pages[1].body.contains("&quot;&gt;&lt;script&gt;"));
    // What is not there is named as it was asked for, and escaped.
    let missing = look(&daemon, "/launches/%3Cscript%3E").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.body.matches("<script").count(), 0);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reading_is_answered_and_a_browser_trusts_nothing_else() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let request = get("/").replacen("GET", method, 1);
        let answer = talk(connect(&daemon).await, &request).await.unwrap();
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.headers["allow"], "GET, HEAD");
    }
    let head = talk(connect(&daemon).await, &get("/").replacen("GET", "HEAD", 1)).await;
    let head = head.unwrap().ok();
    assert_eq!(head.body, "");
    let page = look(&daemon, "/").await.ok();
    let policy = &page.headers["content-security-policy"];
    assert!(
        policy.starts_with("default-src 'none'; style-src 'nonce-"),
        "{policy}"
    );
    for part in [
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    let nonce = policy.split("'nonce-").nth(1).unwrap();
    let nonce = nonce.split_once('\'').unwrap().0;
    assert!(page.body.contains(&format!("<script nonce=\"{nonce}\">")));
    let again = look(&daemon, "/").await.ok();
    assert!(
        !again.headers["content-security-policy"].contains(nonce),
        "used twice"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.headers[name], value);
    }
    // Without scripts it is there too, and renews itself.
    assert!(page.body.contains("<noscript><meta http-equiv=\"refresh\""));
    assert!(
        !page.body.contains("http://") && !page.body.contains("https://"),
        "no external assets"
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_gets_nothing() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let with = |host: &str, more: &str| {
        format!("GET / HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n")
    };
    for (request, status) in [
        (with("127.0.0.1:8080", ""), 200),
        (with("[::1]:8080", ""), 200),
        (with("rebound.example:8080", ""), 421),
        (with("localhost", "Origin: http://localhost\r\n"), 200),
        (with("localhost", "Origin: http://evil.example\r\n"), 403),
        (with("localhost", "Origin: null\r\n"), 403),
        (
            with(
                "localhost",
                "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
            ),
            403,
        ),
        (
            with(
                "localhost",
                "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n",
            ),
            200,
        ),
        (
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
            421,
        ),
        (get("/nothing"), 404),
        (get("/?other=1"), 400),
        (get("/?launches=garbage"), 400),
        (get("/?images=garbage"), 400),
    ] {
        let answer = talk(connect(&daemon).await, &request).await.unwrap();
        assert_eq!(answer.status, status, "{request}");
    }
    daemon.stop();
}
