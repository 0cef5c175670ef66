//! `scaling`: 1 GiB into `kvm` through 1 to 64 streams at once, each into a launch of its own on a connection of its own.
//!
//! **Invariant:** the bytes are the same whatever the number of streams, so all rates compare.

use std::time::Duration;

use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, DaemonOptions, PAGE, page, region, spec};

use crate::{
    pairs::{alone, gb_per_s},
    report::figure,
    stage::stage_at_once,
    world::World,
};

/// Streams at once.
const STREAMS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

pub(crate) fn run(world: &World) {
    world.with_daemon(&DaemonOptions::new(), Platform::Kvm, |bench| {
        for streams in STREAMS {
            let took = alone(world.scale, || seconds(world, bench, streams));
            let name = format!("scaling.{streams}_streams_gb_per_s");
            figure(&name, gb_per_s(world.source_bytes(), took));
        }
    });
}

/// Seconds from the first request of the first stream to the last answer of the last.
fn seconds(world: &World, bench: &Bench, streams: usize) -> f64 {
    let bytes = world.source_bytes() / streams as u64 / PAGE * PAGE;
    let part = usize::try_from(bytes).unwrap();
    let spec = spec(Platform::Kvm, [region(page(0), bytes)]);
    let source = |n| world.source().slice(n * part..(n + 1) * part);
    let took = stage_at_once(world, bench, streams, &spec, source);
    took.iter().max().map_or(f64::NAN, Duration::as_secs_f64)
}
