//! Registers of vCPUs.

use super::*;

#[test]
fn a_register_that_a_processor_refuses_is_named_with_its_value() {
    type Change = fn(&mut VcpuRegisters);
    let table: [(Change, &str); 23] = [
        (|r| r.cr0 |= 1 << 63, "cr0 is 0x8000000080000033"),
        (|r| r.cr0 &= !1, "cr0 is 0x80000032"),
        (|r| r.cr0 |= 1 << 29, "cr0 is 0xa0000033"),
        (|r| r.cr4 |= 1 << 30, "cr4 is 0x40000660"),
        (|r| r.cr4 &= !0x20, "cr4 is 0x640"),
        (|r| r.cr4 |= 1 << 23, "cr4 is 0x800660"),
        (|r| r.efer |= 2, "efer is 0x1d02"),
        (|r| r.rflags = 8, "rflags is 0xa"),
        (|r| r.rflags = 1 << 17, "rflags is 0x20002"),
        (|r| r.pat = Some(2), "pat is 0x2"),
        (
            |r| r.cs.as_mut().unwrap().attributes = 0xa9b,
            "cs.attributes is 0xa9b",
        ),
        (
            |r| r.cs.as_mut().unwrap().attributes |= 1 << 14,
            "cs.attributes is 0xe09b",
        ),
        (
            |r| r.cs.as_mut().unwrap().limit = 0x10_0000,
            "cs.limit is 0x100000",
        ),
        (|r| r.tr = Some(Segment::default()), "tr.attributes is 0x0"),
        (|r| r.rip = 1 << 47, "rip is 0x800000000000"),
        (
            |r| {
                r.gdtr = Some(crate::v1::DescriptorTable {
                    base: 1 << 63,
                    limit: 0,
                });
            },
            "gdtr.base is 0x8000000000000000",
        ),
        (|r| r.cr3 = 64 << 20, "cr3 is 0x4000000"),
        (|r| r.cr3 = 0x1008 | 1 << 5, "cr3 is 0x1028"),
        (|r| r.efer &= !0x100, "efer is 0x1c00"),
        (
            |r| r.cs.as_mut().unwrap().attributes = 0xc093,
            "cs.attributes is 0xc093",
        ),
        (
            |r| r.ss.as_mut().unwrap().attributes = 0xc09b,
            "ss.attributes is 0xc09b",
        ),
        // Beyond what lies behind any region.
        (|r| r.cr3 = 1 << 40, "cr3 is 0x10000000000"),
        (
            |r| r.ss.as_mut().unwrap().selector = 0x1_0000,
            "above 0xffff",
        ),
    ];
    for (change, wanted) in table {
        let mut found = with_registers(change).check();
        found.retain(|it| it.severity == Severity::Error);
        let [only] = found.as_slice() else {
            panic!("{wanted}: {found:#?}");
        };
        assert_eq!(only.code, "VCPU_REGISTER");
        assert!(only.message.contains(wanted), "{wanted}: {only}");
    }
}

#[test]
fn what_kvm_changes_in_a_save_area_is_noted() {
    let plan = with_registers(|r| {
        r.efer &= !(1 << 12);
        r.cr0 |= 1 << 30;
    });
    let found = plan.check();
    let [only] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(
        (only.severity, only.code),
        (Severity::Note, "VCPU_NORMALISED")
    );
    assert!(only.message.contains("EFER.SVME") && only.message.contains("CR0.CD"));
    assert!(!only.message.contains("CR4.MCE"), "{only}");
}

#[test]
fn a_page_table_may_be_in_any_region() {
    let mut plan = with_registers(|all| all.cr3 = 0x4000_0000);
    plan.memory.push("0x40000000+4K".parse().unwrap());
    let errors = plan.check();
    assert!(
        errors.iter().all(|it| it.severity != Severity::Error),
        "{errors:?}"
    );
}
