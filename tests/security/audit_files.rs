//! Files that are read again while the daemon serves: the audit log tells of each that is in use since, and of each that cannot be.

use serde_json::Value;
use stagepages_tests::{Authority, Daemon, DaemonOptions, Leaf};

use crate::{
    audit_log::{sound, until},
    town::{Town, policy},
};

/// Waits for the next record of this event behind the first `seen`, and returns it.
async fn next(daemon: &Daemon, event: &str, seen: &mut usize) -> Value {
    let dir = daemon.dir().join("state/audit");
    let of_it = |records: &[Value]| -> Vec<Value> {
        let its = records.iter().filter(|it| it["event"] == event);
        its.cloned().collect()
    };
    let records = until(&dir, event, |records| of_it(records).len() > *seen).await;
    let its = of_it(&records);
    assert_eq!(its.len(), *seen + 1, "told more than once: {its:?}");
    *seen += 1;
    its[*seen - 1].clone()
}

/// The daemon did it by itself, with these files; `cause` is what was wrong with them.
#[track_caller]
fn tells(record: &Value, names: &[&str], cause: Option<&str>) {
    assert!(record.get("identity").is_none(), "{record}");
    let paths = record["files"]["paths"].as_array().unwrap();
    assert_eq!(paths.len(), names.len(), "{record}");
    for (path, name) in paths.iter().zip(names) {
        assert!(path.as_str().unwrap().ends_with(name), "{record}");
    }
    match cause {
        None => {
            assert_eq!(record["outcome"], "ok", "{record}");
            assert!(record["files"].get("cause").is_none(), "{record}");
        }
        Some(cause) => {
            assert_eq!(record["outcome"], "UNUSABLE", "{record}");
            let told = record["files"]["cause"].as_str().unwrap();
            assert!(told.contains(cause), "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_cas_are_told_with_their_files_taken_or_not() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let pki = daemon.pki();
    let event = "certificates.reloaded";
    let (pair, ca) = (["/server.crt", "/server.key"], ["/ca.crt"]);
    let mut seen = 0;

    let good = pki.get("server.key");
    let other = Authority::new("other").issue(&Leaf::server());
    pki.put("server.key", &other.key);
    let record = next(&daemon, event, &mut seen).await;
    tells(&record, &pair, Some("is not the key of the certificate"));
    pki.put("server.key", &good);
    tells(&next(&daemon, event, &mut seen).await, &pair, None);

    let good = pki.get("ca.crt");
    pki.put("ca.crt", "nothing");
    let record = next(&daemon, event, &mut seen).await;
    tells(&record, &ca, Some("holds no certificate"));
    pki.put("ca.crt", &format!("{good}{}", Authority::new("next").pem()));
    tells(&next(&daemon, event, &mut seen).await, &ca, None);

    sound(&daemon.dir().join("state/audit"));
    daemon.stop();
}

#[tokio::test]
async fn policies_are_told_with_their_file_taken_or_not() {
    let town = Town::with("");
    let (event, file) = ("policy.reloaded", ["/policy.toml"]);
    let mut seen = 0;
    town.write_policy("[[caller]]\n");
    let record = next(&town.daemon, event, &mut seen).await;
    tells(&record, &file, Some("line 1"));
    town.write_policy(&(policy() + "[default]\nlaunches = 1\n"));
    tells(&next(&town.daemon, event, &mut seen).await, &file, None);
    sound(&town.daemon.dir().join("state/audit"));
}
