//! Every setting of a confidential launch, from the API to the structure that the kernel is given.
//!
//! Each field has a value of its own, on a machine that takes any, so that one that is lost, or lands in its neighbour's place, shows in the trace.
//!
//! **Invariant:** a call is compared with all that it was told, so that a field that the model learns of is missed here until it has a value.
mod snp;
mod tdx;

use std::collections::BTreeMap;

use bytes::Bytes;
use stagepages_kernel_model::{Call, Event, Note, Script};
use stagepages_proto::v1::{FinishLaunchRequest, LaunchSpec, LaunchState, SevSnpFinish};
use stagepages_tests::{Extent, PAGE, page, region, spec};

use crate::rig::{Rig, of_process};

/// What a call was told, by name.
type Told = BTreeMap<String, String>;

/// Bytes that differ from each other, and by `first` from those of another field.
fn bytes(first: u8, count: usize) -> Bytes {
    let bytes = (first..=u8::MAX).cycle().take(count);
    bytes.collect()
}

fn told(note: &Note) -> Told {
    let words = note.detail.as_deref().unwrap_or_default().split(' ');
    let pairs = words.map(|word| word.split_once('=').expect("name=value"));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn expected<const N: usize>(pairs: [(&str, String); N]) -> Told {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

fn calls(events: &[Event], call: Call) -> Vec<&Note> {
    let ended = events.iter().filter_map(Event::ended);
    ended.filter(|note| note.is(call)).collect()
}

/// What the only such call was told.
fn the_call(events: &[Event], call: Call) -> Told {
    let calls = calls(events, call);
    let [only] = calls[..] else {
        panic!("{} of {}", calls.len(), call.name());
    };
    told(only)
}

/// A machine that takes whatever has the right shape.
fn takes_anything(rig: &Rig) -> Script {
    Script {
        vmsa_features: Some(u64::MAX),
        snp_policy_bits: u64::MAX,
        tdx_attributes: u64::MAX,
        tdx_xfam: u64::MAX,
        ..rig.script()
    }
}

fn launch_of(rig: &Rig) -> LaunchSpec {
    LaunchSpec {
        vcpus: 2,
        ..spec(rig.platform, [region(page(0), 16 * PAGE)])
    }
}

/// Makes the launch, stages a page, finishes it with what is made for its digest, and answers with all that its host asked of the kernel.
async fn live(
    rig: &Rig,
    asked: LaunchSpec,
    finish: impl FnOnce(&[u8]) -> Option<SevSnpFinish>,
) -> Vec<Event> {
    let mark = rig.mark();
    let launch = rig.api.create("", asked).await.unwrap();
    let extent = Extent::normal(page(1), vec![7; 4096]);
    rig.api.stage(&launch.name, extent).await.unwrap();
    let digest = rig.api.get(&launch.name).await.unwrap().launch_digest;
    let request = FinishLaunchRequest {
        name: launch.name.clone(),
        sev_snp: finish(&digest),
        ..FinishLaunchRequest::default()
    };
    let finished = rig.api.launches.clone().finish_launch(request).await;
    let finished = finished.unwrap().into_inner().launch.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    rig.api.abort(&launch.name).await.unwrap();
    of_process(&rig.events(mark), launch.host_pid)
}
