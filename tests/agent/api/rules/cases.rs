//! For each rule a spec that it takes, and specs that it does not.
//!
//! **Invariant:** a spec that is refused breaks that rule and no other.

use std::slice;

use serde_json::{Value, json};

use super::super::stand_in::{IMAGES, Kind, LAUNCHES, merge};

/// One rule: what it takes, and what it does not, each merged into a sound spec.
pub(super) struct Case {
    pub(super) kind: Kind,
    /// Where the rule is.
    pub(super) at: String,
    /// How its message begins, where there are several.
    pub(super) told: &'static str,
    pub(super) good: Value,
    pub(super) bad: Vec<Value>,
}

/// A field, with all that it is in.
fn nested(path: &str, value: &Value) -> Value {
    let mut all =
        { path.split('.').rev() }.fold(value.clone(), |inner, name| json!({ name: inner }));
    let platform = [
        ("sevSnp", "sev-snp"),
        ("cpuidPage", "sev-snp"),
        ("tdx", "tdx"),
    ];
    let platform = platform.iter().find(|(part, _)| path.contains(part));
    // What is null in it stays, and takes out what the sound spec has.
    let mut spec = all["spec"].take();
    spec["platform"] = json!(platform.map_or("sim", |(_, it)| it));
    if path.ends_with(".file") {
        // A file is of an artifact, which has to have a reference.
        merge(&mut spec, &nested_only(&path.replace(".file", ".ref")));
    }
    spec
}

fn nested_only(path: &str) -> Value {
    let mut all =
        { path.split('.').rev() }.fold(json!(reference()), |inner, name| json!({ name: inner }));
    all["spec"].take()
}

pub(super) fn with(base: &Value, change: &Value) -> Value {
    let mut all = base.clone();
    merge(&mut all, change);
    all
}

pub(super) fn reference() -> String {
    format!("registry.test:5000/team/guest:1@sha256:{}", "0a".repeat(32))
}

/// A sound spec.
pub(super) fn sound(kind: Kind) -> Value {
    match kind == LAUNCHES {
        true => json!({ "podName": "vm", "platform": "sim", "image": { "ref": reference() } }),
        false => json!({ "platform": "sim", "image": { "ref": reference() } }),
    }
}

/// Cases of a rule about one field.
fn field(kind: Kind, at: &str, good: &Value, bad: &[Value]) -> Case {
    Case {
        kind,
        at: at.to_owned(),
        told: "",
        good: nested(at, good),
        bad: bad.iter().map(|it| nested(at, it)).collect(),
    }
}

fn fields_of_both(kind: Kind) -> Vec<Case> {
    let mut all = Vec::new();
    let digest = "0a".repeat(32);
    let no_reference = [
        "registry.test/guest:latest".to_owned(),
        format!("registry.test/guest@sha256:{}", digest.to_uppercase()),
        format!("registry.test/guest@sha256:{}", &digest[1..]),
        format!("-r/guest@sha256:{digest}"),
        format!("https://r/guest?x@sha256:{digest}"),
    ]
    .map(Value::from);
    let no_file = ["a/b", "../guest", ".guest", "a b", "-guest"].map(Value::from);
    for artifact in [
        "image",
        "settings.kernel",
        "settings.initrd",
        "settings.cpuidPage",
    ] {
        let (of, file) = (
            format!("spec.{artifact}.ref"),
            format!("spec.{artifact}.file"),
        );
        all.push(field(kind, &of, &json!(reference()), &no_reference));
        all.push(field(kind, &file, &json!("guest-1.0_x+y.igvm"), &no_file));
    }
    let no_number = ["", "-1", "0X10", "0xAB", "1.5", "0x"].map(Value::from);
    for number in ["sevSnp.vmsaFeatures", "tdx.attributes", "tdx.xfam"] {
        let at = format!("spec.settings.{number}");
        all.push(field(kind, &at, &json!("0x10000000"), &no_number));
    }
    let id = "0f".repeat(48);
    let no_id = [id[1..].to_owned(), id.to_uppercase(), id.replace('f', "g")].map(Value::from);
    for id_field in ["mrconfigid", "mrowner", "mrownerconfig"] {
        let at = format!("spec.settings.tdx.{id_field}");
        all.push(field(kind, &at, &json!(id), &no_id));
    }
    let no_gosvw = ["00", &"0F".repeat(16)].map(Value::from);
    let gosvw = "spec.settings.sevSnp.gosvw";
    all.push(field(kind, gosvw, &json!("0f".repeat(16)), &no_gosvw));
    let regions = json!(["0x0+1G", "4294967296+0x1000K", "1+1"]);
    let no_regions = ["100G", "0x0+1Q", "0x0-1G", "0X0+1G"].map(|it| json!(["0x0+1G", it]));
    all.push(field(kind, "spec.settings.memory", &regions, &no_regions));
    for (part, value, good, bad) in [
        (
            "sevSnp",
            json!({}),
            ["sev-snp"].as_slice(),
            ["sim", "tdx", "kvm"].as_slice(),
        ),
        ("tdx", json!({}), &["tdx"], &["sim", "sev-snp", "kvm"]),
        (
            "vcpuType",
            json!("EPYC-v4"),
            &["sev-snp", "sim"],
            &["tdx", "kvm"],
        ),
        (
            "cpuidPage",
            json!({ "ref": reference() }),
            &["sev-snp", "sim"],
            &["tdx", "kvm"],
        ),
    ] {
        let on = |platform: &&str| json!({ "platform": platform, "settings": { part: value } });
        let told = match part {
            "sevSnp" => "settings.sevSnp:",
            "tdx" => "settings.tdx:",
            "vcpuType" => "settings.vcpuType:",
            _ => "settings.cpuidPage:",
        };
        for platform in good {
            all.push(Case {
                kind,
                at: "spec".to_owned(),
                told,
                good: on(platform),
                bad: bad.iter().map(on).collect(),
            });
        }
    }
    all
}

/// By which of its names an artifact is taken: of a launch by either, of an image that is pulled by its reference.
fn artifacts() -> Vec<Case> {
    let digest = json!(format!("sha256:{}", "0a".repeat(32)));
    let on_node = json!({ "ref": null, "digest": digest });
    let no_digest = [
        "0a".repeat(32),
        format!("sha256:{}", "0A".repeat(32)),
        format!("sha256:{}", "0a".repeat(31)),
        format!("sha512:{}", "0a".repeat(32)),
        format!("sha256:../{}", "0a".repeat(30)),
    ]
    .map(|it| json!({ "ref": null, "digest": it }));
    let neither = json!({ "ref": null, "file": "guest" });
    let both = json!({ "ref": reference(), "digest": digest });
    let mut all = Vec::new();
    for part in [
        "image",
        "settings.kernel",
        "settings.initrd",
        "settings.cpuidPage",
    ] {
        let at = format!("spec.{part}");
        let mut bad = vec![neither.clone(), both.clone()];
        bad.extend(no_digest.clone());
        all.push(field(LAUNCHES, &at, &on_node, &bad));
        let reference = json!({ "ref": reference() });
        all.push(field(IMAGES, &at, &reference, slice::from_ref(&neither)));
        let mut pulled = field(IMAGES, &at, &reference, slice::from_ref(&on_node));
        pulled.at = "spec".to_owned();
        pulled.told = match part {
            "image" => "image.digest:",
            "settings.kernel" => "settings.kernel.digest:",
            "settings.initrd" => "settings.initrd.digest:",
            _ => "settings.cpuidPage.digest:",
        };
        all.push(pulled);
    }
    all
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = fields_of_both(LAUNCHES);
    all.extend(fields_of_both(IMAGES));
    all.extend(artifacts());
    let id = "0f".repeat(48);
    let no_id = [&id[1..], &id.to_uppercase()].map(Value::from);
    let at = "spec.expectedLaunchDigest";
    all.push(field(LAUNCHES, at, &json!(id), &no_id));
    let no_pod = ["VM", "-vm", "vm-", "a_b", "team/vm"].map(Value::from);
    all.push(field(
        LAUNCHES,
        "spec.podName",
        &json!("vm-0.of-a-set"),
        &no_pod,
    ));
    let mut whole = |kind, told, good, bad: &[Value]| {
        all.push(Case {
            kind,
            at: "spec".to_owned(),
            told,
            good,
            bad: bad.to_vec(),
        });
    };
    whole(
        LAUNCHES,
        "expectedLaunchDigest:",
        json!({ "expectedLaunchDigest": id }),
        &[json!({ "expectedLaunchDigest": id, "platform": "kvm" })],
    );
    let first = |platform: &str| json!({ "platform": platform, "priority": "high" });
    whole(
        LAUNCHES,
        "priority:",
        first("sev-snp"),
        &["kvm", "tdx"].map(first),
    );
    whole(LAUNCHES, "priority:", first("sim"), &[]);
    whole(
        LAUNCHES,
        "spec cannot be changed",
        json!({}),
        &[
            json!({ "podName": "other" }),
            json!({ "start": true }),
            json!({ "settings": { "vcpus": 2 } }),
            json!({ "image": { "file": "guest" } }),
        ],
    );
    whole(
        IMAGES,
        "vcpus:",
        json!({ "platform": "tdx", "vcpus": [1] }),
        &[json!({ "platform": "kvm", "vcpus": [1] })],
    );
    whole(
        IMAGES,
        "settings.vcpus:",
        json!({ "vcpus": [1, 2], "settings": { "append": "quiet" } }),
        &[json!({ "settings": { "vcpus": 2 } })],
    );
    whole(
        IMAGES,
        "only nodeSelector can be changed",
        json!({ "nodeSelector": { "pool": "b" } }),
        &[
            json!({ "image": { "file": "guest" } }),
            json!({ "platform": "tdx" }),
            json!({ "settings": { "append": "quiet" } }),
            json!({ "vcpus": [1] }),
        ],
    );
    all
}
