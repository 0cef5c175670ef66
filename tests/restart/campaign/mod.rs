//! Rounds: launches under load, something is killed with signal 9 at a random moment, and everything that should be is there.
//!
//! ```text
//!   two clients, the same numbered calls  ─▶ proxy ─▶ launch "numbered", SEQUENCED
//!   two clients, other bytes each         ─▶ proxy ─▶ launch "rivals", UNORDERED        any of: daemon, a host, a client, all but hosts, all; or an upgrade
//!   stagectl launch stage, killed, resumed ─▶ proxy ─▶ launch "tool", either               ▲
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

/// What rounds are run on.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) platform: Platform,
    pub(crate) options: DaemonOptions,
    /// What it is, in words.
    pub(crate) what: String,
    /// All of it is in a pid namespace.
    pub(crate) contained: bool,
}

/// Rounds in each place: five, or a quarter of what the caller asks for.
fn rounds() -> u64 {
    number("STAGEPAGES_ROUNDS").unwrap_or(20).div_ceil(4)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable} is a number: {error}")),
    )
}

/// Runs the rounds of a place, if this machine has it.
pub(crate) async fn campaign(place: &Place) {
    let seed = number("STAGEPAGES_SEED").unwrap_or(0);
    let made = OnceLock::new();
    on_platform(&place.options, place.platform, async |bench: &Bench| {
        drop(made.set(Images::new(bench).await));
    })
    .await;
    // Without the platform nothing was made.
    let Some(images) = made.into_inner() else {
        return;
    };
    let victims = Victim::all(place.contained);
    let mut tally = Tally::default();
    for (number, victim) in (0..rounds()).zip(victims.iter().cycle()) {
        println!("seed {seed}, round {number}, {victim:?}");
        let mut round = Round {
            victim: *victim,
            random: Contents::new(seed.wrapping_mul(0x0010_0001) ^ number),
            images: &images,
        };
        round.run(place, number, &mut tally).await;
    }
    say(&format!("restart, {}, seed {seed}: {tally}", place.what));
}
