//! Objects, their versions, and what happened to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    patch,
    policy::{Policies, Write},
    refused::{Refused, refused},
    schema,
    user::User,
};

/// A kind that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// `apis/GROUP/VERSION` or `api/v1`.
    pub(crate) root: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
}

pub(crate) const PODS: Kind = Kind {
    root: "api/v1",
    plural: "pods",
    kind: "Pod",
    namespaced: true,
};
pub(crate) const NODES: Kind = Kind {
    root: "api/v1",
    plural: "nodes",
    kind: "Node",
    namespaced: false,
};
pub(crate) const LAUNCHES: Kind = Kind {
    root: "apis/stagepages.dev/v1alpha1",
    plural: "confidentiallaunches",
    kind: "ConfidentialLaunch",
    namespaced: true,
};
pub(crate) const IMAGES: Kind = Kind {
    root: "apis/stagepages.dev/v1alpha1",
    plural: "launchimages",
    kind: "LaunchImage",
    namespaced: false,
};
pub(crate) const EVENTS: Kind = Kind {
    root: "apis/events.k8s.io/v1",
    plural: "events",
    kind: "Event",
    namespaced: true,
};
pub(super) const KINDS: [Kind; 5] = [PODS, NODES, LAUNCHES, IMAGES, EVENTS];

impl Kind {
    pub(super) fn api_version(self) -> &'static str {
        self.root.strip_prefix("apis/").unwrap_or("v1")
    }

    pub(super) fn group(self) -> &'static str {
        let split = self.api_version().split_once('/');
        split.map_or("", |(group, _)| group)
    }

    pub(super) fn version(self) -> &'static str {
        let split = self.api_version().split_once('/');
        split.map_or(self.api_version(), |(_, version)| version)
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) struct Happened {
    pub(super) version: u64,
    pub(super) kind: Kind,
    pub(super) what: &'static str,
    pub(super) object: Value,
}

type Key = (Kind, String, String);

#[derive(Debug)]
pub(super) struct Store {
    version: u64,
    objects: BTreeMap<Key, Value>,
    /// What each field manager applied to a status last.
    applied: BTreeMap<Key, BTreeMap<String, Value>>,
    history: Vec<Happened>,
    /// Nothing before this is remembered.
    oldest: u64,
    schemas: schema::Schemas,
    policies: Policies,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            version: 1,
            objects: BTreeMap::new(),
            applied: BTreeMap::new(),
            history: Vec::new(),
            oldest: 0,
            schemas: schema::Schemas::read(),
            policies: Policies::read(),
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.objects.get(&key).cloned()
    }

    pub(super) fn list(&self, kind: Kind, fields: Option<&str>) -> Vec<Value> {
        let all = self.objects.iter().filter(|((it, ..), _)| *it == kind);
        let all = all.map(|(_, object)| object.clone());
        all.filter(|it| selected(it, fields)).collect()
    }

    /// Every version of every object of a kind, the oldest first.
    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        let all = self.history.iter().filter(move |it| it.kind == kind);
        all.map(|it| &it.object)
    }

    /// What happened since; `None` if that is not remembered.
    pub(super) fn since(
        &self,
        version: u64,
        kind: Kind,
        fields: Option<&str>,
    ) -> Option<Vec<Happened>> {
        if version < self.oldest {
            return None;
        }
        let news = self.history.iter();
        let news = news.filter(|it| it.version > version && it.kind == kind);
        Some(
            news.filter(|it| selected(&it.object, fields))
                .cloned()
                .collect(),
        )
    }

    pub(super) fn forget(&mut self) {
        self.version += 1;
        self.oldest = self.version;
        self.history.clear();
    }

    pub(super) fn create(
        &mut self,
        by: &User,
        kind: Kind,
        namespace: &str,
        mut object: Value,
    ) -> Result<Value, Refused> {
        if kind.namespaced {
            object["metadata"]["namespace"] = json!(namespace);
        }
        self.schemas.check(kind, &object, None)?;
        self.policies.judge(&Write {
            by,
            kind,
            is_status: false,
            new: &object,
            old: None,
        })?;
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let key = (kind, namespace.to_owned(), name);
        if self.objects.contains_key(&key) {
            return Err(refused(409, "AlreadyExists", "it exists"));
        }
        self.version += 1;
        let number = self.version;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(format!("00000000-0000-4000-8000-{number:012x}"));
        metadata["generation"] = json!(1);
        metadata["creationTimestamp"] = json!("2026-11-23T12:00:00Z");
        self.put("ADDED", key, object)
    }

    fn put(&mut self, what: &'static str, key: Key, mut object: Value) -> Result<Value, Refused> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push(Happened {
            version: self.version,
            kind: key.0,
            what,
            object: object.clone(),
        });
        match what {
            "DELETED" => {
                self.objects.remove(&key);
                self.applied.remove(&key);
            }
            _ => {
                self.objects.insert(key, object.clone());
            }
        }
        Ok(object)
    }

    pub(super) fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let Some(mut object) = self.objects.get(&key).cloned() else {
            return;
        };
        let is_held =
            { object["metadata"]["finalizers"].as_array() }.is_some_and(|it| !it.is_empty());
        let what = if is_held { "MODIFIED" } else { "DELETED" };
        object["metadata"]["deletionTimestamp"] = json!("2026-11-23T12:00:00Z");
        self.put(what, key, object).unwrap();
    }

    /// As a test wants it, without a question.
    pub(super) fn merge(&mut self, kind: Kind, namespace: &str, name: &str, with: &Value) {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let mut object = self.objects[&key].clone();
        patch::merge(&mut object, with);
        self.put("MODIFIED", key, object).unwrap();
    }

    /// A patch by a client: of the status, or of all but that.
    pub(super) fn patch(
        &mut self,
        by: &User,
        (kind, namespace, name): (Kind, &str, &str),
        is_status: bool,
        with: &Value,
        manager: Option<&str>,
    ) -> Result<Value, Refused> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let Some(old) = self.objects.get(&key).cloned() else {
            return Err(refused(
                404,
                "NotFound",
                format!("{} {name} not found", kind.plural),
            ));
        };
        for field in ["resourceVersion", "uid"] {
            let wanted = &with["metadata"][field];
            if !wanted.is_null() && *wanted != old["metadata"][field] {
                return Err(refused(
                    409,
                    "Conflict",
                    format!("{field} is another by now"),
                ));
            }
        }
        let mut new = old.clone();
        let mut applied = self.applied.get(&key).cloned().unwrap_or_default();
        match (is_status, manager) {
            (true, Some(manager)) => {
                patch::apply(&mut new["status"], &mut applied, manager, &with["status"])?;
            }
            (true, None) => patch::merge(&mut new["status"], &with["status"]),
            (false, _) => {
                patch::merge(&mut new, with);
                new["status"] = old["status"].clone();
                if new["status"].is_null() {
                    new.as_object_mut().unwrap().remove("status");
                }
            }
        }
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        self.schemas.check(kind, &new, Some(&old))?;
        self.policies.judge(&Write {
            by,
            kind,
            is_status,
            new: &new,
            old: Some(&old),
        })?;
        self.applied.insert(key.clone(), applied);
        if new == old {
            return Ok(old);
        }
        if new["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_u64().unwrap();
            new["metadata"]["generation"] = json!(generation + 1);
        }
        let metadata = &new["metadata"];
        let is_held = metadata["finalizers"]
            .as_array()
            .is_some_and(|it| !it.is_empty());
        let is_gone = metadata["deletionTimestamp"].is_string() && !is_held;
        self.put(if is_gone { "DELETED" } else { "MODIFIED" }, key, new)
    }
}

/// Whether a field selector, of one field, takes it.
fn selected(object: &Value, fields: Option<&str>) -> bool {
    let Some((path, value)) = fields.and_then(|it| it.split_once('=')) else {
        return true;
    };
    let pointer = format!("/{}", path.replace('.', "/"));
    object.pointer(&pointer).and_then(Value::as_str) == Some(value)
}
