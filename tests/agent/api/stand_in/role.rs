//! What a service account may ask for at all: the ClusterRoles of deploy/kubernetes/base/rbac.yaml that are bound to it.
//!
//! **Invariant:** what no rule names is refused.

use serde_json::Value;

use super::{
    manifests,
    refused::{Refused, refused},
    store::Kind,
    user::User,
};

/// Rules, each with whom it is for.
#[derive(Debug)]
pub(super) struct Roles(Vec<(String, Value)>);

/// One request.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) by: &'a User,
    pub(super) verb: &'static str,
    pub(super) kind: Kind,
    pub(super) is_status: bool,
}

impl Roles {
    pub(super) fn read() -> Self {
        let roles = manifests::in_rbac("ClusterRole");
        let mut all = Vec::new();
        for binding in manifests::in_rbac("ClusterRoleBinding") {
            let role = { roles.iter() }
                .find(|it| it["metadata"]["name"] == binding["roleRef"]["name"])
                .unwrap();
            for subject in binding["subjects"].as_array().unwrap() {
                let part = |name: &str| subject[name].as_str().unwrap();
                assert_eq!(part("kind"), "ServiceAccount");
                let account = User::service_account(part("namespace"), part("name"), None);
                for rule in role["rules"].as_array().unwrap() {
                    all.push((account.name().to_owned(), rule.clone()));
                }
            }
        }
        Self(all)
    }

    pub(super) fn judge(&self, asked: &Asked<'_>) -> Result<(), Refused> {
        let (by, verb, kind) = (asked.by, asked.verb, asked.kind);
        if !by.is_bounded() {
            return Ok(());
        }
        let status = if asked.is_status { "/status" } else { "" };
        let (group, resource) = (kind.group(), format!("{}{status}", kind.plural));
        let names = |rule: &Value, list: &str, it: &str| {
            let all = rule[list].as_array().unwrap();
            all.iter().any(|name| name == it)
        };
        let is_allowed = self.0.iter().any(|(account, rule)| {
            account == by.name()
                && names(rule, "verbs", verb)
                && names(rule, "apiGroups", group)
                && names(rule, "resources", &resource)
        });
        match is_allowed {
            true => Ok(()),
            false => Err(refused(
                403,
                "Forbidden",
                format!(
                    "{resource} is forbidden: User {:?} cannot {verb} resource {resource:?} in API group {group:?}",
                    by.name()
                ),
            )),
        }
    }
}
