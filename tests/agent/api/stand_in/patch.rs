//! Merge patches (RFC 7386), and server-side apply as far as a status of lists by key needs it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::refused::{Refused, refused};

/// Merges.
pub(crate) fn merge(into: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let object = into.as_object_mut().unwrap();
    for (name, value) in fields {
        if value.is_null() {
            object.remove(name);
        } else {
            merge(object.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The field that tells the items of a list apart.
fn key_of(list: &str) -> &'static str {
    match list {
        "nodes" => "node",
        "expectedDigests" => "vcpus",
        other => panic!("no list by key: {other}"),
    }
}

/// Applies lists by key for `manager`: items that it applied before and does not now go, unless another has them; another's of other contents is a conflict.
pub(super) fn apply(
    status: &mut Value,
    applied: &mut BTreeMap<String, Value>,
    manager: &str,
    wanted: &Value,
) -> Result<(), Refused> {
    if !status.is_object() {
        *status = Value::Object(Map::new());
    }
    let before = applied.get(manager).cloned().unwrap_or(Value::Null);
    let none = Vec::new();
    for list in ["nodes", "expectedDigests"] {
        let key = key_of(list);
        let of = |from: &Value| from[list].as_array().cloned().unwrap_or_default();
        let (now, then) = (of(wanted), of(&before));
        let others: Vec<Value> = { applied.iter() }
            .filter(|(other, _)| *other != manager)
            .flat_map(|(_, it)| of(it))
            .collect();
        for item in &now {
            let clash = others.iter().find(|it| it[key] == item[key] && *it != item);
            if let Some(clash) = clash {
                let text = format!("conflict with another manager: {}", clash[key]);
                return Err(refused(409, "Conflict", text));
            }
        }
        let mut all = status[list].as_array().unwrap_or(&none).clone();
        all.retain(|it| {
            let was_own = then.iter().any(|old| old[key] == it[key]);
            !was_own || others.iter().any(|other| other[key] == it[key])
        });
        for item in now {
            all.retain(|it| it[key] != item[key]);
            all.push(item);
        }
        if all.is_empty() {
            status.as_object_mut().unwrap().remove(list);
        } else {
            status[list] = Value::Array(all);
        }
    }
    applied.insert(manager.to_owned(), wanted.clone());
    Ok(())
}
