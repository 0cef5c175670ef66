//! Platforms and profiles of the model.
//!
//! **Invariant:** which profiles a case runs on is known from its source, so that a failure can be repeated.
use std::panic::Location;

use stagepages_proto::v1::Platform;
use stagepages_tests::{Subject, Subjects};

const PLATFORMS: [Platform; 2] = [Platform::SevSnp, Platform::Tdx];
const PROFILES: [&str; 4] = ["6.11", "6.18", "6.19", "7.1"];

/// The profiles that have `platform`: Linux 6.11 knows nothing of TDX yet, and what the product says then is a case of `black_box::node`.
fn profiles(platform: Platform) -> &'static [&'static str] {
    let first = usize::from(platform == Platform::Tdx);
    &PROFILES[first..]
}

/// How a case comes to its profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Each platform under each profile.
    All,
    /// Each platform under one, by the place of the case in its file.
    Turns,
}

/// What a case at `place` runs on, unless the environment says otherwise.
pub(crate) fn subjects(usual: Choice, place: &Location<'_>) -> Subjects {
    let all = PLATFORMS.iter().flat_map(|platform| {
        profiles(*platform)
            .iter()
            .map(|profile| Subject::modelled(*platform, profile))
    });
    if choice(usual) == Choice::All {
        return Subjects::new(all.collect::<Vec<_>>());
    }
    let turn = usize::try_from(place.line()).expect("files are short");
    let taken = (0..PLATFORMS.len()).map(|platform| {
        // Never the same profile for both: a case that fails on one has more to tell then.
        let profiles = profiles(PLATFORMS[platform]);
        Subject::modelled(
            PLATFORMS[platform],
            profiles[(turn + platform) % profiles.len()],
        )
    });
    Subjects::new(taken.collect::<Vec<_>>())
}

/// `sev-snp`, under each profile.
pub(crate) fn snp() -> Subjects {
    let snp = PROFILES.map(|profile| Subject::modelled(Platform::SevSnp, profile));
    Subjects::new(snp)
}

fn choice(usual: Choice) -> Choice {
    match std::env::var("STAGEPAGES_MODEL_PROFILES").as_deref() {
        Ok("all") => Choice::All,
        Ok("turns") => Choice::Turns,
        Ok(other) => panic!("STAGEPAGES_MODEL_PROFILES is {other:?}; write all or turns"),
        Err(_) => usual,
    }
}
