//! Rules of the Common Expression Language that an API server holds an object against before it takes it.
//!
//! **Invariant:** each rule has a message that names the field and the way out; strings that a rule looks at are bounded, so that its cost is.

use serde_json::{Value, json};

/// One rule.
fn one(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

/// A reference that names its contents, not a tag that somebody can move.
pub(super) fn reference() -> Value {
    json!([one(
        "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._:/-]*@sha256:[0-9a-f]{64}$')",
        "ref must be pinned by digest: REGISTRY/REPOSITORY[:TAG]@sha256:DIGEST with 64 hex digits in lower case; a tag alone can be moved to other contents"
    )])
}

/// One name of an artifact, not none and not two that could contradict each other.
pub(super) fn artifact() -> Value {
    json!([one(
        "has(self.digest) ? !has(self.ref) && self.digest.matches('^sha256:[0-9a-f]{64}$') : has(self.ref)",
        "must be named by exactly one of ref, REGISTRY/REPOSITORY@sha256:DIGEST, which is pulled, and digest, sha256:DIGEST with 64 hex digits in lower case, of what is on the node already"
    )])
}

/// The title of a layer.
pub(super) fn file() -> Value {
    json!([one(
        "self.matches('^[A-Za-z0-9_][A-Za-z0-9._+-]*$')",
        "file must be the title of a layer (its annotation org.opencontainers.image.title): letters, digits, . _ + - and no folders"
    )])
}

/// A number as `stagectl` takes it.
pub(super) fn number() -> Value {
    json!([one(
        "self.matches('^(0x[0-9a-f]{1,16}|[0-9]{1,20})$')",
        "must be a number: decimal, or hex with 0x in lower case; a string, because numbers of 64 bits are not safe in JSON"
    )])
}

/// So many bytes in hex.
pub(super) fn hex(bytes: u32) -> Value {
    let digits = bytes.saturating_mul(2);
    json!([one(
        &format!("self.matches('^[0-9a-f]{{{digits}}}$')"),
        &format!("must be {bytes} bytes: {digits} hex digits in lower case")
    )])
}

/// The name of an object.
pub(super) fn name() -> Value {
    json!([one(
        "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        "must be the name of a Pod of the same namespace: lower case letters, digits, - and ."
    )])
}

/// A region of memory.
pub(super) fn regions() -> Value {
    json!([one(
        "self.all(it, it.matches('^(0x[0-9a-f]+|[0-9]+)[+](0x[0-9a-f]+|[0-9]+)[KMGT]?$'))",
        "each region must be GPA+SIZE, for example 0x0+1G: numbers decimal or hex with 0x, the size with K, M, G or T as wanted"
    )])
}

/// What is wished of a launch.
pub(super) fn launch() -> Value {
    let mut rules = vec![
        one(
            "self == oldSelf",
            "spec cannot be changed, as a launch cannot: delete this ConfidentialLaunch and create another",
        ),
        one(
            "self.platform != 'kvm' || !has(self.expectedLaunchDigest)",
            "expectedLaunchDigest: platform kvm measures nothing and has no launch digest; leave it out",
        ),
        one(
            "!has(self.priority) || self.platform in ['sev-snp', 'sim']",
            "priority: launches wait for the machine's firmware on the platforms sev-snp and sim alone; leave it out, or change platform",
        ),
    ];
    rules.extend(settings("self.platform", "self.settings"));
    Value::Array(rules)
}

/// What is wished of an image.
pub(super) fn image() -> Value {
    let mut rules = vec![
        one(
            "self.image == oldSelf.image && self.platform == oldSelf.platform && has(self.settings) == has(oldSelf.settings) && (!has(self.settings) || self.settings == oldSelf.settings) && has(self.vcpus) == has(oldSelf.vcpus) && (!has(self.vcpus) || self.vcpus == oldSelf.vcpus)",
            "only nodeSelector can be changed: delete this LaunchImage and create another",
        ),
        one(
            "!has(self.settings) || !has(self.settings.vcpus)",
            "settings.vcpus: name the numbers of vCPUs in vcpus, for which digests are computed",
        ),
        one(
            "!has(self.vcpus) || self.platform != 'kvm'",
            "vcpus: platform kvm measures nothing and has no launch digests to be computed; leave it out, or change platform",
        ),
    ];
    rules.extend(pulled());
    rules.extend(settings("self.platform", "self.settings"));
    Value::Array(rules)
}

/// A `LaunchImage` is pulled, so each of its artifacts says from where.
fn pulled() -> Vec<Value> {
    ["image", "settings.kernel", "settings.initrd", "settings.cpuidPage"]
        .map(|field| {
            let given = match field.split_once('.') {
                Some((part, _)) => format!("!has(self.{part}) || !has(self.{field}) || "),
                None => String::new(),
            };
            one(
                &format!("{given}!has(self.{field}.digest)"),
                &format!(
                    "{field}.digest: a LaunchImage is pulled, and a digest says not from where; name it by {field}.ref, REGISTRY/REPOSITORY@sha256:DIGEST"
                ),
            )
        })
        .into()
}

/// Settings that only some platforms take.
fn settings(platform: &str, settings: &str) -> Vec<Value> {
    [
        ("sevSnp", "['sev-snp']"),
        ("tdx", "['tdx']"),
        ("vcpuType", "['sev-snp', 'sim']"),
        ("cpuidPage", "['sev-snp', 'sim']"),
    ]
    .map(|(field, platforms)| {
        one(
            &format!(
                "!has({settings}) || !has({settings}.{field}) || {platform} in {platforms}"
            ),
            &format!(
                "settings.{field}: only a launch of one of the platforms {platforms} takes it; leave it out, or change platform"
            ),
        )
    })
    .into()
}
