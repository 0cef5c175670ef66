//! What deploy/ says of metrics, against a live scrape.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stagepages_proto::v1::{Platform, sim_fault::Effect};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, Scrape, SimScript, on_platform, page, region,
};

use super::scrape;

const DOCUMENT: &str = include_str!("../../deploy/METRICS.md");
const RULES: &str = include_str!("../../deploy/prometheus/rules.yaml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/stagepages.json");

/// A daemon of which everything was asked that makes a metric, once.
async fn eventful(test: impl AsyncFn(&Scrape)) {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy.toml");
    let me = format!("uid:{}", nix::unistd::geteuid());
    // Who asks over TCP, too: whether it still serves is looked at in the end.
    let callers = [me.as_str(), "spiffe://test/*", "dns:node"].map(|name| {
        format!("[[caller]]\nidentity = \"{name}\"\ntenant = \"local\"\nroles = [\"admin\"]\n")
    });
    // What is only there where it is bounded.
    let text = callers.concat() + "[total]\nmemory_bytes = 1073741824\n";
    std::fs::write(&policy, text).unwrap();
    let options = DaemonOptions::new()
        .metrics()
        .flag(&format!("--policy={}", policy.display()));
    on_platform(&options, Platform::Sim, async |bench: &Bench| {
        let spec = SimScript::new()
            .fault(page(0), 1, Effect::FirmwareStatus(0x1a))
            .spec([region(page(0), 16 * PAGE)]);
        let launch = bench.api.create("eventful", spec).await.unwrap();
        let extent = || Extent::normal(page(0), Contents::new(1).pages(1));
        bench.api.stage(&launch.name, extent()).await.unwrap_err();
        bench.api.stage(&launch.name, extent()).await.unwrap();
        test(&scrape(bench)).await;
    })
    .await;
}

/// A row of the document: name, type, labels; and whether it is always there.
type Row = (String, String, BTreeSet<String>, bool);

fn rows() -> Vec<Row> {
    let rows = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `stagepages_"));
    rows.map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, meaning, _] = cells[..] else {
            panic!("{line}");
        };
        assert!(!meaning.is_empty(), "{line}");
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        (
            name.trim_end_matches(" *").trim_matches('`').to_owned(),
            kind.to_owned(),
            labels
                .map(|label| label.trim_matches('`').to_owned())
                .collect(),
            !name.ends_with(" *"),
        )
    })
    .collect()
}

/// Names of labels.
fn keys(labels: &str) -> BTreeSet<String> {
    let keys = labels.split(',').filter_map(|label| label.split_once('='));
    keys.map(|(key, _)| key.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_metric_that_there_is_and_no_other() {
    eventful(async |scraped| {
        let documented: BTreeMap<_, _> =
            rows().into_iter().map(|row| (row.0.clone(), row)).collect();
        assert_eq!(documented.len(), rows().len(), "each once");
        for (name, kind) in scraped.types() {
            let (_, told, labels, _) = documented
                .get(name)
                .unwrap_or_else(|| panic!("{name} is not in deploy/METRICS.md"));
            assert_eq!(told, kind, "{name}");
            for has in scraped.labels_of(name) {
                assert_eq!(&keys(has), labels, "{name}");
            }
        }
        for name in documented.keys() {
            assert!(
                scraped.types().contains_key(name),
                "{name} is nowhere to be seen"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_marked_is_there_from_the_start() {
    on_platform(
        &DaemonOptions::new().metrics(),
        Platform::Sim,
        async |bench: &Bench| {
            let scraped = scrape(bench);
            for (name, .., always) in rows() {
                assert!(!always || scraped.types().contains_key(&name), "{name}");
            }
        },
    )
    .await;
}

/// The names of our metrics in an expression.
fn names_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("stagepages_"));
    ours.map(str::to_owned).collect()
}

/// Each expression of the dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("expr" | "query" | "definition", Value::String(text)) => {
                        found.push(text.clone());
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_rules_name_only_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut shown = Vec::new();
    expressions(&dashboard, &mut shown);
    assert!(shown.len() > 30, "{shown:?}");
    // In words to people our name is written with a capital, or as a path.
    let rules = names_in(RULES);
    assert!(rules.len() > 8, "{rules:?}");
    eventful(async |scraped| {
        let names: BTreeSet<_> = scraped.names().collect();
        let in_dashboard: BTreeSet<_> = shown.iter().flat_map(|text| names_in(text)).collect();
        for name in rules.iter().chain(&in_dashboard) {
            assert!(names.contains(name.as_str()), "{name} is no metric");
        }
        // And all are looked at: what nobody sees is not worth counting.
        for family in scraped.types().keys() {
            let is_shown = in_dashboard.iter().any(|name| {
                let base = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| name.strip_suffix(suffix));
                name == family || base == Some(family)
            });
            assert!(is_shown, "{family} is in no panel");
        }
    })
    .await;
}

#[test]
fn every_alert_leads_to_its_place_in_the_runbook() {
    let alerts = RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<_> = alerts.collect();
    assert!(alerts.len() > 8);
    for alert in alerts {
        let url = format!("runbook_url: deploy/RUNBOOK.md#{}\n", alert.to_lowercase());
        assert_eq!(RULES.matches(&url).count(), 1, "{alert}");
    }
}
