//! Registers that a plan refuses are those that a launch refuses.

use std::fs;

use stagepages_proto::v1::{
    LaunchSpec, Platform, Segment, VcpuRegisters, VcpuState, vcpu_state::State,
};
use stagepages_tests::{Bench, DaemonOptions, on_platform, page, refused, region, spec};

use super::stagectl::run;

/// 64-bit code with its page table at 0x1000.
fn sound() -> VcpuRegisters {
    let flat = |attributes| Segment {
        attributes,
        limit: u32::MAX,
        ..Segment::default()
    };
    VcpuRegisters {
        rip: 0x2000,
        rflags: 2,
        cr0: 0x8000_0033,
        cr3: 0x1000,
        cr4: 0x660,
        efer: 0xd00,
        cs: Some(flat(0xa09b)),
        ds: Some(flat(0xc093)),
        ss: Some(flat(0xc093)),
        ..VcpuRegisters::default()
    }
}

/// The same as a manifest has it.
fn manifest(it: &VcpuRegisters) -> String {
    let mut text = format!(
        "version = 1\nmemory = [\"0x0+64K\"]\n[[extent]]\ngpa = 0x1000\ntype = \"zero\"\nlength = \"4K\"\n\
         [[vcpu_registers]]\nindex = 0\nrip = \"{:#x}\"\nrflags = {}\ncr0 = \"{:#x}\"\ncr3 = \"{:#x}\"\ncr4 = \"{:#x}\"\nefer = \"{:#x}\"\n",
        it.rip, it.rflags, it.cr0, it.cr3, it.cr4, it.efer
    );
    for (name, segment) in [
        ("cs", it.cs),
        ("ds", it.ds),
        ("ss", it.ss),
        ("ldtr", it.ldtr),
    ] {
        if let Some(Segment {
            selector,
            attributes,
            limit,
            base,
        }) = segment
        {
            text += &format!(
                "{name} = {{ selector = {selector}, attributes = {attributes}, limit = {limit}, base = \"{base:#x}\" }}\n"
            );
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_and_a_launch_refuse_the_same_registers() {
    type Change = fn(&mut VcpuRegisters);
    let changes: [(&str, bool, Change); 12] = [
        ("as it is", true, |_| ()),
        ("LMA left to be told from the rest", true, |r| {
            r.efer = 0x900;
        }),
        ("a page table that is cached otherwise", true, |r| {
            r.cr3 |= 0x18;
        }),
        ("LMA without LME", false, |r| r.efer = 0xc00),
        ("a page table that is not aligned", false, |r| {
            r.cr3 = 0x1020;
        }),
        ("a page table beyond memory", false, |r| r.cr3 = 0x10_0000),
        ("paging without protection", false, |r| r.cr0 = 0x8000_0010),
        ("code that is data", false, |r| {
            r.cs.as_mut().unwrap().attributes = 0xc093;
        }),
        ("a code segment based above 4 GiB", false, |r| {
            r.cs.as_mut().unwrap().base = 1 << 32;
        }),
        ("code of another level than its stack", false, |r| {
            r.ss.as_mut().unwrap().attributes = 0xc0f3;
        }),
        ("a stack that is code", false, |r| {
            r.ss.as_mut().unwrap().attributes = 0xc09b;
        }),
        ("a local table that is none", false, |r| {
            r.ldtr = Some(Segment {
                attributes: 0x8b,
                ..Segment::default()
            });
        }),
    ];
    on_platform(
        &DaemonOptions::new(),
        Platform::Sim,
        async |bench: &Bench| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("image.toml");
            for (what, good, change) in changes {
                let mut registers = sound();
                change(&mut registers);
                fs::write(&path, manifest(&registers)).unwrap();
                let planned = run(&["plan", path.to_str().unwrap(), "--platform", "sim"]);
                assert_eq!(planned.exit, Some(i32::from(!good)), "{what}: {planned:?}");
                assert_eq!(
                    planned.stdout.contains("VCPU_REGISTER"),
                    !good,
                    "{what}: {planned:?}"
                );

                let asked = LaunchSpec {
                    vcpu_states: vec![VcpuState {
                        index: 0,
                        state: Some(State::Registers(registers)),
                    }],
                    ..spec(bench.platform, [region(page(0), 0x1_0000)])
                };
                let created = bench.api.create("", asked).await;
                if good {
                    created.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                } else {
                    refused(created, "INVALID_VCPU_STATE");
                }
            }
        },
    )
    .await;
}
