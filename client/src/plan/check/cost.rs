//! What a plan costs where every page is a firmware command, and zeros that are sent and measured as contents.
//!
//! **Invariant:** reads the plan's bytes once, and keeps none.

use super::{Found, extents::name};
use crate::{
    addr::Gpa,
    plan::{
        Contents, Extent, Finding, Plan,
        Severity::{Error, Note, Warning},
    },
    v1::{PageType, Platform},
};

/// From here on a launch takes long enough for somebody to wait for it.
const SLOW_SECONDS: u64 = 2;
static ZERO_PAGE: [u8; 4096] = [0; 4096];

/// NORMAL pages that are zeros.
#[derive(Debug, Default)]
struct Zeros {
    pages: u64,
    first: Option<Gpa>,
}

pub(super) fn check(plan: &Plan, found: &mut Found) {
    let measures_types = matches!(plan.platform, Platform::SevSnp | Platform::Sim);
    let mut zeros = Zeros::default();
    for extent in &plan.extents {
        let in_a_file = matches!(extent.contents(), Contents::File(_));
        let counted = extent.page_type() == PageType::Normal && measures_types;
        if !(in_a_file || counted) {
            continue;
        }
        if let Err(error) = count(extent, counted, &mut zeros) {
            let text = format!(
                "the contents of {} cannot be read: {error}; give a file that is as long as the image says",
                name(extent)
            );
            found.add(Finding::new(Error, "UNREADABLE", text).at(extent.gpa()));
        }
    }
    if let Some(first) = zeros.first {
        let text = format!(
            "{} NORMAL pages are zeros: each is hashed and measured with contents. As ZERO they would be measured by address alone, which is another digest; an image that its owner can change should name them so",
            zeros.pages
        );
        found.add(Finding::new(Note, "NORMAL_ZEROS", text).at(first));
    }
    if measures_types {
        slow(plan, zeros.pages, found);
    }
}

fn count(extent: &Extent, counted: bool, zeros: &mut Zeros) -> std::io::Result<()> {
    // Not page by page: such a run costs nothing to claim.
    if matches!(extent.contents(), Contents::Zeros) {
        zeros.pages = zeros.pages.saturating_add(extent.pages());
        zeros.first.get_or_insert(extent.gpa());
        return Ok(());
    }
    extent.each_page(|gpa, page| {
        if counted && page.is_some_and(|page| *page == ZERO_PAGE) {
            zeros.pages += 1;
            zeros.first.get_or_insert(gpa);
        }
    })
}

fn slow(plan: &Plan, zeros: u64, found: &mut Found) {
    let Some(estimate) = plan.time_on(Platform::SevSnp) else {
        return;
    };
    let seconds = estimate.time.as_secs_f64();
    if estimate.time.as_secs() < SLOW_SECONDS {
        return;
    }
    let text = format!(
        "{} pages are {} firmware commands, about {seconds:.1} s on sev-snp, one at a time for the whole machine, so that other launches get on more slowly meanwhile; {zeros} of them are NORMAL pages of zeros. \
         Leave pages out that the guest can accept itself; make zeros ZERO; have firmware measure a kernel's hashes instead of the kernel (--kernel with an OVMF that has a hash page); \
         or load what is large UNMEASURED, with a measured loader that checks its hash",
        plan.pages(),
        plan.pages(),
    );
    found.add(Finding::new(Warning, "SLOW", text));
}
