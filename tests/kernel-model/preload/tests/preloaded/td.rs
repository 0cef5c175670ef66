//! The same for a TD.

use std::io;
use std::os::unix::process::ExitStatusExt;

use stagepages_kernel_model::{Call, Effect, Fault, Profile, Script, What};

use crate::program::{Ended, Program, page};

/// The kernels that have TDX.
const KERNELS: [Profile; 3] = [Profile::V6_18, Profile::V6_19, Profile::V7_1];

#[test]
fn a_td_goes_through_under_every_kernel_that_has_them() -> io::Result<()> {
    for profile in KERNELS {
        let program = Program::start_td(&Script::tdx(profile), &[])?;
        assert_eq!(
            program.lines,
            [
                "devices true true",
                "parameter Y",
                "api 12",
                "types 33",
                "no-room 7",
                "capabilities 0 0x0 attributes=0x10000000 xfam=0x602e7 leaves=6",
                "early-vcpu 5",
                "init-vm 0 0x0",
                "gmem-born-cloexec false",
                "init-vcpu 0 0x0",
                "region 0 0x0 read=0x2000 gpa=0x102000 left=0",
                "region 0 0x0 read=0x1000 gpa=0x105000 left=0",
                "registers 22",
                "gmem-mmap Some(19)",
                "finalize 0 0x0",
                "child 5",
            ],
            "{profile}"
        );
        let memory = program.guest_memory()?;
        assert_eq!(page(&memory, 0)?, [0x5a; 4096]);
        assert_eq!(page(&memory, 1)?, [0xa5; 4096]);
        assert_eq!(page(&memory, 4)?, [0x5a; 4096]);
        let ended = program.end()?;
        assert!(ended.status.success(), "{profile}: {}", ended.stderr);
        let violations: Vec<_> = violations(&ended).collect();
        assert!(violations.is_empty(), "{profile}: {violations:?}");
    }
    Ok(())
}

#[test]
fn the_trace_tells_every_command_of_a_td_and_its_measurement() -> io::Result<()> {
    let ended = Program::start_td(&Script::tdx(Profile::V7_1), &[])?.end()?;
    let commands: Vec<_> = ended
        .events
        .iter()
        .filter_map(|event| {
            if let What::Begin(note) = &event.what {
                Some((note.call.as_str(), note.vcpu))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        commands,
        [
            (Call::TdxCapabilities.name(), None),
            (Call::TdxCapabilities.name(), None),
            (Call::TdxInitVm.name(), None),
            (Call::TdxInitVcpu.name(), Some(0)),
            (Call::TdxInitMemRegion.name(), Some(0)),
            (Call::TdxInitMemRegion.name(), Some(0)),
            (Call::TdxFinalizeVm.name(), None),
        ]
    );
    let digests: Vec<_> = ended
        .events
        .iter()
        .filter_map(|event| {
            if let What::Digest { digest, .. } = &event.what {
                Some(digest.as_str())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        digests,
        [
            "b46dbbcc9061c3dc886bf5cb5dbedd132076e07cf57f9441ce3f55e1f262bc52ff66b1601854f7c4b9c915db4f28c748"
        ]
    );
    Ok(())
}

#[test]
fn what_strikes_a_page_is_the_call_s_errno_and_the_region_says_where() -> io::Result<()> {
    for (profile, errno) in KERNELS.into_iter().zip([17, 17, 5]) {
        let fault = Fault::at(Call::TdxInitMemRegion, Effect::Duplicate).on_gfn(0x101);
        let program = Program::start_td(&Script::tdx(profile).with_fault(fault), &[])?;
        let region = format!("errno {errno} read=0x1000 gpa=0x101000 left=1");
        assert_eq!(program.said("region")[0], region, "{profile}");
        assert!(program.end()?.status.success(), "{profile}");
    }
    Ok(())
}

#[test]
fn a_violation_of_a_td_ends_the_process_and_is_told_first() -> io::Result<()> {
    for (argument, expected) in [
        ("null", "a source of NULL"),
        ("irqchip", "a TD has no interrupt controller in the kernel"),
    ] {
        let ended = Program::start_td(&Script::tdx(Profile::V6_18), &[argument])?.end()?;
        assert_eq!(ended.status.signal(), Some(6), "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        let told: Vec<_> = violations(&ended).collect();
        assert_eq!(told, [expected]);
    }
    Ok(())
}

#[test]
fn a_kernel_without_tdx_offers_none() -> io::Result<()> {
    let ended = Program::start_td(&Script::tdx(Profile::V6_11), &[])?.end()?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("NotFound"), "{}", ended.stderr);
    Ok(())
}

fn violations(ended: &Ended) -> impl Iterator<Item = &str> {
    ended.events.iter().filter_map(|event| event.violation())
}
