//! What the definitions in deploy/kubernetes/base/crds.yaml refuse: types, bounds, enums, missing and unknown fields. Rules in CEL are not evaluated but for
//! the one that a spec never changes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::store::{Kind, LAUNCHES, Refused, refused};

#[derive(Debug)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// The definitions, as the agent prints them: one JSON each would do, but they are YAML, so its own parser's reading is asked for.
    pub(super) fn read() -> Self {
        let text = include_str!("../../../../deploy/kubernetes/base/crds.yaml");
        let documents = text.split("\n---\n").skip(1);
        let all = documents.map(|text| {
            let definition: Value = serde_saphyr::from_str(text).unwrap();
            let kind = definition["spec"]["names"]["kind"]
                .as_str()
                .unwrap()
                .to_owned();
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            (kind, schema.clone())
        });
        Self(all.collect())
    }

    pub(super) fn check(
        &self,
        kind: Kind,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<(), Refused> {
        let Some(schema) = self.0.get(kind.kind) else {
            return Ok(());
        };
        for part in ["spec", "status"] {
            if !new[part].is_null() {
                check(&schema["properties"][part], &new[part], part)
                    .map_err(|text| refused(422, "Invalid", text))?;
            }
        }
        let is_changed = old.is_some_and(|old| old["spec"] != new["spec"]);
        if kind == LAUNCHES && is_changed {
            return Err(refused(422, "Invalid", "spec cannot be changed"));
        }
        Ok(())
    }
}

fn check(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Err(format!("{path}: Unsupported value: {value}"));
    }
    let length = |key: &str| schema[key].as_u64();
    match schema["type"].as_str() {
        Some("string") => {
            let text = value.as_str().ok_or(format!("{path}: must be a string"))?;
            let count = text.chars().count() as u64;
            if length("maxLength").is_some_and(|most| count > most)
                || length("minLength").is_some_and(|least| count < least)
            {
                return Err(format!("{path}: its length {count} is out of bounds"));
            }
        }
        Some("integer") => {
            if !value.is_i64() && !value.is_u64() {
                return Err(format!("{path}: must be a whole number"));
            }
            let number = value.as_f64().unwrap();
            let bound = |key: &str| schema[key].as_f64();
            if bound("minimum").is_some_and(|it| number < it)
                || bound("maximum").is_some_and(|it| number > it)
            {
                return Err(format!("{path}: {number} is out of bounds"));
            }
        }
        Some("boolean") if !value.is_boolean() => return Err(format!("{path}: must be a boolean")),
        Some("array") => {
            let items = value.as_array().ok_or(format!("{path}: must be a list"))?;
            if length("maxItems").is_some_and(|most| items.len() as u64 > most) {
                return Err(format!("{path}: too many items"));
            }
            for item in items {
                check(&schema["items"], item, &format!("{path}[]"))?;
            }
        }
        Some("object") => {
            let fields = value
                .as_object()
                .ok_or(format!("{path}: must be an object"))?;
            for required in schema["required"].as_array().into_iter().flatten() {
                let name = required.as_str().unwrap();
                if !fields.contains_key(name) {
                    return Err(format!("{path}.{name}: Required value"));
                }
            }
            for (name, field) in fields {
                let known = &schema["properties"][name];
                let any = &schema["additionalProperties"];
                match (known.is_null(), any.is_null()) {
                    (false, _) => check(known, field, &format!("{path}.{name}"))?,
                    (true, false) => check(any, field, &format!("{path}.{name}"))?,
                    (true, true) => return Err(format!("{path}.{name}: unknown field")),
                }
            }
        }
        _ => {}
    }
    Ok(())
}
