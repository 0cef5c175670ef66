//! What validation lets through, the kernel takes.
//!
//! A machine without KVM is told so in one visible line per test; what is present and fails is a failure.

use std::{cell::Cell, io::Write as _};

use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use stagepages_digest::vmsa::Registers as Reset;
use stagepages_kvm::{CpuidEntry, CpuidLeaf, Gfn, GfnRange};

use super::*;
use crate::{
    platform::vcpus::set,
    protocol::{self, LongMode, RealMode, Registers, Segment, Table, VcpuStart},
    vcpu::{self, Rules, VcpuState},
};

/// The top page table of every state that has one.
const TABLE: u64 = 0x2000;

fn kvm(test: &str) -> Option<Kvm> {
    match Kvm::open() {
        Ok(kvm) => Some(kvm),
        Err(error) => {
            // Not a print macro: the test harness would swallow the line.
            writeln!(
                io::stderr().lock(),
                "{test}: not run, missing here: {error}"
            )
            .unwrap();
            None
        }
    }
}

fn memory() -> Memory<()> {
    Memory::plan(&[GfnRange::new(Gfn::new(0).unwrap(), 16).unwrap()]).unwrap()
}

/// A number with few bits, with many, or at an edge.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        select(vec![
            0,
            1,
            0xffff,
            0x10000,
            u32::MAX.into(),
            1 << 32,
            1 << 47,
            u64::MAX
        ]),
        (0..64_u32).prop_map(|bit| 1 << bit),
        any::<u64>(),
    ]
}

fn segment() -> impl Strategy<Value = Option<Segment>> {
    let attributes = prop_oneof![
        select(vec![
            0, 0x93, 0xc093, 0x9b, 0xc09b, 0xa09b, 0x8b, 0x83, 0x82, 0xf3, 0xfb
        ]),
        0..0x1_0000_u32,
    ];
    let limit = select(vec![0xffff, u32::MAX, 0xfff, 0x67, 0]);
    (0..0x1_0000_u32, attributes, limit, number()).prop_map(
        |(selector, attributes, limit, base)| {
            Some(Segment {
                selector,
                attributes,
                limit,
                base,
            })
        },
    )
}

/// One register of a good set becomes another. Printed is the set that came of it.
struct Change(Box<dyn Fn(&mut Registers)>);

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

impl Change {
    fn new(change: impl Fn(&mut Registers) + 'static) -> Self {
        Self(Box::new(change))
    }
}

fn change() -> impl Strategy<Value = Change> {
    type Number = fn(&mut Registers) -> &mut u64;
    type Part = fn(&mut Registers) -> &mut Option<Segment>;
    let numbers: Vec<Number> = vec![|r| &mut r.rip, |r| &mut r.rsp, |r| &mut r.cr2, |r| {
        &mut r.cr3
    }];
    let masks: Vec<Number> = vec![|r| &mut r.rflags, |r| &mut r.cr0, |r| &mut r.cr4, |r| {
        &mut r.efer
    }];
    let parts: Vec<Part> = vec![
        |r| &mut r.cs,
        |r| &mut r.ds,
        |r| &mut r.es,
        |r| &mut r.fs,
        |r| &mut r.gs,
        |r| &mut r.ss,
        |r| &mut r.tr,
        |r| &mut r.ldtr,
    ];
    prop_oneof![
        (select(numbers), number())
            .prop_map(|(field, value)| Change::new(move |r| *field(r) = value)),
        (select(masks), 0..34_u32)
            .prop_map(|(field, bit)| Change::new(move |r| *field(r) ^= 1 << bit)),
        (select(parts), segment())
            .prop_map(|(field, value)| Change::new(move |r| *field(r) = value)),
        number().prop_map(|pat| Change::new(move |r| r.pat = Some(pat))),
        (number(), 0..0x1_0001_u32).prop_map(|(base, limit)| {
            Change::new(move |r| r.gdtr = Some(Table { base, limit }))
        }),
    ]
}

/// Sets that are good, in real, protected and 64-bit mode.
fn good() -> Vec<Registers> {
    let flat = |attributes| {
        Some(Segment {
            selector: 8,
            attributes,
            limit: u32::MAX,
            base: 0,
        })
    };
    let protected = Registers {
        cr0: 0x11,
        cs: flat(0xc09b),
        ss: flat(0xc093),
        ..Registers::default()
    };
    let long = Registers {
        cr0: 0x8000_0011,
        cr3: TABLE,
        cr4: 0x20,
        efer: 0x500,
        cs: flat(0xa09b),
        ..protected.clone()
    };
    let paged = Registers {
        cr0: 0x8000_0011,
        cr3: TABLE,
        ..protected.clone()
    };
    vec![Registers::default(), protected, paged, long]
}

fn start() -> impl Strategy<Value = VcpuStart> {
    let real = (any::<u16>(), any::<u16>(), any::<u16>()).prop_map(|(cs, ip, sp)| {
        VcpuStart::RealMode(RealMode {
            cs: cs.into(),
            ip: ip.into(),
            sp: sp.into(),
            general: None,
        })
    });
    let long = (number(), number(), select(vec![TABLE, 0, 0x10000])).prop_map(|(rip, rsp, cr3)| {
        VcpuStart::LongMode(LongMode {
            rip,
            rsp,
            cr3,
            general: None,
        })
    });
    let registers = (select(good()), prop::collection::vec(change(), 0..4)).prop_map(
        |(mut registers, changes)| {
            for Change(change) in changes {
                change(&mut registers);
            }
            VcpuStart::Registers(Box::new(registers))
        },
    );
    prop_oneof![1 => real, 1 => long, 8 => registers]
}

#[test]
fn the_kernel_takes_every_state_that_passes() {
    let Some(kvm) = kvm("the_kernel_takes_every_state_that_passes") else {
        return;
    };
    let vm = kvm.create_vm(VmType::Default).unwrap();
    let cpuid = kvm.supported_cpuid().unwrap();
    let vcpu = vm.create_vcpu(0).unwrap();
    vcpu.set_cpuid(&cpuid.for_vcpu(0)).unwrap();
    let memory = memory();
    let rules = Rules {
        cpu: vcpu::model(&cpuid),
        memory: &memory,
    };
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(3000));
    let result = runner.run(&start(), |start| {
        let start = Some(start);
        match VcpuState::new(&protocol::Vcpu { index: 0, start }, &rules) {
            Ok(state) => {
                set(&vcpu, &state.registers().unwrap_or_else(Reset::reset))
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                taken.set(taken.get() + 1);
            }
            Err(_) => refused.set(refused.get() + 1),
        }
        Ok(())
    });
    result.unwrap();
    let (taken, refused) = (taken.get(), refused.get());
    assert!(
        taken > 300 && refused > 300,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn a_vcpu_is_made_for_each_state_and_a_reset_one_waits_unless_it_is_the_first() {
    let test = "a_vcpu_is_made_for_each_state_and_a_reset_one_waits_unless_it_is_the_first";
    let Some(kvm) = kvm(test) else {
        return;
    };
    let vm = kvm.create_vm(VmType::Default).unwrap();
    let memory = memory();
    let cpuid = kvm.supported_cpuid().unwrap();
    let rules = Rules {
        cpu: vcpu::model(&cpuid),
        memory: &memory,
    };
    let start = Some(VcpuStart::RealMode(RealMode {
        cs: 0x100,
        ip: 7,
        ..RealMode::default()
    }));
    let real = VcpuState::new(&protocol::Vcpu { index: 0, start }, &rules).unwrap();
    let states = [VcpuState::Reset, real, VcpuState::Reset];
    let mut vcpus = Vcpus::default();
    vcpus
        .prepare(&vm, &cpuid, &states, VcpuState::registers)
        .unwrap();
    let made = vcpus.into_prepared();
    let runs: Vec<_> = made.iter().map(|made| made.runs).collect();
    assert_eq!(runs, [true, true, false]);
    let vcpu = &made[1].vcpu;
    assert_eq!(vcpu.system_registers().unwrap().cs.base, 0x1000);
    assert_eq!(vcpu.general_registers().unwrap().rip, 7);
    assert_eq!(
        made[0].vcpu.general_registers().unwrap().rip,
        0xfff0,
        "the reset vector"
    );
}

#[test]
fn vcpus_are_made_once_however_often_it_takes_to_set_them_up() {
    let Some(kvm) = kvm("vcpus_are_made_once_however_often_it_takes_to_set_them_up") else {
        return;
    };
    let vm = kvm.create_vm(VmType::Default).unwrap();
    let good = kvm.supported_cpuid().unwrap();
    // More entries than KVM takes, so that a vCPU is made and cannot be set up.
    let entry = |function| CpuidEntry {
        function,
        index: None,
        leaf: CpuidLeaf::default(),
    };
    let bad: CpuidTable = (0..300).map(entry).collect();
    let states = [VcpuState::Reset, VcpuState::Reset, VcpuState::Reset];
    let mut vcpus = Vcpus::default();
    let refused = |vcpus: &mut Vcpus| {
        vcpus
            .prepare(&vm, &bad, &states, VcpuState::registers)
            .unwrap_err()
    };
    for _ in 0..2 {
        // A second vCPU of one index would be EEXIST of another call.
        assert_eq!(refused(&mut vcpus).op(), "KVM_SET_CPUID2");
    }
    vcpus
        .prepare(&vm, &good, &states[..1], VcpuState::registers)
        .unwrap();
    assert_eq!(refused(&mut vcpus).op(), "KVM_SET_CPUID2");
    vcpus
        .prepare(&vm, &good, &states, VcpuState::registers)
        .unwrap();
    vcpus
        .prepare(&vm, &good, &states, VcpuState::registers)
        .unwrap();
    assert_eq!(vcpus.into_prepared().len(), 3);
}
