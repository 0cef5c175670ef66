//! Images end in the digest that was planned, on the model: the cases of `tests/plan`, under the oldest and the newest kernel of each platform.
//!
//! **Invariant:** adds nothing but what they run on.
use stagepages_proto::v1::Platform::{SevSnp, Tdx};
use stagepages_tests::{Subject, Subjects, stagectl};

#[path = "../plan/cases.rs"]
mod cases;

fn subjects() -> Subjects {
    let kernels = [
        (SevSnp, "6.11"),
        (SevSnp, "7.1"),
        (Tdx, "6.18"),
        (Tdx, "7.1"),
    ];
    Subjects::new(kernels.map(|(platform, profile)| Subject::modelled(platform, profile)))
}
