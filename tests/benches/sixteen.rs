//! `sixteen_launches`: sixteen equal launches at once on serial firmware; the mean time until one is staged, against the same daemon without its scheduler.
//!
//! In turns, a chunk each, all sixteen are done near the end; one after the other, they are done one after the other, and the mean is little more than half.
//! How much more is a matter of arithmetic: (16 + 1) / 2 launches against 16 less half a round of chunks, 0.547 for launches of sixteen chunks.
//!
//! **Invariant:** every launch's time counts from the moment when all of them may begin.

use std::time::Duration;

use bytes::Bytes;
use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, Contents, Daemon, DaemonOptions, SimScript, page, region};

use crate::{
    pairs::{alone, alternate},
    report::{Target, absent, figure},
    stage::stage_at_once,
    time_line::PAGE_TIME,
    world::World,
};

const LAUNCHES: usize = 16;

/// Of each launch: sixteen chunks, a second of firmware time.
const PAGES: u64 = 1024;

/// What serves every launch as it comes.
const WITHOUT_SCHEDULER: &str = "--scheduler=off";

pub(crate) fn run(world: &World) {
    let source = Contents::new(6).pages(world.scale.of(PAGES));
    let mean = |bench: &Bench| mean_seconds(world, bench, &source);
    let without = DaemonOptions::new().flag(WITHOUT_SCHEDULER);
    world.with_daemon(&DaemonOptions::new(), Platform::Sim, |scheduled| {
        match Daemon::try_start(&without) {
            Ok(probe) => probe.stop(),
            Err(_refused) => {
                let took = alone(world.scale, || mean(scheduled));
                figure("sixteen_launches.product_seconds", took);
                let why = format!("this daemon knows no {WITHOUT_SCHEDULER} to be compared with");
                return absent("sixteen_launches", &why);
            }
        }
        world.with_daemon(&without, Platform::Sim, |unscheduled| {
            let pairs = alternate(world.scale, || mean(scheduled), || mean(unscheduled));
            pairs.time("sixteen_launches", Target::AtMost(0.56));
        });
    });
}

/// The mean, over sixteen launches that begin at once, of the time until all of its pages are staged.
fn mean_seconds(world: &World, bench: &Bench, source: &Bytes) -> f64 {
    let region = region(page(0), source.len() as u64);
    let spec = SimScript::new().latency(PAGE_TIME).spec([region]);
    let took = stage_at_once(world, bench, LAUNCHES, &spec, |_| source.clone());
    let sum: f64 = took.iter().map(Duration::as_secs_f64).sum();
    sum / f64::from(u32::try_from(took.len()).unwrap())
}
