//! Platforms and profiles of the model.
//!
//! **Invariant:** which profiles a case runs on is known from its name, so that a failure can be repeated.
use stagepages_proto::v1::Platform;
use stagepages_tests::{Subject, Subjects};

const PLATFORMS: [Platform; 2] = [Platform::SevSnp, Platform::Tdx];
const PROFILES: [&str; 4] = ["6.11", "6.18", "6.19", "7.1"];

/// The profiles that have `platform`: Linux 6.11 knows nothing of TDX yet, and what the product says then is a case of `black_box::node`.
fn profiles(platform: Platform) -> &'static [&'static str] {
    let first = usize::from(platform == Platform::Tdx);
    &PROFILES[first..]
}

/// Each platform under each profile that has it, or, where the environment says so, under one whose turn it is.
pub(crate) fn subjects() -> Subjects {
    let all = PLATFORMS.iter().flat_map(|platform| {
        profiles(*platform)
            .iter()
            .map(|profile| Subject::modelled(*platform, profile))
    });
    let all = Subjects::new(all.collect::<Vec<_>>());
    match std::env::var("STAGEPAGES_MODEL_PROFILES").as_deref() {
        Ok("turns") => all.taking_turns(),
        Ok("all") | Err(_) => all,
        Ok(other) => panic!("STAGEPAGES_MODEL_PROFILES is {other:?}; write all or turns"),
    }
}

/// `sev-snp`, under each profile.
pub(crate) fn snp() -> Subjects {
    let snp = PROFILES.map(|profile| Subject::modelled(Platform::SevSnp, profile));
    Subjects::new(snp)
}
