//! The file of the daemon's key, as text and as what the text stands for: in nobody's memory once it was read, neither the first one nor the next.

use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use stagepages_tests::{Daemon, DaemonOptions, Leaf, Marker, eventually};

/// Before the private number in PKCS #8 of a P-256 key (RFC 5915, 5958), in bytes; and all that before it, in base64.
const BEFORE: usize = 36;
const BEFORE_BASE64: usize = BEFORE / 3 * 4;

/// A piece of the text, and one of what it stands for: each with some of the secret in it, in a form that only the file has.
fn pieces(pem: &str) -> [Marker; 2] {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let text = &text.as_bytes()[BEFORE_BASE64..][..32];
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    // With the end of what comes before: the number alone is what the daemon signs with.
    let der = &der.secret_der()[BEFORE - 8..][..32];
    [text, der].map(|piece| Marker::of(piece.try_into().unwrap()))
}

async fn nowhere(daemon: &Daemon, pem: &str) {
    for piece in pieces(pem) {
        eventually("the bytes of the key's file to be nowhere", async || {
            let found = daemon.find(&piece);
            found.iter().all(|place| place.role == "file").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_the_keys_file_are_wiped_when_they_were_read() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let pki = daemon.pki();
    let first = pki.get("server.key");
    // So that a piece is found where it is: in the file itself.
    let [text, _] = pieces(&first);
    assert!(daemon.find(&text).iter().any(|found| found.role == "file"));
    nowhere(&daemon, &first).await;

    pki.put_pair("server", &pki.ca.issue(&Leaf::server()));
    eventually("the new key to be taken", async || {
        let taken = "new handshakes use the new files";
        daemon.log().contains(taken).then_some(())
    })
    .await;
    nowhere(&daemon, &first).await;
    nowhere(&daemon, &pki.get("server.key")).await;
    daemon.stop();
}
