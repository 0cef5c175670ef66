//! What the definitions in deploy/kubernetes/base/crds.yaml refuse: types, bounds, enums, missing and unknown fields, and then their rules.
//!
//! **Invariant:** rules are asked of objects alone whose types and bounds are right, as an API server does.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    cel::Rules,
    manifests,
    refused::{Cause, Refused, invalid},
    store::Kind,
};

#[derive(Debug)]
struct Definition {
    schema: Value,
    rules: Rules,
}

#[derive(Debug)]
pub(super) struct Schemas(BTreeMap<String, Definition>);

impl Schemas {
    pub(super) fn read() -> Self {
        let all = manifests::definitions().into_iter().map(|definition| {
            let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            let read = Definition {
                schema: schema.clone(),
                rules: Rules::of(schema),
            };
            (kind.to_owned(), read)
        });
        Self(all.collect())
    }

    pub(super) fn check(
        &self,
        kind: Kind,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<(), Refused> {
        let Some(definition) = self.0.get(kind.kind) else {
            return Ok(());
        };
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        for part in ["spec", "status"] {
            if !new[part].is_null() {
                check(&definition.schema["properties"][part], &new[part], part)
                    .map_err(|cause| invalid(kind, name, &[cause]))?;
            }
        }
        match definition.rules.broken(new, old) {
            none if none.is_empty() => Ok(()),
            causes => Err(invalid(kind, name, &causes)),
        }
    }
}

fn of_type(path: &str, wanted: &str, value: &Value) -> Cause {
    let text = format!("Invalid value: {value}: must be of type {wanted}");
    Cause::new(path, "FieldValueTypeInvalid", text)
}

fn check(schema: &Value, value: &Value, path: &str) -> Result<(), Cause> {
    if value.is_null() && schema["nullable"] == true {
        return Ok(());
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let text = format!("Unsupported value: {value}: supported values: {allowed:?}");
        return Err(Cause::new(path, "FieldValueNotSupported", text));
    }
    let out_of_bounds = |value: &dyn std::fmt::Display, bound: &str| {
        let text = format!("Invalid value: {value}: does not keep to {bound}");
        Err(Cause::new(path, "FieldValueInvalid", text))
    };
    let length = |key: &str| schema[key].as_u64();
    match schema["type"].as_str() {
        Some("string") => {
            let text = value.as_str().ok_or(of_type(path, "string", value))?;
            let count = text.chars().count() as u64;
            if length("maxLength").is_some_and(|most| count > most) {
                return out_of_bounds(&count, "maxLength");
            }
            if length("minLength").is_some_and(|least| count < least) {
                return out_of_bounds(&count, "minLength");
            }
        }
        Some("integer") => {
            if !value.is_i64() && !value.is_u64() {
                return Err(of_type(path, "integer", value));
            }
            let number = value.as_f64().unwrap();
            let bound = |key: &str| schema[key].as_f64();
            if bound("minimum").is_some_and(|it| number < it) {
                return out_of_bounds(&number, "minimum");
            }
            if bound("maximum").is_some_and(|it| number > it) {
                return out_of_bounds(&number, "maximum");
            }
        }
        Some("boolean") if !value.is_boolean() => return Err(of_type(path, "boolean", value)),
        Some("array") => {
            let items = value.as_array().ok_or(of_type(path, "array", value))?;
            let count = items.len() as u64;
            if length("maxItems").is_some_and(|most| count > most) {
                return out_of_bounds(&count, "maxItems");
            }
            for (at, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{at}]"))?;
            }
        }
        Some("object") => check_fields(schema, value, path)?,
        _ => {}
    }
    Ok(())
}

fn check_fields(schema: &Value, value: &Value, path: &str) -> Result<(), Cause> {
    let fields = value.as_object().ok_or(of_type(path, "object", value))?;
    for required in schema["required"].as_array().into_iter().flatten() {
        let name = required.as_str().unwrap();
        if !fields.contains_key(name) {
            let path = format!("{path}.{name}");
            return Err(Cause::new(&path, "FieldValueRequired", "Required value"));
        }
    }
    for (name, field) in fields {
        let path = format!("{path}.{name}");
        let known = &schema["properties"][name];
        let any = &schema["additionalProperties"];
        match (known.is_null(), any.is_null()) {
            (false, _) => check(known, field, &path)?,
            (true, false) => check(any, field, &path)?,
            (true, true) => {
                return Err(Cause::new(&path, "FieldValueInvalid", "unknown field"));
            }
        }
    }
    Ok(())
}
