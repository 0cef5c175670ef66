//! `time_line`: one launch on `sim` whose firmware takes 1 ms a page, against pages × 1 ms.
//!
//! The firmware's time line is absolute, so whatever the product adds between two commands shows up here.
//!
//! **Invariant:** the firmware is this launch's alone: its time line is in the runtime directory of a daemon of its own.

use std::time::Duration;

use stagepages_proto::v1::Platform;
use stagepages_tests::{Contents, DaemonOptions, PAGE, SimScript, page, region};

use crate::{
    pairs::alone,
    report::{Target, figure, judged},
    stage::{create, end, stage},
    world::{World, client},
};

/// Firmware time of a page.
pub(crate) const PAGE_TIME: Duration = Duration::from_millis(1);

/// Four seconds of it.
const PAGES: u64 = 4096;

pub(crate) fn run(world: &World) {
    let pages = world.scale.of(PAGES);
    let source = Contents::new(5).pages(pages);
    world.with_daemon(&DaemonOptions::new(), Platform::Sim, |bench| {
        let client = world.runtime.block_on(client(bench));
        let staged = async || {
            let region = region(page(0), pages * PAGE);
            let spec = SimScript::new().latency(PAGE_TIME).spec([region]);
            let launch = create(&client, spec).await;
            let took = stage(&client, &launch, &source, 1).await;
            end(&client, &launch).await;
            took.as_secs_f64()
        };
        let took = alone(world.scale, || world.runtime.block_on(staged()));
        let least = PAGE_TIME.as_secs_f64() * f64::from(u32::try_from(pages).unwrap());
        figure("time_line.product_seconds", took);
        figure("time_line.baseline_seconds", least);
        let how = format!("median of {} launches of {pages} pages", world.scale.pairs);
        judged(
            world.scale,
            "time_line",
            took / least,
            Target::AtMost(1.02),
            &how,
        );
    });
}
