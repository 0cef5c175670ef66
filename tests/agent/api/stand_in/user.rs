//! Who calls: whom the API server takes the bearer of a token for.
//!
//! **Invariant:** a request without a token that is known is nobody's, and is answered 401.

use serde_json::{Value, json};

/// The node in the token of a pod's service account, since Kubernetes 1.32.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// Somebody.
#[derive(Clone, Debug)]
pub(crate) struct User {
    name: String,
    groups: Vec<String>,
    /// The node of the pod that its token is bound to.
    node: Option<String>,
    /// Whether it may do no more than its roles say.
    is_bounded: bool,
}

impl User {
    /// Who may do everything.
    pub(crate) fn admin() -> Self {
        Self {
            name: "kubernetes-admin".to_owned(),
            groups: vec!["system:masters".to_owned()],
            node: None,
            is_bounded: false,
        }
    }

    /// A service account, by a token that is bound to a pod on `node`, or to none.
    pub(crate) fn service_account(namespace: &str, name: &str, node: Option<&str>) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
            node: node.map(ToOwned::to_owned),
            is_bounded: false,
        }
    }

    /// The agent of a node.
    pub(crate) fn agent(node: &str) -> Self {
        Self::service_account("stagepages", "stagepages-node-agent", Some(node))
    }

    /// The same, but only with what its roles let it do.
    pub(crate) fn bounded(self) -> Self {
        Self {
            is_bounded: true,
            ..self
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.is_bounded
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// As a policy sees it.
    pub(super) fn info(&self) -> Value {
        let mut info = json!({ "username": self.name, "groups": self.groups });
        if let Some(node) = &self.node {
            info["extra"] = json!({ NODE_NAME: [node] });
        }
        info
    }
}
