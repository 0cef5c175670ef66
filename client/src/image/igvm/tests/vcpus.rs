//! Save areas become registers of which KVM makes the same save area, or it is told what it makes.

use igvm::{IgvmDirectiveHeader as Directive, snp_defs::SevVmsa};
use proptest::prelude::*;
use stagepages_digest::vmsa::{self, Registers};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::made::{SNP, bytes, codes, file, page, plan, planned, save_area, snp_context};
use crate::{
    image::Options,
    plan::{Plan, Severity, registers},
    v1::vcpu_state::State,
};

fn one(vmsa: SevVmsa) -> Plan {
    planned(&file(
        SNP,
        vec![page(SNP, 0x1000, &[1; 4096]), snp_context(0, vmsa)],
    ))
}

fn measured(plan: &Plan) -> Vec<u8> {
    let features = plan.sev_snp.as_ref().unwrap().vmsa_features | 1;
    vmsa::page(&registers(&plan.vcpus[0]).unwrap(), features).to_vec()
}

#[test]
fn what_kvm_makes_of_each_way_to_begin_is_taken_back_byte_by_byte() {
    let general = vmsa::General {
        rax: 1,
        rbx: 2,
        rcx: 3,
        rdx: 4,
        rbp: 5,
        rdi: 6,
        rip: 7,
        ..vmsa::General::default()
    };
    for registers in [
        Registers::reset(),
        Registers::real_mode(0xf000, &general),
        Registers::long_mode(0x1000, &general),
    ] {
        let page = vmsa::page(&registers, 1);
        let plan = one(SevVmsa::read_from_bytes(page.as_slice()).unwrap());
        assert_eq!(codes(&plan), [] as [&str; 0], "{:?}", plan.findings);
        assert!(measured(&plan) == page.as_slice());
    }
}

#[test]
fn debug_swap_becomes_a_setting() {
    let page = vmsa::page(&Registers::reset(), 0x21);
    let plan = one(SevVmsa::read_from_bytes(page.as_slice()).unwrap());
    assert_eq!(plan.sev_snp.as_ref().unwrap().vmsa_features, 0x20);
    assert_eq!(codes(&plan), [] as [&str; 0]);
    assert!(measured(&plan) == page.as_slice());
}

#[test]
fn what_kvm_does_not_take_is_told_with_both_values() {
    type Change = fn(&mut SevVmsa);
    let cases: [(Change, &str, Severity); 9] = [
        (
            |it| it.cr4 = 0x620,
            "cr4 (offset 0x148) 0x620, and KVM measures 0x660",
            Severity::Warning,
        ),
        (
            |it| it.vmpl = 2,
            "vmpl (offset 0xca) 0x2, and KVM measures 0x0",
            Severity::Error,
        ),
        (
            |it| it.virtual_tom = 1 << 46,
            "virtual_tom (offset 0x3c8) 0x400000000000, and KVM measures 0x0",
            Severity::Error,
        ),
        (
            |it| it.sev_features.set_vtom(true),
            "sev_features (offset 0x3b0) 0x3, and KVM measures 0x1",
            Severity::Error,
        ),
        (
            |it| it.xcr0 = 7,
            "xcr0 (offset 0x3e8) 0x7, and KVM measures 0x1",
            Severity::Warning,
        ),
        (
            |it| it.x87_fcw = 0x40,
            "x87_fcw (offset 0x410) 0x40, and KVM measures 0x37f",
            Severity::Warning,
        ),
        (
            |it| it.cr0 |= 1 << 30,
            "cr0 (offset 0x158) 0xc0000033, and KVM measures 0x80000033",
            Severity::Warning,
        ),
        (
            |it| it.gdtr.selector = 8,
            "gdtr.selector (offset 0x60) 0x8, and KVM measures 0x0",
            Severity::Warning,
        ),
        (
            |it| it.vmsa_padding[2447] = 1,
            "vmsa_padding (offset 0xff8) 0x100000000000000, and KVM measures 0x0",
            Severity::Warning,
        ),
    ];
    for (change, words, severity) in cases {
        let mut vmsa = save_area(0);
        change(&mut vmsa);
        let plan = one(vmsa);
        let [finding] = plan.findings.as_slice() else {
            panic!("{words}: {:?}", plan.findings);
        };
        assert_eq!((finding.code, finding.severity), ("VMSA_FIELD", severity));
        assert!(finding.message.contains(words), "{finding}");
        assert!(finding.message.contains("will be KVM's"), "{finding}");
    }
}

#[test]
fn another_address_than_kvms_is_told() {
    let mut context = snp_context(0, save_area(0));
    if let Directive::SnpVpContext { gpa, .. } = &mut context {
        *gpa = 0x2000;
    }
    let plan = planned(&file(SNP, vec![page(SNP, 0x1000, &[1; 4096]), context]));
    assert_eq!(codes(&plan), ["VMSA_GPA"]);
    assert_eq!(plan.findings[0].gpa.map(|gpa| gpa.bytes()), Some(0x2000));
}

fn three() -> Vec<u8> {
    let contexts = (0..3).map(|index| snp_context(index, save_area(index)));
    bytes(&file(
        SNP,
        [page(SNP, 0x1000, &[1; 4096])]
            .into_iter()
            .chain(contexts)
            .collect(),
    ))
}

#[test]
fn more_vcpus_than_the_image_has_begin_reset_with_the_signature_that_was_asked_for() {
    let options = |vcpus, cpu_signature| Options {
        vcpus: Some(vcpus),
        cpu_signature,
        ..Options::default()
    };
    let plain = plan(three(), &options(5, None)).unwrap();
    assert_eq!(codes(&plain), ["VCPU_WITHOUT_CONTEXT"]);
    assert!(matches!(plain.vcpus[4].state, Some(State::Reset(_))));
    let signed = plan(three(), &options(5, Some(0x800f12))).unwrap();
    let expected = Registers {
        general: vmsa::General {
            rdx: 0x800f12,
            ..Registers::reset().general
        },
        ..Registers::reset()
    };
    assert_eq!(registers(&signed.vcpus[4]), Some(expected));
    let fewer = plan(three(), &options(1, None)).unwrap();
    assert_eq!(codes(&fewer), ["VP_CONTEXT_LEFT_OUT"]);
    assert!(fewer.findings[0].message.ends_with("(and 1 more such)"));
    for vcpus in [0, 65, u32::MAX] {
        let error = plan(three(), &options(vcpus, None))
            .unwrap_err()
            .to_string();
        assert!(error.contains("give 1 to 64"), "{error}");
    }
}

#[test]
fn a_second_context_of_a_vcpu_is_an_error_and_the_first_is_taken() {
    let contexts = [snp_context(0, save_area(0)), snp_context(0, save_area(9))];
    let plan = planned(&file(
        SNP,
        [page(SNP, 0x1000, &[1; 4096])]
            .into_iter()
            .chain(contexts)
            .collect(),
    ));
    assert_eq!(codes(&plan), ["VP_CONTEXT_TWICE"]);
    assert!(measured(&plan) == save_area(0).as_bytes());
}

proptest! {
    /// Whatever is in a save area: it is what KVM measures, or it is told.
    #[test]
    fn no_difference_goes_untold(changes in prop::collection::vec((0..4096usize, 1..=255u8), 1..6)) {
        let mut page = save_area(0).as_bytes().to_vec();
        for (at, change) in changes {
            page[at] ^= change;
        }
        let plan = one(SevVmsa::read_from_bytes(&page).unwrap());
        let is_told = codes(&plan).contains(&"VMSA_FIELD");
        prop_assert_eq!(measured(&plan) != page, is_told);
    }
}
