//! How long installing a plan takes, by assumptions that are told with every number.
//!
//! **Invariant:** an estimate is arithmetic on counts of pages; nothing is timed here.

use std::time::Duration;

use super::{Extent, Plan};
use crate::v1::{PageType, Platform};

/// An estimate, and what it assumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// On which platform.
    pub platform: Platform,
    /// For all pages, one launch at a time.
    pub time: Duration,
    /// What a page costs, and why; for people.
    pub assumption: &'static str,
}

/// SNP: each page is one firmware command, and the secure processor of a machine takes one at a time.
const SNP_PAGE: Duration = Duration::from_millis(1);
/// TDX: TDH.MEM.PAGE.ADD, and with contents 16 TDH.MR.EXTEND: SHA-384 of 6 KiB on one CPU.
const TDX_MEASURED: Duration = Duration::from_micros(25);
const TDX_ADDED: Duration = Duration::from_micros(5);
/// Copy and BLAKE3 at 1 GB/s.
const PLAIN_PAGE: Duration = Duration::from_micros(4);

impl Plan {
    /// What installing these pages takes on each platform that can take the plan, its own first.
    #[must_use]
    pub fn times(&self) -> Vec<Estimate> {
        let others: &[Platform] = match self.platform {
            Platform::SevSnp => &[Platform::SevSnp, Platform::Sim],
            Platform::Sim => &[Platform::Sim, Platform::SevSnp],
            Platform::Tdx => &[Platform::Tdx],
            Platform::Kvm => &[Platform::Kvm],
            Platform::Unspecified => &[],
        };
        others.iter().filter_map(|it| self.time_on(*it)).collect()
    }

    /// The same for one platform; `None` for none.
    #[must_use]
    pub fn time_on(&self, platform: Platform) -> Option<Estimate> {
        let pages = |wanted: fn(PageType) -> bool| -> u64 {
            let those = self.extents.iter().filter(|it| wanted(it.page_type()));
            those.map(Extent::pages).fold(0, u64::saturating_add)
        };
        let (time, assumption) = match platform {
            Platform::SevSnp => (
                times(SNP_PAGE, pages(|_| true)),
                "1 ms a page of any type: one firmware command each, one at a time for the whole machine",
            ),
            Platform::Tdx => (
                times(TDX_MEASURED, pages(extended))
                    .saturating_add(times(TDX_ADDED, pages(|it| !extended(it)))),
                "25 us a page with contents (one PAGE.ADD, 16 MR.EXTEND), 5 us an UNMEASURED one (PAGE.ADD), on one CPU",
            ),
            Platform::Kvm => (
                times(PLAIN_PAGE, pages(|_| true)),
                "4 us a page: copied and hashed at 1 GB/s; nothing is measured",
            ),
            Platform::Sim => (
                times(PLAIN_PAGE, pages(|_| true)),
                "4 us a page: copied and hashed at 1 GB/s; simulated firmware takes no time unless a launch asks for it",
            ),
            Platform::Unspecified => return None,
        };
        Some(Estimate {
            platform,
            time,
            assumption,
        })
    }
}

/// Whether TDX measures the contents.
fn extended(page_type: PageType) -> bool {
    matches!(page_type, PageType::Normal | PageType::Zero)
}

fn times(each: Duration, count: u64) -> Duration {
    let nanos = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(nanos.saturating_mul(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{addr::Gpa, plan::test::plan};

    fn of(platform: Platform, pages: u64, page_type: PageType) -> Duration {
        let extent = Extent::zeros(Gpa::new(0), page_type, pages, "a").unwrap();
        plan(platform, vec![extent]).times()[0].time
    }

    #[test]
    fn a_page_has_its_price_by_platform_and_type() {
        for (platform, page_type, micros) in [
            (Platform::SevSnp, PageType::Zero, 3000),
            (Platform::Tdx, PageType::Normal, 75),
            (Platform::Tdx, PageType::Unmeasured, 15),
            (Platform::Kvm, PageType::Normal, 12),
            (Platform::Sim, PageType::Secrets, 12),
        ] {
            assert_eq!(
                of(platform, 3, page_type),
                Duration::from_micros(micros),
                "{platform:?} {page_type:?}"
            );
        }
    }

    #[test]
    fn a_plan_as_large_as_an_address_space_has_a_time_too() {
        let time = of(Platform::SevSnp, (1 << 52) - 1, PageType::Zero);
        assert!(time > Duration::from_secs(1 << 30));
    }
}
