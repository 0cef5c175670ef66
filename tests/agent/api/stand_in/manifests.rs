//! What is applied to a cluster, as it is checked in.
//!
//! **Invariant:** the files themselves, at the time the tests were built.

use serde_json::Value;

/// The CustomResourceDefinitions.
pub(crate) fn definitions() -> Vec<Value> {
    let text = include_str!("../../../../deploy/kubernetes/base/crds.yaml");
    of_kind(text, "CustomResourceDefinition")
}

/// All of a kind in rbac.yaml, which has the policies too.
pub(crate) fn in_rbac(kind: &str) -> Vec<Value> {
    of_kind(
        include_str!("../../../../deploy/kubernetes/base/rbac.yaml"),
        kind,
    )
}

fn of_kind(text: &str, kind: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let found: Vec<_> = { all.into_iter() }
        .filter(|it| it["kind"] == kind)
        .collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}
