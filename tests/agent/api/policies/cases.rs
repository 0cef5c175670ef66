//! What an agent writes, and what it must not.
//!
//! **Invariant:** a write that is refused keeps to every expression before the one that it stands for.

use serde_json::{Value, json};

use super::super::stand_in::{EVENTS, IMAGES, Kind, LAUNCHES};

/// Tokens, and what they are.
pub(super) const OF_A: &str = "of the agent of node-a";
pub(super) const OF_NO_NODE: &str = "of an agent by a token that is bound to no pod";
pub(super) const OF_ANOTHER_NAMESPACE: &str = "of an agent that was installed in another namespace";
pub(super) const OF_A_PERSON: &str = "of a person";
pub(super) const OF_ANOTHER_ACCOUNT: &str = "of another service account";

/// A write: by whom, to what, and what it changes.
pub(super) struct Write {
    pub(super) token: &'static str,
    pub(super) kind: Kind,
    /// What is there before; nothing where this creates it.
    pub(super) before: Option<Value>,
    pub(super) is_status: bool,
    pub(super) change: Value,
}

/// One expression.
pub(super) struct Case {
    pub(super) policy: &'static str,
    /// A condition's name, or how a message begins.
    pub(super) expression: &'static str,
    pub(super) allowed: Vec<Write>,
    pub(super) refused: Vec<Write>,
}

const WRITES: &str = "stagepages-node-agent";
const REPORTS: &str = "stagepages-node-agent-events";

fn reference() -> String {
    format!("r/guest@sha256:{}", "0a".repeat(32))
}

fn owner(pod: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "name": pod, "uid": "1" })
}

/// A launch that is bound to a node, or to none.
fn bound(node: &str) -> Value {
    let mut launch = json!({
        "metadata": { "finalizers": ["example.org/other"], "labels": { "a": "b" }, "ownerReferences": [owner("vm")] },
        "spec": { "podName": "vm", "platform": "sim", "image": { "ref": reference() } },
    });
    if !node.is_empty() {
        launch["status"] = json!({ "state": "PENDING", "node": node });
    }
    launch
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "tables read better without & before json!"
)]
fn status(launch: &str, token: &'static str, change: Value) -> Write {
    Write {
        token,
        kind: LAUNCHES,
        before: Some(bound(launch)),
        is_status: true,
        change: json!({ "status": change }),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "tables read better without & before json!"
)]
fn metadata(launch: &str, token: &'static str, change: Value) -> Write {
    Write {
        is_status: false,
        change: json!({ "metadata": change }),
        ..status(launch, token, Value::Null)
    }
}

fn created(token: &'static str, kind: Kind, object: Value) -> Write {
    Write {
        token,
        kind,
        before: None,
        is_status: false,
        change: object,
    }
}

fn entry(node: &str, ready: &str) -> Value {
    json!({ "node": node, "ready": ready, "reason": "PULLED", "message": "", "lastTransitionTime": "2026-11-23T12:00:00Z" })
}

fn digest(vcpus: u32, digit: &str) -> Value {
    json!({ "vcpus": vcpus, "digest": digit.repeat(96) })
}

/// A write to the status of an image.
#[expect(clippy::needless_pass_by_value, reason = "as above")]
fn image(nodes: Value, digests: Value, change: Value) -> Write {
    let before = json!({
        "spec": { "platform": "sim", "image": { "ref": reference() } },
        "status": { "nodes": nodes, "expectedDigests": digests },
    });
    Write {
        token: OF_A,
        kind: IMAGES,
        before: Some(before),
        is_status: true,
        change: json!({ "status": change }),
    }
}

pub(super) fn event(token: &'static str, change: &[(&str, Value)]) -> Write {
    let mut event = json!({
        "eventTime": "2026-11-23T12:00:00.000000Z", "type": "Normal", "reason": "Running", "action": "Launch",
        "reportingController": "stagepages.dev/node-agent", "reportingInstance": "node-a",
        "regarding": { "kind": "ConfidentialLaunch", "name": "it" },
    });
    for (field, value) in change {
        match value.is_null() {
            true => drop(event.as_object_mut().unwrap().remove(*field)),
            false => event[field] = value.clone(),
        }
    }
    created(token, EVENTS, event)
}

pub(super) fn launches() -> Vec<Case> {
    let mine = || json!({ "state": "CREATED", "node": "node-a" });
    let abort = || json!({ "finalizers": ["example.org/other", "stagepages.dev/abort"] });
    let of = |expression, allowed, refused| Case {
        policy: WRITES,
        expression,
        allowed,
        refused,
    };
    vec![
        of(
            "is-the-agent",
            vec![
                metadata("node-b", OF_A_PERSON, json!({ "labels": { "a": "c" } })),
                status("node-b", OF_ANOTHER_ACCOUNT, mine()),
                created(OF_ANOTHER_ACCOUNT, LAUNCHES, bound("")),
            ],
            vec![status("node-b", OF_ANOTHER_NAMESPACE, mine())],
        ),
        of(
            "the agent's token names no node",
            vec![status("", OF_A, mine())],
            vec![
                status("", OF_NO_NODE, json!({ "state": "CREATED" })),
                metadata("", OF_NO_NODE, abort()),
            ],
        ),
        of(
            "an agent creates no launches and no images",
            vec![status("node-a", OF_A, mine())],
            vec![created(OF_A, LAUNCHES, bound("")), {
                let spec = json!({ "platform": "sim", "image": { "ref": reference() } });
                created(OF_A, IMAGES, json!({ "spec": spec }))
            }],
        ),
        of(
            "an agent writes the status of launches",
            vec![status("", OF_A, mine()), status("node-a", OF_A, mine())],
            vec![
                // Bound to another, taken from another, given to another, and left to nobody.
                status("node-b", OF_A, json!({ "state": "FAILED" })),
                status("node-b", OF_A, mine()),
                status("", OF_A, json!({ "state": "CREATED", "node": "node-b" })),
                status("node-a", OF_A, json!({ "node": "node-b" })),
                status("node-a", OF_A, json!({ "node": null })),
                status("", OF_A, json!({ "state": "FAILED" })),
            ],
        ),
        of(
            "of a launch an agent changes the finalizer",
            vec![
                metadata("node-a", OF_A, abort()),
                metadata("node-a", OF_A, json!({})),
            ],
            vec![
                metadata("node-b", OF_A, abort()),
                metadata("", OF_A, abort()),
                metadata("node-a", OF_A, json!({ "finalizers": [] })),
                metadata(
                    "node-a",
                    OF_A,
                    json!({ "finalizers": ["example.org/other", "example.org/more"] }),
                ),
                metadata("node-a", OF_A, json!({ "labels": { "a": "c" } })),
                metadata("node-a", OF_A, json!({ "labels": null })),
                metadata("node-a", OF_A, json!({ "annotations": { "a": "b" } })),
                metadata(
                    "node-a",
                    OF_A,
                    json!({ "ownerReferences": [owner("other")] }),
                ),
                metadata("node-a", OF_A, json!({ "ownerReferences": null })),
            ],
        ),
    ]
}

pub(super) fn images() -> Vec<Case> {
    let of = |expression, allowed, refused| Case {
        policy: WRITES,
        expression,
        allowed,
        refused,
    };
    let (a, b) = (|| entry("node-a", "True"), || entry("node-b", "True"));
    let none = || json!([]);
    let told = || json!([digest(1, "a")]);
    vec![
        of(
            "of an image an agent writes the entry",
            vec![
                image(json!([b()]), none(), json!({ "nodes": [b(), a()] })),
                image(json!([a(), b()]), none(), json!({ "nodes": [b()] })),
                image(none(), none(), json!({ "nodes": [a()] })),
            ],
            vec![
                image(json!([b()]), none(), json!({ "nodes": [] })),
                image(
                    json!([b()]),
                    none(),
                    json!({ "nodes": [entry("node-b", "False")] }),
                ),
                image(none(), none(), json!({ "nodes": [a(), b()] })),
                Write {
                    is_status: false,
                    change: json!({ "spec": { "nodeSelector": { "pool": "a" } } }),
                    ..image(none(), none(), Value::Null)
                },
            ],
        ),
        of(
            "a digest that another agent told is not changed",
            vec![
                image(json!([a()]), none(), json!({ "expectedDigests": told() })),
                image(
                    json!([b()]),
                    told(),
                    json!({ "nodes": [b(), a()], "expectedDigests": [digest(1, "a"), digest(2, "b")] }),
                ),
            ],
            vec![
                image(
                    json!([b()]),
                    told(),
                    json!({ "expectedDigests": [digest(1, "b")] }),
                ),
                image(
                    json!([b()]),
                    told(),
                    json!({ "expectedDigests": [digest(2, "a"), digest(1, "b")] }),
                ),
            ],
        ),
        of(
            "a digest is not taken away",
            vec![
                // The last node that has it goes; whoever has not got it does not hold it up.
                image(
                    json!([a(), entry("node-b", "False")]),
                    told(),
                    json!({ "nodes": [entry("node-b", "False")], "expectedDigests": [] }),
                ),
                image(json!([a(), b()]), told(), json!({ "nodes": [b()] })),
            ],
            vec![
                image(json!([a(), b()]), told(), json!({ "expectedDigests": [] })),
                image(
                    json!([b()]),
                    told(),
                    json!({ "expectedDigests": [digest(2, "a")] }),
                ),
            ],
        ),
    ]
}

pub(super) fn events() -> Vec<Case> {
    let of = |expression, allowed, refused| Case {
        policy: REPORTS,
        expression,
        allowed,
        refused,
    };
    let of_b = || ("reportingInstance", json!("node-b"));
    let about = |kind: &str| ("regarding", json!({ "kind": kind, "name": "it" }));
    vec![
        of(
            "is-the-agent",
            vec![event(OF_ANOTHER_ACCOUNT, &[of_b(), about("Pod")])],
            vec![event(OF_ANOTHER_NAMESPACE, &[of_b()])],
        ),
        of(
            "an agent reports events in its own name",
            vec![event(OF_A, &[])],
            vec![
                event(OF_A, &[of_b()]),
                event(OF_A, &[("reportingController", json!("kubelet"))]),
                event(OF_NO_NODE, &[]),
                event(OF_NO_NODE, &[("reportingInstance", json!(""))]),
            ],
        ),
        of(
            "an agent reports events about launches",
            vec![event(OF_A, &[]), event(OF_A, &[about("LaunchImage")])],
            vec![
                event(OF_A, &[about("Pod")]),
                event(OF_A, &[("regarding", Value::Null)]),
            ],
        ),
    ]
}
