//! Has one row happen, and holds it to its expectations.
//!
//! **Invariant:** what comes before the step that the row is about has to succeed.
use std::sync::atomic::{AtomicU64, Ordering};

use stagepages_kernel_model::{Effect, Event, What};
use stagepages_proto::v1::{LaunchSpec, Platform};
use stagepages_tests::{PAGE, page, refused, region, spec};

use super::row::{Row, Step};
use super::staged::Staged;
use crate::rig::Rig;

/// Pages of every launch, from GFN 0 on.
const PAGES: u64 = 64;

/// Has the row happen.
pub(crate) async fn run(rig: &Rig, row: &Row) {
    static ROWS: AtomicU64 = AtomicU64::new(0);
    let id = format!("row-{}", ROWS.fetch_add(1, Ordering::Relaxed));
    let mut script = row.script.clone();
    (script.profile, script.snp, script.tdx) = (rig.profile, true, true);
    rig.play(&script);
    let mark = rig.mark();
    let asked = LaunchSpec {
        vcpus: row.spec.vcpus,
        sev_snp: row.spec.sev_snp.clone(),
        ..spec(rig.platform, [region(page(0), PAGES * PAGE)])
    };
    let created = rig.api.create(&id, asked.clone()).await;
    match (&row.step, &row.expect.refusal) {
        (Step::Create, Some(told)) => {
            let refusal = told.check(&created.expect_err(&row.what));
            assert_eq!(refusal.meta("launch"), format!("launches/{id}"));
            nothing_remains(rig, &id, asked).await;
        }
        (Step::Create, None) => {
            let mut staged = Staged::new(rig, mark, created.unwrap());
            staged.goes_on().await;
        }
        (
            Step::Stage {
                before,
                page_type,
                pages,
            },
            _,
        ) => {
            let mut staged = Staged::new(rig, mark, created.unwrap());
            staged.stage_before(*before).await;
            staged.stage(*before, *page_type, *pages, &row.expect).await;
        }
        (Step::Finish(arguments), _) => {
            let mut staged = Staged::new(rig, mark, created.unwrap());
            staged.stage_before(2).await;
            staged.finish(arguments.clone(), &row.expect).await;
        }
    }
    all_struck(row, &rig.events(mark));
}

/// The daemon says beforehand that it does not have `platform`, and makes no launch on it.
pub(crate) async fn is_unavailable(rig: &Rig, platform: Platform) {
    let info = rig.api.node_info().await;
    let info = info
        .platforms
        .iter()
        .find(|info| info.platform() == platform);
    let info = info.expect("every platform is listed");
    assert!(!info.available);
    let missing: Vec<_> = info.checks.iter().filter(|check| !check.ok).collect();
    assert!(!missing.is_empty(), "{info:?}");
    for check in missing {
        assert!(
            !check.found.is_empty() && !check.remedy.is_empty(),
            "{check:?}"
        );
    }
    let asked = spec(platform, [region(page(0), PAGES * PAGE)]);
    refused(rig.api.create("", asked).await, "PLATFORM_UNAVAILABLE");
}

/// A launch that could not be made leaves no record and no resources: its name can be used once nothing fails.
async fn nothing_remains(rig: &Rig, id: &str, asked: LaunchSpec) {
    let name = format!("launches/{id}");
    refused(rig.api.get(&name).await, "LAUNCH_NOT_FOUND");
    rig.play(&rig.script());
    let asked = LaunchSpec {
        sev_snp: None,
        ..asked
    };
    rig.api.create(id, asked).await.unwrap();
    rig.api.abort(&name).await.unwrap();
}

fn all_struck(row: &Row, events: &[Event]) {
    for fault in &row.script.faults {
        let strikes = |event: &&Event| matches!(&event.what, What::Fault(struck) if struck.effect == fault.effect && struck.call == fault.at);
        // Time is taken without a word.
        let is_seen = matches!(fault.effect, Effect::Latency(_))
            || events.iter().any(|event| strikes(&event));
        assert!(is_seen, "{fault:?} has not struck");
    }
}
