//! The rules of a definition (`x-kubernetes-validations`), evaluated by `kube-cel`: transition rules too, where there is an older object.
//!
//! Not as in an API server: what was wrong before is refused again with an update that does not touch it (there it is let be), sets are compared with
//! their order (which only refuses more), and types are not checked before a rule runs.
//!
//! **Invariant:** a rule that cannot be compiled is a panic, and one that cannot be evaluated refuses the object.

use kube_cel::{CompiledSchema, ErrorKind, ValidationError, Validator, compile_schema};
use serde_json::Value;

use super::refused::Cause;

/// The rules of one definition.
pub(super) struct Rules {
    schema: CompiledSchema,
    validator: Validator,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rules(..)")
    }
}

impl Rules {
    pub(super) fn of(schema: &Value) -> Self {
        let schema = compile_schema(schema);
        sound(&schema);
        Self {
            schema,
            validator: Validator::new(),
        }
    }

    /// Those that an object breaks.
    pub(super) fn broken(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let found = self.validator.validate_compiled(&self.schema, new, old);
        let broken = found.err().into_iter().flatten();
        // A null has no rules of its own.
        let broken = broken.filter(|it| !at(new, &it.field_path).is_null());
        broken.map(|it| cause(new, &it)).collect()
    }
}

fn sound(schema: &CompiledSchema) {
    assert!(!schema.has_errors(), "{:?}", schema.compilation_errors());
    let parts = schema.properties.values();
    let parts = parts.chain(schema.items.as_deref());
    parts
        .chain(schema.additional_properties.as_deref())
        .for_each(sound);
}

fn cause(object: &Value, error: &ValidationError) -> Cause {
    let message = match error.kind == ErrorKind::ValidationFailure {
        true => error.message.clone(),
        false => format!("{} (rule: {})", error.message, error.rule),
    };
    let (reason, begin) = match error.reason.as_deref() {
        None | Some("FieldValueInvalid") => {
            let value = type_of(at(object, &error.field_path));
            ("FieldValueInvalid", format!("Invalid value: {value:?}"))
        }
        Some("FieldValueForbidden") => ("FieldValueForbidden", "Forbidden".to_owned()),
        Some("FieldValueRequired") => ("FieldValueRequired", "Required value".to_owned()),
        Some(other) => panic!("a rule of this project has no such reason: {other}"),
    };
    Cause::new(&error.field_path, reason, format!("{begin}: {message}"))
}

/// A field by its path, without indices: lists of this project have no rules below them.
fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    { path.split('.') }.fold(object, |it, name| &it[name])
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
