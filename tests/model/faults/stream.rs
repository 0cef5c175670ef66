//! CPUID pages one behind the other: each has a call of its own, and one that firmware would have otherwise stops the stream.
//!
//! In a call of several pages KVM would overwrite the source of a later one and say nothing, so that whoever asks for the rest submits what nobody approved
//! (kernel.md, section 2.5).
//!
//! **Invariant:** the table that is wanted otherwise is wrong in one entry only, and only there.
use bytes::Bytes;
use stagepages_kernel_model::{CpuidWant, Profile};
use stagepages_proto::v1::stage_pages_stream_response::Answer;
use stagepages_proto::v1::{LaunchState, PageType, Platform, StagePagesStreamRequest};
use stagepages_tests::{Extent, PAGE, Refusal, call_status, page, refused, region, spec};

use super::{cpuid_table, left};
use crate::rig::{of_process, start};
use crate::trace::checks;

/// A table that differs from the ordinary one, and which firmware takes.
fn taken() -> Bytes {
    let mut table = cpuid_table::page().to_vec();
    // EBX of the second entry, leaf 1.
    table[16 + 48 + 28..][..4].copy_from_slice(&cpuid_table::OTHER.to_le_bytes());
    table.into()
}

async fn is_rejected_alone(profile: Profile) {
    let (bench, rig) = start(Platform::SevSnp, profile, "").await;
    let mut script = rig.script();
    script.cpuid_wants = vec![CpuidWant {
        eax_in: 1,
        ecx_in: 0,
        eax: None,
        ebx: Some(cpuid_table::OTHER),
        ecx: None,
        edx: None,
    }];
    rig.play(&script);
    let mark = rig.mark();
    let launch = rig
        .api
        .create("", spec(rig.platform, [region(page(0), 64 * PAGE)]))
        .await
        .unwrap();
    let tables = [taken(), taken(), cpuid_table::page(), taken()];
    let asks = (8..).zip(tables).map(|(gfn, table)| {
        let request = Extent::data(page(gfn), PageType::Cpuid, table).request(&launch.name);
        StagePagesStreamRequest {
            request: Some(request),
        }
    });
    let asks: Vec<_> = asks.collect();
    let mut launches = rig.api.launches.clone();
    let stream = launches.stage_pages_stream(tokio_stream::iter(asks));
    let mut answers = stream.await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        told.push(match answer.answer.unwrap() {
            Answer::Result(result) => result.installed_pages.to_string(),
            Answer::Error(error) => Refusal::of(&call_status(error)).reason,
        });
    }
    assert_eq!(told, ["1", "1", "CPUID_REJECTED", "NOT_APPLIED"]);

    let now = rig.api.get(&launch.name).await.unwrap();
    assert_eq!(
        (now.state(), now.installed_pages),
        (LaunchState::Staging, 2)
    );
    // Two pages that the API would have to hand over together.
    let both = [taken(), taken()].concat();
    let both = Extent::data(page(0x20), PageType::Cpuid, both);
    refused(rig.api.stage(&launch.name, both).await, "INVALID_EXTENT");
    let secrets = Extent::length(page(0x30), PageType::Secrets, 3 * PAGE);
    rig.api.stage(&launch.name, secrets).await.unwrap();

    let events = of_process(&rig.events(mark), launch.host_pid);
    let asked = left::installs(&events);
    let asked: Vec<_> = asked.iter().map(|note| note.gfn.zip(note.pages)).collect();
    let expected = [8, 9, 10, 0x30, 0x31, 0x32].map(|gfn| Some((gfn, 1)));
    assert_eq!(asked, expected);
    checks::no_page_is_submitted_twice(&events).unwrap();
    checks::no_rejected_cpuid_is_submitted_again(&events).unwrap();
    checks::chunks_are_bounded(&events, 64).unwrap();
    rig.play(&rig.script());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cpuid_page_later_on_is_rejected_alone() {
    for profile in Profile::ALL {
        is_rejected_alone(profile).await;
    }
}
