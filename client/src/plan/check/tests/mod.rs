//! Each code, found where it is and nowhere else.

mod refused;
mod registers;

use bytes::Bytes;

use super::*;
use crate::{
    addr::{Gpa, Region},
    id_block::{IdBlock, Key, SignedId, VERSION},
    plan::{
        Contents, Extent, Severity,
        test::{plan, vcpu},
    },
    v1::{
        LongModeState, PageType, Platform, Segment, SevSnpFinish, SevSnpSettings, TdxSettings,
        TdxVcpuState, VcpuRegisters, sev_snp_settings::GuestPolicy, vcpu_state::State,
    },
};

fn zeros(gpa: u64, page_type: PageType, pages: u64) -> Extent {
    Extent::zeros(Gpa::new(gpa), page_type, pages, format!("at {gpa:x}")).unwrap()
}

fn bytes(gpa: u64, page_type: PageType, pages: usize) -> Extent {
    let contents = Contents::Bytes(Bytes::from(vec![7; pages * 4096]));
    Extent::new(Gpa::new(gpa), page_type, contents, "bytes").unwrap()
}

fn sound(platform: Platform) -> Plan {
    plan(platform, vec![bytes(0x1000, PageType::Normal, 2)])
}

fn long_mode() -> VcpuRegisters {
    let flat = |attributes| Segment {
        attributes,
        limit: u32::MAX,
        ..Segment::default()
    };
    VcpuRegisters {
        cr0: 0x8000_0033,
        cr3: 0x1000,
        cr4: 0x660,
        efer: 0x1d00,
        cs: Some(flat(0xa09b)),
        ds: Some(flat(0xc093)),
        ss: Some(flat(0xc093)),
        ..VcpuRegisters::default()
    }
}

fn with_registers(change: impl Fn(&mut VcpuRegisters)) -> Plan {
    let mut all = long_mode();
    change(&mut all);
    let mut plan = sound(Platform::SevSnp);
    plan.vcpus = vec![vcpu(0, State::Registers(all))];
    plan
}

fn with_policy(number: u64) -> Plan {
    let mut plan = sound(Platform::SevSnp);
    plan.sev_snp = Some(SevSnpSettings {
        guest_policy: Some(GuestPolicy::PolicyNumber(number)),
        ..SevSnpSettings::default()
    });
    plan
}

fn with_memory(regions: &[(u64, u64)]) -> Plan {
    let mut plan = sound(Platform::SevSnp);
    plan.memory
        .extend(regions.iter().map(|&(gpa, size)| Region {
            gpa: Gpa::new(gpa),
            size,
        }));
    plan
}

fn with_block(change: impl Fn(&mut IdBlock)) -> Plan {
    let mut plan = sound(Platform::SevSnp);
    let mut block = IdBlock {
        launch_digest: plan.digest().unwrap().unwrap(),
        family_id: [0; 16],
        image_id: [0; 16],
        version: VERSION,
        guest_svn: 0,
        policy: 0x3_0000,
    };
    change(&mut block);
    let key = include_str!("../../../id_block/testdata/id-key.pem");
    let signed = SignedId::sign(block, &Key::from_pem(key).unwrap(), None);
    plan.finish = Some(SevSnpFinish {
        id_block: signed.block.to_bytes().into(),
        id_auth: signed.auth.to_bytes().into(),
        ..SevSnpFinish::default()
    });
    plan
}

fn codes(plan: &Plan) -> Vec<(Severity, &'static str)> {
    let found = plan.check();
    found.iter().map(|it| (it.severity, it.code)).collect()
}

#[test]
fn a_sound_plan_has_no_finding() {
    for platform in [
        Platform::SevSnp,
        Platform::Sim,
        Platform::Kvm,
        Platform::Tdx,
    ] {
        assert_eq!(sound(platform).check(), [], "{platform:?}");
    }
    assert_eq!(with_registers(|_| ()).check(), []);
    assert_eq!(with_block(|_| ()).check(), []);
    let mut long = sound(Platform::Kvm);
    let state = LongModeState {
        cr3: 0x2000,
        ..LongModeState::default()
    };
    long.vcpus = vec![vcpu(0, State::LongMode(state))];
    assert_eq!(long.check(), []);
}

#[test]
fn what_is_seldom_meant_is_told_and_not_refused() {
    let mut td = sound(Platform::Tdx);
    td.tdx = Some(TdxSettings {
        attributes: Some(1),
        ..TdxSettings::default()
    });
    let nothing = plan(Platform::Kvm, vec![]);
    let two = |page_type| plan(Platform::SevSnp, vec![zeros(0, page_type, 2)]);
    for (plan, severity, code) in [
        (with_policy(0xb_0000), Severity::Warning, "POLICY_DEBUG"),
        (with_policy(0x7_0000), Severity::Note, "POLICY_MIGRATION"),
        (with_policy(0x2_0000), Severity::Note, "POLICY_SMT"),
        (with_policy(0x403_0000), Severity::Warning, "POLICY_UNKNOWN"),
        (td, Severity::Warning, "TD_DEBUG"),
        (nothing, Severity::Warning, "NO_PAGES"),
        (two(PageType::Cpuid), Severity::Warning, "CPUID_PAGES"),
        (two(PageType::Secrets), Severity::Warning, "SECRETS_PAGES"),
    ] {
        assert_eq!(codes(&plan), [(severity, code)]);
    }
}

#[test]
fn zeros_and_seconds_are_counted() {
    let mut contents = vec![0; 3 * 4096];
    contents[4096] = 1;
    let contents = Contents::Bytes(contents.into());
    let some = Extent::new(Gpa::new(0), PageType::Normal, contents, "some").unwrap();
    let run = zeros(0x10_0000, PageType::Normal, 1998);
    let found = plan(Platform::SevSnp, vec![some.clone(), run.clone()]).check();
    let told: Vec<_> = found.iter().map(|it| (it.code, it.gpa)).collect();
    assert_eq!(told, [("SLOW", None), ("NORMAL_ZEROS", Some(Gpa::new(0)))]);
    let [slow, zeros] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert!(
        slow.message
            .starts_with("2001 pages are 2001 firmware commands, about 2.0 s")
    );
    assert!(slow.message.contains("2000 of them") && zeros.message.starts_with("2000 NORMAL"));
    // Neither is said where firmware measures no types.
    for platform in [Platform::Kvm, Platform::Tdx] {
        assert_eq!(codes(&plan(platform, vec![some.clone(), run.clone()])), []);
    }
}

#[test]
fn a_file_that_ends_early_is_an_error() {
    let file = std::sync::Arc::new(tempfile::tempfile().unwrap());
    let slice = crate::plan::FileSlice::new(file, 0, 4096);
    let extent = Extent::new(
        Gpa::new(0),
        PageType::Unmeasured,
        Contents::File(slice),
        "a",
    )
    .unwrap();
    let plan = plan(Platform::Kvm, vec![extent]);
    assert_eq!(codes(&plan), [(Severity::Error, "UNREADABLE")]);
}

#[test]
fn more_regions_than_a_daemon_takes_are_told() {
    let regions = |count: u64| {
        let beside: Vec<_> = (1..count).map(|nth| (nth << 30, 4096)).collect();
        codes(&with_memory(&beside))
    };
    assert_eq!(regions(64), []);
    assert_eq!(regions(65), [(Severity::Warning, "REGION_COUNT")]);
    assert_eq!(regions(1024), [(Severity::Warning, "REGION_COUNT")]);
    assert_eq!(regions(1025), [(Severity::Error, "REGION_COUNT")]);
}

#[test]
fn of_a_plan_with_errors_no_contents_are_read_and_nothing_is_hashed() {
    let file = std::sync::Arc::new(tempfile::tempfile().unwrap());
    let slice = crate::plan::FileSlice::new(file, 0, 4096);
    let unreadable = Extent::new(
        Gpa::new(0),
        PageType::Normal,
        Contents::File(slice),
        "absent",
    )
    .unwrap();
    let mut outside = with_block(|block| block.launch_digest[0] ^= 1);
    outside.expected_digest = Some([1; 48]);
    assert!(outside.judge().is_measured);
    let told = |plan: &Plan| plan.check().iter().map(|it| it.code).collect::<Vec<_>>();
    assert_eq!(told(&outside), ["DIGEST_MISMATCH", "ID_BLOCK_DIGEST"]);
    outside.extents.push(unreadable);
    assert_eq!(told(&outside), ["UNREADABLE"]);
    assert!(!outside.judge().is_measured);
    outside.memory.clear();
    assert_eq!(
        told(&outside),
        ["NO_MEMORY", "OUTSIDE_MEMORY", "OUTSIDE_MEMORY"]
    );
    let mut loaded = with_block(|block| block.launch_digest[0] ^= 1);
    loaded.findings = vec![Finding::new(Severity::Error, "LOADER", "a")];
    assert_eq!(told(&loaded), ["LOADER"]);
}

#[test]
fn the_digest_of_another_launch_is_told_with_this_ones() {
    let plan = with_block(|block| block.launch_digest = [0xab; 48]);
    let digest = plan.digest().unwrap().unwrap();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let found = plan.check();
    let [only] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert!(only.message.contains(&hex) && only.message.contains(&"ab".repeat(48)));
}

#[test]
fn overlaps_name_both_and_reach_over_what_lies_between() {
    let wide = zeros(0, PageType::Zero, 16);
    let inside = zeros(0x1000, PageType::Zero, 1);
    let last = zeros(0xf000, PageType::Zero, 1);
    let found = plan(Platform::Kvm, vec![last, inside, wide]).check();
    let told: Vec<_> = found.iter().map(|it| (it.code, it.gpa)).collect();
    let at = |gpa| ("OVERLAP", Some(Gpa::new(gpa)));
    assert_eq!(told, [at(0x1000), at(0xf000)]);
    assert!(found.iter().all(|it| it.message.contains("`at 0`")));
    assert!(found[1].message.contains("`at f000`"));
}

#[test]
fn a_hundred_thousand_wrong_extents_are_a_few_findings() {
    let many = (0..100_000).map(|_| zeros(0x1000, PageType::Zero, 1));
    let found = plan(Platform::Kvm, many.collect()).check();
    assert_eq!(found.len(), MOST_ALIKE + 1);
    let last = found.last().unwrap();
    assert!(last.message.starts_with("99983 more"), "{last}");
}

#[test]
fn the_worst_come_first_and_the_loaders_are_among_them() {
    let mut plan = plan(Platform::Kvm, vec![]);
    plan.findings = vec![
        Finding::new(Severity::Note, "A", "a"),
        Finding::new(Severity::Error, "B", "b"),
    ];
    let told = codes(&plan).into_iter().map(|(_, code)| code);
    assert_eq!(told.collect::<Vec<_>>(), ["B", "NO_PAGES", "A"]);
}
