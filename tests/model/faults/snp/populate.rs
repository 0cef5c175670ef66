//! What stops the kernel's loop over pages, firmware aside.
//!
//! `snp_launch_update()` makes EIO of whatever stopped the first page, and says nothing of what stopped a later one: then the call succeeds with a
//! short count, and whoever asks for the rest meets the cause, if it is still there (kernel.md, sections 1 and 2.5).
//!
//! **Invariant:** of no EIO without a status is the cause guessed.
use stagepages_kernel_model::{Call, Effect, Profile};
use stagepages_proto::v1::PageType;

use super::UPDATE;
use crate::faults::row::{
    Expect, FIRMWARE_REFUSED, FIRST, FOR_EVER, KERNEL_REFUSED, MIDDLE, Row, at, done, over,
};

const POPULATE: &str = "kvm_gmem_populate(), virt/kvm/guest_memfd.c";
const POST_POPULATE: &str = "sev_gmem_post_populate(), arch/x86/kvm/svm/sev.c";
const LAUNCH_UPDATE: &str = "snp_launch_update(), arch/x86/kvm/svm/sev.c";
const RECLAIM: &str = "snp_page_reclaim(), arch/x86/kvm/svm/sev.c";

/// Over, without a cause that anybody could name.
fn unexplained() -> Expect {
    over(KERNEL_REFUSED)
        .at(UPDATE)
        .errno("EIO")
        .says("the kernel does not report the cause")
}

fn dead() -> Expect {
    over(KERNEL_REFUSED).at(UPDATE).errno("EIO").says("dead")
}

/// Firmware refuses a page and KVM cannot take it back: design.md has that as firmware's refusal, which is clean only for a page that was taken back.
fn kept() -> Expect {
    let expect = over(FIRMWARE_REFUSED).at(UPDATE).errno("EIO");
    expect
        .says("dead")
        .says("INVALID_PAGE_STATE")
        .firmware(0x1a)
}

pub(super) fn rows(profile: Profile) -> Vec<Row> {
    let mut rows = stopped_short();
    let duplicate = match profile {
        // The loop's own check; from 7.0 on the RMP's.
        Profile::V6_11 | Profile::V6_18 | Profile::V6_19 => POPULATE,
        Profile::V7_1 => POST_POPULATE,
    };
    // The user's page is copied by the platform's part of the loop, and from 7.0 on pinned before it.
    let source = match profile {
        Profile::V6_11 | Profile::V6_18 | Profile::V6_19 => POST_POPULATE,
        Profile::V7_1 => POPULATE,
    };
    for (what, source, effect) in [
        (
            "the page exists for the kernel",
            duplicate,
            Effect::Duplicate,
        ),
        ("the page's memory is poisoned", POPULATE, Effect::Poisoned),
        ("the page is not private", POPULATE, Effect::NotPrivate),
        ("the source cannot be read", source, Effect::SourceFault),
        (
            "there is no memory for the page",
            POPULATE,
            Effect::NoMemory,
        ),
        ("a signal is pending", POPULATE, Effect::Signal),
    ] {
        rows.extend([
            Row::new(format!("{what}, of one"), source)
                .fault(at(Call::SnpLaunchUpdate, FIRST, effect))
                .stage_one(unexplained().asked([Some((FIRST, 1))])),
            Row::new(format!("{what}, the first"), source)
                .fault(at(Call::SnpLaunchUpdate, FIRST, effect))
                .stage(unexplained().asked([Some((FIRST, 8))])),
            Row::new(format!("{what}, a later one"), source)
                .fault(at(Call::SnpLaunchUpdate, MIDDLE, effect).times(2))
                .stage(
                    unexplained()
                        .installed(3)
                        .asked([Some((FIRST, 8)), Some((MIDDLE, 5))]),
                ),
        ]);
    }
    rows.extend(dead_vm());
    rows.push(
        Row::new("the count cannot be written back", LAUNCH_UPDATE)
            .fault(
                stagepages_kernel_model::Fault::at(Call::SnpLaunchUpdate, Effect::CopyBackFault)
                    .after(1),
            )
            .stage(
                over(KERNEL_REFUSED)
                    .at(UPDATE)
                    .errno("EFAULT")
                    .uncounted(8)
                    .asked([Some((FIRST, 8))]),
            ),
    );
    rows
}

/// The loop ends before the last page, and nobody says why.
fn stopped_short() -> Vec<Row> {
    let stop = |times| at(Call::SnpLaunchUpdate, MIDDLE, Effect::StopShort).times(times);
    let twice = at(Call::SnpLaunchUpdate, MIDDLE, Effect::Signal);
    let rest = Some((MIDDLE, 5));
    vec![
        Row::new("the loop stops after three pages", POPULATE)
            .fault(stop(1))
            .stage(done().installed(8).asked([Some((FIRST, 8)), rest])),
        Row::new(
            "the loop stops after three pages, and twice there",
            POPULATE,
        )
        .fault(stop(3))
        .stage(
            done()
                .installed(8)
                .asked([Some((FIRST, 8)), rest, rest, rest]),
        ),
        Row::new("the loop comes no further than three pages", POPULATE)
            .fault(stop(FOR_EVER))
            .stage(
                over(KERNEL_REFUSED)
                    .installed(3)
                    .asked_again([Some((FIRST, 8)), rest]),
            ),
        Row::new("a cause that is gone when the rest is asked for", POPULATE)
            .fault(twice)
            .stage(done().installed(8).asked([Some((FIRST, 8)), rest])),
        Row::new(
            "the loop stops within zeros, which have no source",
            POPULATE,
        )
        .fault(stop(1))
        .stage_pages(
            PageType::Zero,
            8,
            done().installed(8).asked([Some((FIRST, 8)), rest]),
        ),
    ]
}

/// KVM gives the VM up: every later call on it is EIO, and nobody looks at what it asks.
fn dead_vm() -> Vec<Row> {
    let unreclaimed = Effect::Firmware {
        status: 0x1a,
        reclaim_fails: true,
    };
    vec![
        Row::new("KVM declares the VM dead at the first page", RECLAIM)
            .fault(at(Call::SnpLaunchUpdate, FIRST, Effect::Dead))
            .stage(dead().asked([Some((FIRST, 8))])),
        Row::new("KVM declares the VM dead at a later page", RECLAIM)
            .fault(at(Call::SnpLaunchUpdate, MIDDLE, Effect::Dead))
            .stage(dead().installed(3).asked([Some((FIRST, 8)), None])),
        // Alone in its extent, and in doubt all the same: the page is leaked, and the VM with it.
        Row::new("a page alone that firmware refuses and keeps", RECLAIM)
            .fault(at(Call::SnpLaunchUpdate, FIRST, unreclaimed))
            .stage_one(kept().asked([Some((FIRST, 1))])),
        Row::new("a first page that firmware refuses and keeps", RECLAIM)
            .fault(at(Call::SnpLaunchUpdate, FIRST, unreclaimed))
            .stage(kept().asked([Some((FIRST, 8))])),
        // The status went with the short count.
        Row::new("a later page that firmware refuses and keeps", RECLAIM)
            .fault(at(Call::SnpLaunchUpdate, MIDDLE, unreclaimed))
            .stage(dead().installed(3).asked([Some((FIRST, 8)), None])),
    ]
}
