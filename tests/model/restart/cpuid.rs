//! The daemon dies behind a CPUID page that firmware refused: the host remembers it, and what firmware would have.
//!
//! **Invariant:** the refused bytes reach the kernel once, whichever daemon hands them over and wherever they are to lie.
use stagepages_kernel_model::{Call, CpuidWant, Script};
use stagepages_proto::v1::{
    GetRejectedCpuidRequest, LaunchState, PageType, Platform, RejectedCpuid,
};
use stagepages_tests::{Extent, Refusal, page, refused};

use super::{Mortal, times};
use crate::faults::{cpuid_table, left};
use crate::measured::Measured;
use crate::trace::checks;

async fn rejected(mortal: &Mortal, name: &str) -> RejectedCpuid {
    let request = GetRejectedCpuidRequest {
        name: name.to_owned(),
        ..GetRejectedCpuidRequest::default()
    };
    let mut launches = mortal.rig.api.launches.clone();
    let answer = launches.get_rejected_cpuid(request).await.unwrap();
    answer.into_inner().rejected.unwrap()
}

async fn is_refused(mortal: &Mortal, name: &str, gfn: u64) -> Refusal {
    let extent = Extent::data(page(gfn), PageType::Cpuid, cpuid_table::page());
    let refusal = refused(mortal.rig.api.stage(name, extent).await, "CPUID_REJECTED");
    refusal.at(page(gfn)).installed(0);
    assert_eq!(refusal.number("cpuid_differences"), 1);
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cpuid_page_that_firmware_refused_is_remembered_without_a_daemon() {
    let mut mortal = Mortal::start(Platform::SevSnp).await;
    mortal.rig.play(&Script {
        cpuid_wants: vec![CpuidWant {
            eax_in: cpuid_table::LEAVES[3],
            ecx_in: 0,
            eax: None,
            ebx: Some(cpuid_table::OTHER),
            ecx: None,
            edx: None,
        }],
        ..mortal.rig.script()
    });
    let mark = mortal.rig.mark();
    let launch = mortal.launch("vm", 64).await;
    let name = &launch.name;
    let first = is_refused(&mortal, name, 8).await;
    let told = rejected(&mortal, name).await;
    assert_eq!((told.gpa, told.differences.len()), (page(8).get(), 1));

    for _ in 0..2 {
        mortal.renew_daemon().await;
        assert_eq!(rejected(&mortal, name).await, told);
        // At the same place, or at another: these bytes are known.
        for gfn in [8, 9] {
            let again = is_refused(&mortal, name, gfn).await;
            let firmware = first.message.strip_prefix("CPUID_REJECTED: ").unwrap();
            assert!(again.message.ends_with(firmware), "{again:?}, {first:?}");
            assert!(again.message.contains("not submitted"), "{again:?}");
            for key in ["cpuid_difference_1", "firmware_status", "errno"] {
                assert_eq!(again.meta(key), first.meta(key));
            }
        }
        assert_eq!(rejected(&mortal, name).await, told);
    }
    let asked = || times(&mortal.events(mark, &launch), Call::SnpLaunchUpdate);
    assert_eq!(asked(), 1, "only the first was submitted");

    // What firmware would have it takes, and the launch goes on as if nothing had been.
    let mut measured = Measured::default();
    measured.add(8, PageType::Cpuid, &told.corrected_page);
    let corrected = Extent::data(page(8), PageType::Cpuid, told.corrected_page.clone());
    mortal.rig.api.stage(name, corrected).await.unwrap();
    assert_eq!(asked(), 2);
    let now = mortal.rig.api.get(name).await.unwrap();
    assert_eq!(
        (now.state(), now.installed_pages),
        (LaunchState::Staging, 1)
    );
    left::check_digest(&mortal.rig, &now, &measured);
    let finished = mortal.rig.api.finish(name, vec![]).await.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    mortal.renew_daemon().await;
    assert_eq!(
        rejected(&mortal, name).await,
        told,
        "also of a finished launch"
    );

    let events = mortal.events(mark, &launch);
    checks::every_rule(&events, 1).unwrap();
    mortal.rig.api.abort(name).await.unwrap();
    mortal.end().await;
}
