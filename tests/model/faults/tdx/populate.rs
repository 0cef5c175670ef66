//! What stops a page of a TD for good.
//!
//! **Invariant:** only EEXIST is a page that exists; where the kernel says EIO for that too, nobody guesses.
use stagepages_kernel_model::{Call, Effect, Fault, Profile};
use stagepages_proto::v1::PageType;

use super::REGION;
use crate::faults::row::{Expect, FIRST, KERNEL_REFUSED, MIDDLE, Row, at, over};

const POPULATE: &str = "kvm_gmem_populate(), virt/kvm/guest_memfd.c";
const POST_POPULATE: &str = "tdx_gmem_post_populate(), arch/x86/kvm/vmx/tdx.c";
const MAP_PFN: &str = "kvm_tdp_mmu_map_private_pfn(), arch/x86/kvm/mmu/mmu.c";
const INIT_REGION: &str = "tdx_vcpu_init_mem_region(), arch/x86/kvm/vmx/tdx.c";
/// What the module answers here; KVM keeps it to itself, as for every command of a vCPU.
const PAGE_METADATA_INCORRECT: u64 = 0xc000_0300_0000_0000;

fn refused(errno: &'static str) -> Expect {
    over(KERNEL_REFUSED).at(REGION).errno(errno)
}

pub(super) fn rows(profile: Profile) -> Vec<Row> {
    let (duplicate, exists) = match profile {
        Profile::V6_11 | Profile::V6_18 | Profile::V6_19 => (POPULATE, "EEXIST"),
        Profile::V7_1 => (MAP_PFN, "EIO"),
    };
    // The source was copied by the platform's part of the loop, and from 7.0 on it is pinned before.
    let source = match profile {
        Profile::V6_11 | Profile::V6_18 | Profile::V6_19 => POST_POPULATE,
        Profile::V7_1 => POPULATE,
    };
    let module = |in_extend| Effect::Module {
        status: PAGE_METADATA_INCORRECT,
        in_extend,
    };
    let mut rows = Vec::new();
    for (what, source, effect, errno) in [
        (
            "the page exists for the kernel",
            duplicate,
            Effect::Duplicate,
            exists,
        ),
        (
            "the page's memory is poisoned",
            POPULATE,
            Effect::Poisoned,
            "EHWPOISON",
        ),
        (
            "the page is not private",
            POPULATE,
            Effect::NotPrivate,
            "EINVAL",
        ),
        (
            "the memslot ends before the page",
            POPULATE,
            Effect::StopShort,
            "EINVAL",
        ),
        (
            "the source cannot be read",
            source,
            Effect::SourceFault,
            "EFAULT",
        ),
        (
            "there is no memory for the page",
            POPULATE,
            Effect::NoMemory,
            "ENOMEM",
        ),
        (
            "the module refuses to add the page",
            POST_POPULATE,
            module(false),
            "EIO",
        ),
        (
            "the module refuses to measure the page",
            POST_POPULATE,
            module(true),
            "EIO",
        ),
        (
            "KVM declares the VM dead at the page",
            POST_POPULATE,
            Effect::Dead,
            "EIO",
        ),
    ] {
        let fault = |gfn| at(Call::TdxInitMemRegion, gfn, effect);
        rows.extend([
            // Alone in its extent, and in doubt all the same.
            Row::new(format!("{what}, of one"), source)
                .fault(fault(FIRST))
                .stage_one(refused(errno).asked([Some((FIRST, 1))])),
            Row::new(format!("{what}, the first"), source)
                .fault(fault(FIRST))
                .stage(refused(errno).asked([Some((FIRST, 8))])),
            Row::new(format!("{what}, a later one"), source)
                .fault(fault(MIDDLE))
                .stage(refused(errno).installed(3).asked([Some((FIRST, 8))])),
        ]);
    }
    rows.extend(dead(profile));
    rows.extend([
        Row::new("a page of zeros exists for the kernel", duplicate)
            .fault(at(Call::TdxInitMemRegion, MIDDLE, Effect::Duplicate))
            .stage_pages(
                PageType::Zero,
                8,
                refused(exists).installed(3).asked([Some((FIRST, 8))]),
            ),
        Row::new("the count cannot be written back", INIT_REGION)
            .fault(Fault::at(Call::TdxInitMemRegion, Effect::CopyBackFault).after(1))
            .stage(refused("EFAULT").uncounted(8).asked([Some((FIRST, 8))])),
    ]);
    rows
}

/// A page that the module refuses ends the VM, from 6.19 on.
fn dead(profile: Profile) -> Vec<Row> {
    let says = match profile {
        Profile::V6_11 | Profile::V6_18 => "the kernel does not report the cause",
        Profile::V6_19 | Profile::V7_1 => "dead",
    };
    let refusal = Effect::Module {
        status: PAGE_METADATA_INCORRECT,
        in_extend: false,
    };
    vec![
        Row::new(
            "what is said of a page that the module refuses",
            POST_POPULATE,
        )
        .fault(at(Call::TdxInitMemRegion, MIDDLE, refusal))
        .stage(
            refused("EIO")
                .says(says)
                .installed(3)
                .asked([Some((FIRST, 8))]),
        ),
    ]
}
