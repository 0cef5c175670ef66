//! Why a request is refused, and how a client is told: the Status of Kubernetes.
//!
//! **Invariant:** each cause names its field in the object, or is about the whole of it.

use serde_json::{Value, json};

use super::store::Kind;

/// Why not.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    details: Value,
}

/// One thing that is wrong with an object.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) field: String,
    pub(super) reason: &'static str,
    /// With the words that go before it for its reason.
    pub(super) message: String,
}

impl Cause {
    pub(super) fn new(field: &str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            reason,
            message: message.into(),
        }
    }
}

pub(super) fn refused(code: u16, reason: &'static str, message: impl Into<String>) -> Refused {
    Refused {
        code,
        reason,
        message: message.into(),
        details: Value::Null,
    }
}

/// An object that its definition does not allow.
pub(super) fn invalid(kind: Kind, name: &str, causes: &[Cause]) -> Refused {
    let all: Vec<_> = { causes.iter() }
        .map(|it| format!("{}: {}", it.field, it.message))
        .collect();
    let all = match all.as_slice() {
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    };
    let group = kind.group();
    let causes: Vec<_> = { causes.iter() }
        .map(|it| json!({ "field": it.field, "reason": it.reason, "message": it.message }))
        .collect();
    Refused {
        details: json!({ "name": name, "group": group, "kind": kind.kind, "causes": causes }),
        ..refused(
            422,
            "Invalid",
            format!("{}.{group} {name:?} is invalid: {all}", kind.kind),
        )
    }
}

/// A request that a policy denies. Whatever the policy's reason is, the sentence begins like that of one that is forbidden.
pub(super) fn denied(kind: Kind, name: &str, reason: &'static str, why: &str) -> Refused {
    let code = match reason {
        "Unauthorized" => 401,
        "Forbidden" => 403,
        "RequestEntityTooLarge" => 413,
        "Invalid" => 422,
        other => panic!("a policy cannot give the reason {other}"),
    };
    let (group, plural) = (kind.group(), kind.plural);
    let resource = match group {
        "" => plural.to_owned(),
        group => format!("{plural}.{group}"),
    };
    Refused {
        details: json!({ "name": name, "group": group, "kind": plural, "causes": [{ "message": why }] }),
        ..refused(
            code,
            reason,
            format!("{resource} {name:?} is forbidden: {why}"),
        )
    }
}

impl Refused {
    /// What is sent.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {},
            "code": self.code, "reason": self.reason, "message": self.message,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
