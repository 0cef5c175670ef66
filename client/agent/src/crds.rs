//! The definitions of the custom resources, for an API server, as YAML.
//!
//! **Invariant:** the same types make the same text, so that what is checked in (deploy/kubernetes/base/crds.yaml) can be compared.

use kube::CustomResourceExt as _;

use crate::resources::{ConfidentialLaunch, LaunchImage};

/// Above both.
const HEAD: &str = "# Made by `stagepages-node-agent crds` from client/agent/src/resources: change those, and make this anew.\n";

/// All of them, one document each.
///
/// # Errors
/// One cannot be written as YAML.
pub fn yaml() -> anyhow::Result<String> {
    let mut text = HEAD.to_owned();
    for definition in [ConfidentialLaunch::crd(), LaunchImage::crd()] {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    #[test]
    fn what_is_checked_in_is_made_of_the_types() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes/base/crds.yaml");
        let made = yaml().unwrap();
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, &made).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap() == made,
            "deploy/kubernetes/base/crds.yaml is of other types; make it anew: UPDATE=1 cargo test -p stagepages-node-agent crds"
        );
    }

    #[test]
    fn every_rule_has_a_message_and_every_string_and_list_a_bound() {
        for definition in [ConfidentialLaunch::crd(), LaunchImage::crd()] {
            let definition = serde_json::to_value(definition).unwrap();
            let version = &definition["spec"]["versions"][0];
            let schema = &version["schema"]["openAPIV3Schema"]["properties"];
            assert!(version["subresources"]["status"].is_object());
            for part in ["spec", "status"] {
                bounded(&schema[part], part);
            }
        }
    }

    /// An API server prints the first of several.
    #[test]
    fn every_column_is_of_one_value() {
        for definition in [ConfidentialLaunch::crd(), LaunchImage::crd()] {
            let versions = definition.spec.versions;
            let columns = versions[0].additional_printer_columns.as_deref();
            for column in columns.unwrap() {
                assert!(!column.json_path.contains('['), "{}", column.json_path);
            }
        }
    }

    fn bounded(schema: &serde_json::Value, path: &str) {
        let is_time = schema["format"] == "date-time";
        match schema["type"].as_str() {
            Some("string") => assert!(
                schema["maxLength"].is_u64() || schema["enum"].is_array() || is_time,
                "{path} is not bounded"
            ),
            Some("array") => {
                assert!(schema["maxItems"].is_u64(), "{path} is not bounded");
                bounded(&schema["items"], &format!("{path}[]"));
            }
            _ => {}
        }
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert!(
                rule["message"].as_str().is_some_and(|it| it.len() > 20),
                "{path}: {rule}"
            );
        }
        for (name, part) in schema["properties"].as_object().into_iter().flatten() {
            bounded(part, &format!("{path}.{name}"));
        }
    }
}
