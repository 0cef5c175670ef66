//! Each expression of the admission policies lets an agent do its work, and keeps it from what is not its own.
//!
//! **Invariant:** an expression without a case fails, and so does a case without an expression.

mod cases;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use cases::{
    OF_A, OF_A_PERSON, OF_ANOTHER_ACCOUNT, OF_ANOTHER_NAMESPACE, OF_NO_NODE, Write, event, events,
    images, launches,
};

use super::{
    asker::{Ask, ask},
    rig::SPACE,
    stand_in::{ApiServer, EVENTS, IMAGES, LAUNCHES, NODES, PODS, User, manifests},
};

/// Every expression: its policy, its name if it is a condition, and what is told.
fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for policy in manifests::in_rbac("ValidatingAdmissionPolicy") {
        let name = policy["metadata"]["name"].as_str().unwrap();
        for (list, key) in [("matchConditions", "name"), ("validations", "message")] {
            for it in policy["spec"][list].as_array().unwrap() {
                all.push((name.to_owned(), it[key].as_str().unwrap().to_owned()));
            }
        }
    }
    all
}

async fn tried(api: &ApiServer, number: usize, write: &Write) -> (u16, Value) {
    let name = format!("it-{number}");
    let mut body = write.change.clone();
    let (method, below) = match &write.before {
        None => {
            body["metadata"]["name"] = json!(name);
            ("POST", String::new())
        }
        Some(before) => {
            let mut before = before.clone();
            before["metadata"]["name"] = json!(name);
            let space = if write.kind.namespaced { SPACE } else { "" };
            api.create(write.kind, space, before).unwrap();
            let part = if write.is_status { "/status" } else { "" };
            ("PATCH", format!("/{name}{part}"))
        }
    };
    let kind = write.kind;
    let asked = Ask {
        method,
        kind,
        below,
        body,
    };
    ask(api, write.token, SPACE, &asked).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_expression_lets_an_agent_work_and_keeps_it_from_what_is_not_its_own() {
    let api = ApiServer::start().await;
    let account = |space: &str, name: &str, node| User::service_account(space, name, node);
    let agent = "stagepages-node-agent";
    api.admit(OF_A, User::agent("node-a"));
    api.admit(OF_NO_NODE, account("stagepages", agent, None));
    api.admit(OF_ANOTHER_NAMESPACE, account("lab", agent, Some("node-a")));
    api.admit(OF_A_PERSON, User::admin());
    api.admit(OF_ANOTHER_ACCOUNT, account("lab", "ci", Some("node-a")));
    let mut left: BTreeSet<_> = expressions().into_iter().collect();
    let mut number = 0;
    for case in [launches(), images(), events()].into_iter().flatten() {
        let told = { left.iter() }
            .find(|(policy, told)| policy == case.policy && told.starts_with(case.expression))
            .cloned();
        let told = told.unwrap_or_else(|| panic!("no expression {}", case.expression));
        left.remove(&told);
        assert!(!case.allowed.is_empty() && !case.refused.is_empty());
        for write in &case.allowed {
            number += 1;
            let (code, answer) = tried(&api, number, write).await;
            assert_eq!(code, 200, "{}, {}: {answer}", write.token, write.change);
        }
        for write in &case.refused {
            number += 1;
            let (code, answer) = tried(&api, number, write).await;
            let what = format!("{}, {}: {answer}", write.token, write.change);
            let of = (code, &answer["status"], &answer["reason"]);
            assert_eq!(of, (403, &json!("Failure"), &json!("Forbidden")), "{what}");
            let message = answer["message"].as_str().unwrap();
            let begin = format!(
                "\"it-{number}\" is forbidden: ValidatingAdmissionPolicy '{}'",
                case.policy
            );
            assert!(message.contains(&begin), "{what}");
            // A condition has no words of its own.
            let is_condition = case.expression == "is-the-agent";
            assert!(is_condition || message.ends_with(&told.1), "{what}");
        }
    }
    assert!(left.is_empty(), "expressions without a case: {left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_for_no_more_than_its_role_has() {
    let api = ApiServer::start().await;
    api.admit(OF_A, User::agent("node-a").bounded());
    api.admit(
        OF_ANOTHER_ACCOUNT,
        User::service_account("lab", "ci", None).bounded(),
    );
    for (method, kind, below, is_allowed) in [
        ("GET", PODS, "", true),
        ("GET", PODS, "?watch=1", true),
        ("GET", PODS, "/vm", false),
        ("PATCH", PODS, "/vm", false),
        ("GET", NODES, "/node-a", true),
        ("GET", NODES, "", false),
        ("PATCH", NODES, "/node-a", false),
        ("POST", LAUNCHES, "", false),
        ("PATCH", LAUNCHES, "/it", true),
        ("PATCH", LAUNCHES, "/it/status", true),
        ("DELETE", LAUNCHES, "/it", false),
        ("PATCH", IMAGES, "/it", false),
        ("PATCH", IMAGES, "/it/status", true),
        ("GET", EVENTS, "", false),
    ] {
        let asked = Ask {
            method,
            kind,
            below: below.to_owned(),
            body: json!({}),
        };
        let (code, answer) = ask(&api, OF_ANOTHER_ACCOUNT, SPACE, &asked).await;
        assert_eq!(code, 403, "{answer}");
        if below != "?watch=1" {
            let (code, answer) = ask(&api, OF_A, SPACE, &asked).await;
            assert_eq!(code != 403, is_allowed, "{asked:?}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_that_fails_refuses_too() {
    let api = ApiServer::start().await;
    api.admit(OF_A, User::agent("node-a"));
    // No name of who reports: the expression asks for a field that is not there.
    let write = event(OF_A, &[("reportingController", Value::Null)]);
    let (code, answer) = tried(&api, 1, &write).await;
    assert_eq!(
        (code, &answer["reason"]),
        (422, &json!("Invalid")),
        "{answer}"
    );
    let write = event("nobody's", &[]);
    assert_eq!(tried(&api, 2, &write).await.0, 401);
}
