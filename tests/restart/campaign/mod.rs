//! Rounds: launches under load, something is killed with signal 9 at a random moment, and everything that should be is there.
//!
//! ```text
//!   two clients, the same numbered calls  ─▶ proxy ─▶ launch "numbered", SEQUENCED
//!   two clients, other bytes each         ─▶ proxy ─▶ launch "rivals", UNORDERED        any of: daemon, a host, a client, all but hosts, all; or an upgrade
//!   stagectl stage, killed and resumed    ─▶ proxy ─▶ launch "tool", either               ▲
//!                                               └──── after so many bytes ───────────────┘
//! ```
//!
//! **Invariant:** what a round does is drawn from its number and the seed; what it asserts holds whatever the moment.
mod checks;
mod load;
mod round;
mod victim;

use std::sync::OnceLock;

use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, Contents, DaemonOptions, on_platform, say};

use load::Images;
use round::{Round, Tally};
use victim::Victim;

/// Pages of each image. Rivals get in each other's way page by page, and all their calls have to fit the window of answers.
const PAGES: u64 = 128;

/// Rounds of all kinds together: five in each place, or what the caller asks for.
fn rounds() -> u64 {
    number("STAGEPAGES_ROUNDS").unwrap_or(20)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable} is a number: {error}")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_loses_and_doubles_nothing_on_sim() {
    campaign(Platform::Sim, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_loses_and_doubles_nothing_on_kvm() {
    campaign(Platform::Kvm, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_in_a_pid_namespace_loses_and_doubles_nothing_on_sim() {
    campaign(Platform::Sim, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_in_a_pid_namespace_loses_and_doubles_nothing_on_kvm() {
    campaign(Platform::Kvm, true).await;
}

async fn campaign(platform: Platform, contained: bool) {
    let seed = number("STAGEPAGES_SEED").unwrap_or(0);
    let made = OnceLock::new();
    on_platform(&DaemonOptions::new(), platform, async |bench: &Bench| {
        drop(made.set(Images::new(bench).await));
    })
    .await;
    // Without the platform nothing was made.
    let Some(images) = made.into_inner() else {
        return;
    };
    let options = if contained {
        DaemonOptions::new().in_pid_namespace()
    } else {
        DaemonOptions::new()
    };
    let victims = Victim::all(contained);
    let mut tally = Tally::default();
    for (number, victim) in (0..rounds().div_ceil(4)).zip(victims.iter().cycle()) {
        println!("seed {seed}, round {number}, {victim:?}");
        let mut round = Round {
            victim: *victim,
            random: Contents::new(seed.wrapping_mul(0x0010_0001) ^ number),
            images: &images,
        };
        round.run(&options, platform, number, &mut tally).await;
    }
    let place = if contained { "inside" } else { "outside" };
    say(&format!(
        "restart, {}, {place} a pid namespace, seed {seed}: {tally}",
        platform.as_str_name()
    ));
}
