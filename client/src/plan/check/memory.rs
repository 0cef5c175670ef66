//! The guest's memory: regions of whole pages, apart from each other, where the platform takes private memory.
//!
//! **Invariant:** says nothing of how much memory a machine has.

use super::Found;
use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    plan::{
        Finding, MOST_REGIONS, Plan,
        Severity::{Error, Warning},
        USUAL_REGIONS,
    },
    v1::{Platform, TdxSettings},
};

/// KVM's frame numbers have 52 - 12 bits.
const ADDRESS_BITS: u32 = 52;
/// The leaf whose EAX has the guest's physical address bits in bits 16 to 23.
const ADDRESS_SIZES: u32 = 0x8000_0008;

pub(super) fn check(plan: &Plan, found: &mut Found) {
    if plan.memory.is_empty() {
        let text =
            "the plan has no memory region; give the guest's memory, for example --memory 0x0+64M";
        found.add(Finding::new(Error, "NO_MEMORY", text));
    }
    found.extend(too_many(plan.memory.len()));
    let bits = private_bits(plan);
    for region in &plan.memory {
        let (gpa, size) = (region.gpa.bytes(), region.size);
        if size == 0 || gpa % PAGE_BYTES != 0 || size % PAGE_BYTES != 0 {
            let text = format!(
                "the memory region {region} is not one or more whole pages; give multiples of 0x1000 bytes"
            );
            found.add(Finding::new(Error, "REGION_UNALIGNED", text).at(region.gpa));
        }
        if end(region).is_none_or(|end| end > 1 << bits) {
            let what = match plan.platform {
                Platform::Tdx => "private memory of a TD",
                Platform::SevSnp | Platform::Sim | Platform::Kvm | Platform::Unspecified => {
                    "guest memory"
                }
            };
            let text = format!(
                "the memory region {region} reaches past 2^{bits}, below which {what} lies; put it below"
            );
            found.add(Finding::new(Error, "REGION_BEYOND", text).at(region.gpa));
        }
    }
    let mut regions: Vec<_> = plan.memory.iter().collect();
    regions.sort_unstable_by_key(|region| region.gpa);
    for pair in regions.windows(2) {
        if let [first, second] = pair
            && end(first).is_none_or(|end| end > second.gpa.bytes())
        {
            let text = format!(
                "the memory regions {first} and {second} overlap; make one of them, or part them"
            );
            found.add(Finding::new(Error, "REGION_OVERLAP", text).at(second.gpa));
        }
    }
}

/// Whether a daemon takes so many regions depends on its configuration, up to a point.
fn too_many(regions: usize) -> Option<Finding> {
    if regions <= USUAL_REGIONS {
        return None;
    }
    let (severity, taken) = if regions <= MOST_REGIONS {
        let usual = format!(
            "a daemon that is not configured otherwise takes {USUAL_REGIONS} in a launch (max_regions, which `stagectl node` tells)"
        );
        (Warning, usual)
    } else {
        let most = format!("no daemon takes more than {MOST_REGIONS} in a launch");
        (Error, most)
    };
    let text = format!(
        "the plan has {regions} memory regions, and {taken}; give fewer and larger ones with --memory: what lies between needs no pages"
    );
    Some(Finding::new(severity, "REGION_COUNT", text))
}

/// On tdx the upper half of the guest's address space is shared (`vt_get_gfn_direct_bits`, arch/x86/kvm/vmx): one bit less.
fn private_bits(plan: &Plan) -> u32 {
    match plan.platform {
        Platform::Tdx if plan.tdx.as_ref().is_some_and(has_52_bits) => 51,
        Platform::Tdx => 47,
        Platform::SevSnp | Platform::Sim | Platform::Kvm | Platform::Unspecified => ADDRESS_BITS,
    }
}

fn has_52_bits(settings: &TdxSettings) -> bool {
    let mut leaves = settings.cpuid.iter();
    leaves.any(|leaf| leaf.function == ADDRESS_SIZES && leaf.eax >> 16 & 0xff == 52)
}

pub(super) fn end(region: &Region) -> Option<u64> {
    Gpa::bytes(region.gpa).checked_add(region.size)
}
