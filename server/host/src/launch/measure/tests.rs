use proptest::prelude::*;
use stagepages_kvm::Gfn;

use super::*;

impl Measure {
    /// Has the thread end as it does when it is given what cannot be.
    pub(in crate::launch) fn kill(&mut self) {
        let Work::Thread(thread) = &mut self.work else {
            panic!("no thread");
        };
        let lie = range(0, SLOT_PAGES as u64 + 1);
        thread
            .measure(lie, PageType::Normal, Some(&[[0; PAGE_BYTES]]))
            .unwrap();
    }
}

fn range(first: u64, pages: u64) -> GfnRange {
    GfnRange::new(Gfn::new(first).unwrap(), pages).unwrap()
}

/// What the digests are after each page of these extents, computed at once.
fn prefixes(mut pages: Pages, extents: &[(u64, u64, PageType, u8)], areas: &[Value]) -> Vec<Value> {
    let mut all = vec![pages.with_save_areas(areas)];
    for (first, count, page_type, byte) in extents {
        for gfn in range(*first, *count).iter() {
            let contents = [*byte; PAGE_BYTES];
            pages.extend(gfn.gpa(), *page_type, Some(&contents));
            all.push(pages.with_save_areas(areas));
        }
    }
    all
}

fn pages_of(kind: PlatformKind) -> Pages {
    match kind {
        PlatformKind::Tdx => Pages::Tdx(stagepages_digest::tdx::Mrtd::new()),
        PlatformKind::Sim | PlatformKind::SevSnp | PlatformKind::Kvm => {
            Pages::Snp(snp::LaunchDigest::new())
        }
    }
}

fn enter(measure: &mut Measure, extent: (u64, u64, PageType, u8)) -> Result<(), Died> {
    let (first, count, page_type, byte) = extent;
    let contents = vec![[byte; PAGE_BYTES]; usize::try_from(count).unwrap()];
    let known = matches!(page_type, PageType::Normal | PageType::Cpuid);
    measure.enter(
        range(first, count),
        page_type,
        known.then_some(&contents[..]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_digest_is_of_the_pages_that_it_says_at_every_moment_and_of_all_when_settled(
        extents in prop::collection::vec(
            (0_u64..1 << 20, 1_u64..150, prop::sample::select(PageType::ALL.to_vec()), 0_u8..3),
            0..6,
        ),
        kind in prop::sample::select(vec![PlatformKind::Sim, PlatformKind::SevSnp, PlatformKind::Tdx]),
        vcpus in 1_u32..4,
    ) {
        // Of TDX's types: the three that there are.
        let extents: Vec<_> = extents.into_iter().filter(|(.., page_type, _)| kind.takes(*page_type)).collect();
        let mut measure = Measure::new(kind, vcpus, 0x21).unwrap();
        let want = prefixes(pages_of(kind), &extents, &measure.save_areas.clone());
        prop_assert_eq!(measure.expected(), Expected { digest: want[0], pages: 0 });
        prop_assert!(matches!(measure.work, Work::Unneeded), "an idle launch has no thread");
        measure.begin().unwrap();
        for extent in &extents {
            enter(&mut measure, *extent).unwrap();
            let now = measure.expected();
            prop_assert_eq!(now.digest, want[usize::try_from(now.pages).unwrap()]);
        }
        measure.settle().unwrap();
        let all = Expected { digest: *want.last().unwrap(), pages: want.len() as u64 - 1 };
        prop_assert_eq!(measure.expected(), all);
        measure.close();
        prop_assert_eq!(measure.expected(), all, "the digest outlives its thread");
    }
}

#[test]
fn a_vcpu_counts_as_it_would_begin_now() {
    let mut measure = Measure::new(PlatformKind::SevSnp, 2, 1).unwrap();
    let before = measure.expected().digest;
    measure.set_vcpu(
        1,
        &VcpuState::Registers(Box::new(vmsa::Registers::cleared())),
    );
    let mut want = snp::LaunchDigest::new();
    want.extend_vmsa(&vmsa::page(&vmsa::Registers::reset(), 1));
    want.extend_vmsa(&vmsa::page(&vmsa::Registers::cleared(), 1));
    assert_eq!(measure.expected().digest, want.value());
    measure.set_vcpu(1, &VcpuState::Reset);
    assert_eq!(measure.expected().digest, before);
}

#[test]
fn features_are_in_every_save_area_and_vcpus_are_not_in_mrtd() {
    let digest = |kind, vcpus, features| {
        let measure = Measure::new(kind, vcpus, features).unwrap();
        measure.expected().digest
    };
    let snp = PlatformKind::SevSnp;
    assert_ne!(digest(snp, 1, 1), digest(snp, 1, 0x21));
    assert_ne!(digest(snp, 1, 1), digest(snp, 2, 1));
    let tdx = PlatformKind::Tdx;
    assert_eq!(digest(tdx, 1, 1), digest(tdx, 8, 0x21));
    assert!(Measure::new(PlatformKind::Kvm, 1, 1).is_none());
}

#[test]
fn a_thread_that_died_is_noticed_and_its_last_word_stays_true() {
    let mut measure = Measure::new(PlatformKind::Sim, 1, 1).unwrap();
    measure.begin().unwrap();
    let extents = [(0, 100, PageType::Normal, 7)];
    enter(&mut measure, extents[0]).unwrap();
    measure.settle().unwrap();
    measure.kill();
    assert_eq!(measure.settle(), Err(Died));
    assert_eq!(measure.settle(), Err(Died), "for ever");
    let late = (200..210).find_map(|gfn| enter(&mut measure, (gfn, 1, PageType::Normal, 1)).err());
    assert_eq!(late, Some(Died));
    let want = prefixes(pages_of(PlatformKind::Sim), &extents, &measure.save_areas);
    let told = Expected {
        digest: *want.last().unwrap(),
        pages: 100,
    };
    assert_eq!(measure.expected(), told);
}
