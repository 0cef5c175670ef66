//! Page types: what a platform has, and what goes with each.
//!
//! **Invariant:** agrees with the table of page types in launch.proto.

use super::{Found, extents::name};
use crate::{
    plan::{
        Contents, Extent, Finding, Plan,
        Severity::{Error, Warning},
    },
    v1::{PageType, Platform},
    words,
};

pub(super) fn check(plan: &Plan, found: &mut Found) {
    for extent in &plan.extents {
        if !has(plan.platform, extent.page_type()) {
            let text = format!(
                "{} is {}, which {} does not have; use a type of {}",
                name(extent),
                words::page_type(extent.page_type().into()),
                words::platform(plan.platform.into()),
                taken(plan.platform),
            );
            found.add(Finding::new(Error, "PAGE_TYPE", text).at(extent.gpa()));
        }
        let made = matches!(extent.page_type(), PageType::Zero | PageType::Secrets);
        if made && !matches!(extent.contents(), Contents::Zeros) {
            let text = format!(
                "{} has contents, and {} pages take none: the platform makes them; leave the contents out, or make it NORMAL",
                name(extent),
                words::page_type(extent.page_type().into()),
            );
            found.add(Finding::new(Error, "CONTENTS", text).at(extent.gpa()));
        }
    }
    one_page(
        plan,
        found,
        PageType::Cpuid,
        "CPUID_PAGES",
        "a table of up to 64 leaves in one page",
    );
    one_page(
        plan,
        found,
        PageType::Secrets,
        "SECRETS_PAGES",
        "one page, whose keys firmware makes anew for each",
    );
}

fn one_page(plan: &Plan, found: &mut Found, page_type: PageType, code: &'static str, what: &str) {
    let of_type = || plan.extents.iter().filter(|it| it.page_type() == page_type);
    let pages: u64 = of_type().map(Extent::pages).sum();
    if pages > 1 {
        let word = words::page_type(page_type.into());
        let text = format!(
            "the plan has {pages} {word} pages, and a guest looks for {what}; is the extent too long?"
        );
        let first = of_type().next();
        let finding = Finding::new(Warning, code, text);
        found.add(first.map_or(finding.clone(), |extent| finding.at(extent.gpa())));
    }
}

fn has(platform: Platform, page_type: PageType) -> bool {
    match page_type {
        PageType::Normal | PageType::Zero | PageType::Unmeasured => true,
        PageType::Secrets | PageType::Cpuid => {
            matches!(platform, Platform::SevSnp | Platform::Sim)
        }
        PageType::Unspecified => false,
    }
}

fn taken(platform: Platform) -> &'static str {
    match platform {
        Platform::SevSnp | Platform::Sim => "NORMAL, ZERO, UNMEASURED, SECRETS, CPUID",
        Platform::Tdx | Platform::Kvm | Platform::Unspecified => "NORMAL, ZERO, UNMEASURED",
    }
}
