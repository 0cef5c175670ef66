//! The ValidatingAdmissionPolicies of deploy/kubernetes/base/rbac.yaml, evaluated for each write once the object is valid.
//!
//! Not as in an API server: types are not checked before an expression runs, and there is no budget of costs.
//!
//! **Invariant:** a field of a policy that nothing here looks at is a panic, so that no part of one goes unevaluated.

use std::collections::HashMap;

use kube_cel::{
    KubeCelExt as _,
    cel::{Context, Program, Value as Cel},
};
use serde_json::{Value, json};

use super::{
    manifests,
    refused::{Refused, denied},
    store::Kind,
    user::User,
};

/// A write that is to be judged.
#[derive(Debug)]
pub(super) struct Write<'a> {
    pub(super) by: &'a User,
    pub(super) kind: Kind,
    pub(super) is_status: bool,
    pub(super) new: &'a Value,
    /// None where it is created.
    pub(super) old: Option<&'a Value>,
}

impl Write<'_> {
    fn operation(&self) -> &'static str {
        match self.old {
            None => "CREATE",
            Some(_) => "UPDATE",
        }
    }

    fn name(&self) -> &str {
        let name = self.new["metadata"]["name"].as_str();
        name.unwrap_or_default()
    }

    /// The variable `request`; what is not set is not there.
    fn request(&self) -> Value {
        let Kind { kind, plural, .. } = self.kind;
        let (group, version) = (self.kind.group(), self.kind.version());
        let resource = json!({ "group": group, "version": version, "resource": plural });
        let kind = json!({ "group": group, "version": version, "kind": kind });
        let mut request = json!({
            "uid": "00000000-0000-4000-8000-ffffffffffff",
            "kind": kind, "requestKind": kind,
            "resource": resource, "requestResource": resource,
            "name": self.name(),
            "operation": self.operation(),
            "userInfo": self.by.info(),
            "dryRun": false,
        });
        if self.is_status {
            request["subResource"] = json!("status");
            request["requestSubResource"] = json!("status");
        }
        if self.kind.namespaced {
            request["namespace"] = self.new["metadata"]["namespace"].clone();
        }
        request
    }
}

/// One policy with its binding.
#[derive(Debug)]
struct Policy {
    name: String,
    binding: String,
    rules: Vec<Value>,
    conditions: Vec<Program>,
    variables: Vec<(String, Program)>,
    validations: Vec<Validation>,
}

#[derive(Debug)]
struct Validation {
    program: Program,
    expression: String,
    message: String,
    reason: &'static str,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Policies(Vec<Policy>);

impl Policies {
    pub(super) fn read() -> Self {
        let bindings = manifests::in_rbac("ValidatingAdmissionPolicyBinding");
        let all = manifests::in_rbac("ValidatingAdmissionPolicy");
        Self(all.iter().map(|it| Policy::read(it, &bindings)).collect())
    }

    /// The first that denies it.
    pub(super) fn judge(&self, write: &Write<'_>) -> Result<(), Refused> {
        { self.0.iter() }.try_for_each(|it| it.judge(write))
    }
}

/// The fields of an object, which has no others.
fn only(object: &Value, names: &[&str]) {
    for name in object.as_object().unwrap().keys() {
        assert!(names.contains(&name.as_str()), "{name} is not evaluated");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn compiled(expression: &Value) -> Program {
    Program::compile(expression.as_str().unwrap()).unwrap()
}

fn each<T>(list: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    list.as_array().into_iter().flatten().map(of).collect()
}

impl Policy {
    fn read(policy: &Value, bindings: &[Value]) -> Self {
        let (name, spec) = (text(&policy["metadata"]["name"]), &policy["spec"]);
        let parts = [
            "failurePolicy",
            "matchConstraints",
            "matchConditions",
            "variables",
            "validations",
        ];
        only(spec, &parts);
        assert_eq!(spec["failurePolicy"], "Fail");
        only(&spec["matchConstraints"], &["resourceRules"]);
        let binding = { bindings.iter() }
            .find(|it| it["spec"]["policyName"] == name.as_str())
            .unwrap();
        only(&binding["spec"], &["policyName", "validationActions"]);
        assert_eq!(
            binding["spec"]["validationActions"],
            json!(["Deny", "Audit"])
        );
        Self {
            name,
            binding: text(&binding["metadata"]["name"]),
            rules: each(&spec["matchConstraints"]["resourceRules"], |rule| {
                let parts = ["apiGroups", "apiVersions", "operations", "resources"];
                only(rule, &parts);
                rule.clone()
            }),
            conditions: each(&spec["matchConditions"], |it| {
                only(it, &["name", "expression"]);
                compiled(&it["expression"])
            }),
            variables: each(&spec["variables"], |it| {
                only(it, &["name", "expression"]);
                (text(&it["name"]), compiled(&it["expression"]))
            }),
            validations: each(&spec["validations"], |it| {
                only(it, &["expression", "message", "reason"]);
                Validation {
                    program: compiled(&it["expression"]),
                    expression: text(&it["expression"]),
                    message: text(&it["message"]),
                    reason: match it["reason"].as_str() {
                        None => "Invalid",
                        Some("Forbidden") => "Forbidden",
                        Some(other) => panic!("{other} is not evaluated"),
                    },
                }
            }),
        }
    }

    fn judge(&self, write: &Write<'_>) -> Result<(), Refused> {
        if !self.rules.iter().any(|rule| covers(rule, write)) {
            return Ok(());
        }
        let refuse = |reason, why: &str| {
            let (name, binding) = (&self.name, &self.binding);
            let why = format!(
                "ValidatingAdmissionPolicy '{name}' with binding '{binding}' denied request: {why}"
            );
            Err(denied(write.kind, write.name(), reason, &why))
        };
        let mut context = Context::default().with_all();
        context.add_variable_from_value("request", cel(&write.request()));
        context.add_variable_from_value("object", cel(write.new));
        context.add_variable_from_value("oldObject", cel(write.old.unwrap_or(&Value::Null)));
        for condition in &self.conditions {
            match condition.execute(&context) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return Ok(()),
                other => return refuse("Invalid", &format!("a match condition gives {other:?}")),
            }
        }
        let mut variables = HashMap::new();
        for (name, program) in &self.variables {
            // One that fails is missing, and fails what uses it.
            if let Ok(value) = program.execute(&context) {
                variables.insert(name.clone(), value);
            }
            context.add_variable_from_value("variables", variables.clone());
        }
        for it in &self.validations {
            match it.program.execute(&context) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return refuse(it.reason, &it.message),
                other => {
                    let why = format!("expression '{}' resulted in {other:?}", it.expression);
                    return refuse("Invalid", &why);
                }
            }
        }
        Ok(())
    }
}

/// Whether a rule of `matchConstraints` is about it.
fn covers(rule: &Value, write: &Write<'_>) -> bool {
    let names = |list: &str, it: &str| {
        let all = rule[list].as_array().unwrap();
        all.iter().any(|name| name == it || name == "*")
    };
    let resource = match write.is_status {
        true => format!("{}/status", write.kind.plural),
        false => write.kind.plural.to_owned(),
    };
    names("apiGroups", write.kind.group())
        && names("apiVersions", write.kind.version())
        && names("operations", write.operation())
        && { rule["resources"].as_array().unwrap().iter() }.any(|it| *it == resource)
}

/// A value of JSON for an expression. Whole numbers are `int`, as they are in an API server.
fn cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(it) => Cel::Bool(*it),
        Value::Number(it) => it
            .as_i64()
            .map_or_else(|| Cel::Float(it.as_f64().unwrap()), Cel::Int),
        Value::String(it) => it.as_str().into(),
        Value::Array(items) => items.iter().map(cel).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let fields = { fields.iter() }.map(|(name, it)| (name.clone(), cel(it)));
            fields.collect::<HashMap<_, _>>().into()
        }
    }
}
