//! Each rule of the CRDs lets through what it should, and refuses the rest in its own words.
//!
//! **Invariant:** a rule without a case fails, and so does a case without a rule.

mod cases;

use std::collections::BTreeSet;

use kube_cel::{compile_schema, estimate_rule_cost};
use serde_json::{Value, json};

use cases::{cases, reference, sound, with};

use super::{
    asker::{Ask, ask},
    rig::SPACE,
    stand_in::{ApiServer, IMAGES, Kind, LAUNCHES, User, manifests},
};

/// A rule as it is checked in.
struct Rule {
    kind: Kind,
    at: String,
    schema: Value,
    rule: String,
    message: String,
}

fn rules() -> Vec<Rule> {
    let mut all = Vec::new();
    for definition in manifests::definitions() {
        let kind = [LAUNCHES, IMAGES].into_iter();
        let kind = { kind.into_iter() }
            .find(|it| definition["spec"]["names"]["kind"] == it.kind)
            .unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        collect(kind, schema, "", &mut all);
        // Nothing is overlooked, wherever it is.
        let text = definition.to_string();
        let written = text.matches("\"rule\":").count();
        assert_eq!(all.iter().filter(|it| it.kind == kind).count(), written);
    }
    all
}

fn collect(kind: Kind, schema: &Value, at: &str, into: &mut Vec<Rule>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        into.push(Rule {
            kind,
            at: at.to_owned(),
            schema: schema.clone(),
            rule: rule["rule"].as_str().unwrap().to_owned(),
            message: rule["message"].as_str().unwrap().to_owned(),
        });
    }
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        collect(kind, part, at.trim_start_matches('.'), into);
    }
}

fn post(kind: Kind, name: &str, spec: &Value) -> Ask {
    Ask {
        method: "POST",
        kind,
        below: String::new(),
        body: json!({ "metadata": { "name": name }, "spec": spec }),
    }
}

const ADMIN: &str = "token-of-an-admin";

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_takes_what_it_should_and_refuses_the_rest_in_its_own_words() {
    let api = ApiServer::start().await;
    api.admit(ADMIN, User::admin());
    let rules = rules();
    let mut covered = BTreeSet::new();
    for (nth, case) in cases().iter().enumerate() {
        let found: Vec<_> = { rules.iter().enumerate() }
            .filter(|(_, it)| it.kind == case.kind && it.at == case.at)
            .filter(|(_, it)| it.message.starts_with(case.told))
            .collect();
        let [(number, rule)] = found.as_slice() else {
            panic!("{} has {} rules {:?}", case.at, found.len(), case.told);
        };
        covered.insert(*number);
        let is_transition = rule.rule.contains("oldSelf");
        for (mth, change) in [&case.good].into_iter().chain(&case.bad).enumerate() {
            let name = format!("it-{nth}-{mth}");
            let spec = sound(case.kind);
            let asked = match is_transition {
                false => post(case.kind, &name, &with(&spec, change)),
                true => {
                    let made = ask(&api, ADMIN, SPACE, &post(case.kind, &name, &spec)).await;
                    assert_eq!(made.0, 200, "{}", made.1);
                    Ask {
                        method: "PATCH",
                        kind: case.kind,
                        below: format!("/{name}"),
                        body: json!({ "spec": change, "metadata": { "labels": { "a": "b" } } }),
                    }
                }
            };
            let (code, answer) = ask(&api, ADMIN, SPACE, &asked).await;
            if mth == 0 {
                assert_eq!(code, 200, "{change}: {answer}");
                continue;
            }
            assert_eq!(
                (code, &answer["reason"]),
                (422, &json!("Invalid")),
                "{change}: {answer}"
            );
            let details = &answer["details"];
            let of = (&details["kind"], &details["group"], &details["name"]);
            let wanted = (json!(case.kind.kind), json!("stagepages.dev"), json!(name));
            assert_eq!(of, (&wanted.0, &wanted.1, &wanted.2), "{answer}");
            let kind = rule.schema["type"].as_str().unwrap();
            let cause = json!({
                "field": case.at,
                "reason": "FieldValueInvalid",
                "message": format!("Invalid value: {kind:?}: {}", rule.message),
            });
            assert_eq!(details["causes"], json!([cause]), "{change}");
            let message = answer["message"].as_str().unwrap();
            let said = format!("{} is invalid: {}: ", json!(name), case.at);
            assert!(
                message.contains(&said) && message.ends_with(&rule.message),
                "{message}"
            );
        }
    }
    let left: Vec<_> = { rules.iter().enumerate() }
        .filter(|(number, _)| !covered.contains(number))
        .map(|(_, it)| (it.kind.kind, &it.at, &it.rule))
        .collect();
    assert!(left.is_empty(), "rules without a case: {left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_is_told_at_once() {
    let api = ApiServer::start().await;
    api.admit(ADMIN, User::admin());
    let change = json!({ "podName": "VM", "settings": { "tdx": { "xfam": "x" } } });
    let asked = post(LAUNCHES, "it", &with(&sound(LAUNCHES), &change));
    let (code, answer) = ask(&api, ADMIN, SPACE, &asked).await;
    assert_eq!(code, 422);
    let causes = answer["details"]["causes"].as_array().unwrap();
    let fields: BTreeSet<_> = { causes.iter() }
        .map(|it| it["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        BTreeSet::from(["spec", "spec.podName", "spec.settings.tdx.xfam"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_null_is_one_that_is_not_given() {
    let api = ApiServer::start().await;
    api.admit(ADMIN, User::admin());
    for (name, change) in [
        ("a", json!({ "settings": null })),
        ("b", json!({ "expectedLaunchDigest": null })),
        (
            "c",
            json!({ "priority": null, "image": { "ref": reference(), "file": null } }),
        ),
    ] {
        for kind in [LAUNCHES, IMAGES] {
            let mut spec = sound(kind);
            for (field, value) in change.as_object().unwrap() {
                spec[field] = value.clone();
            }
            if kind == IMAGES && name != "a" {
                continue;
            }
            let (code, answer) = ask(&api, ADMIN, SPACE, &post(kind, name, &spec)).await;
            assert_eq!(code, 200, "{change}: {answer}");
        }
    }
}

#[test]
fn rules_cost_less_than_an_api_server_allows() {
    for rule in rules() {
        let schema = compile_schema(&rule.schema);
        let warnings = estimate_rule_cost(&rule.rule, &schema);
        assert!(warnings.is_empty(), "{}: {warnings:#?}", rule.at);
        // An API server takes no definition with such a message.
        assert!(!rule.message.contains('\n'), "{}", rule.at);
    }
}
