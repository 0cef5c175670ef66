//! What the program sees, and what the trace tells of it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;

use stagepages_kernel_model::{Call, Effect, Fault, File, Profile, Script, What};

use crate::program::{Program, page};

#[test]
fn a_launch_goes_through_under_every_kernel() -> io::Result<()> {
    for profile in Profile::ALL {
        let program = Program::start(&Script::snp(profile), &[])?;
        assert_eq!(
            program.lines,
            [
                "devices true true",
                "parameter Y",
                "tdx Some(NotFound)",
                "api 12",
                "types 17",
                if profile < Profile::V6_18 {
                    "features 0x20"
                } else {
                    "features 0x220"
                },
                "init2 0 0x0",
                "gmem-born-cloexec false",
                "start 0 0x0",
                "update 0 0x0 gfn=0x102 len=0x0",
                "update 0 0x0 gfn=0x105 len=0x0",
                "vcpu-mmap mapped",
                "gmem-mmap Some(19)",
                "finish 0 0x0",
                "child 5",
            ],
            "{profile}"
        );
        let ended = program.end()?;
        assert!(ended.status.success(), "{profile}: {}", ended.stderr);
        assert!(
            ended.events.iter().all(|event| event.violation().is_none()),
            "{:?}",
            ended.events
        );
    }
    Ok(())
}

#[test]
fn installed_pages_are_found_and_nothing_else_takes_memory() -> io::Result<()> {
    let program = Program::start(&Script::snp(Profile::V6_18), &[])?;
    let memory = program.guest_memory()?;
    assert_eq!(page(&memory, 0)?, [0x5a; 4096]);
    assert_eq!(page(&memory, 1)?, [0xa5; 4096]);
    assert_eq!(page(&memory, 4)?, [0; 4096]);
    let status = memory.metadata()?;
    assert_eq!(status.size(), 8 * 4096);
    assert_eq!(status.blocks() * 512, 3 * 4096);
    assert!(program.end()?.status.success());
    Ok(())
}

#[test]
fn the_trace_tells_every_command_in_order_and_the_digest() -> io::Result<()> {
    let program = Program::start(&Script::snp(Profile::V7_1), &[])?;
    let ended = program.end()?;
    let begun: Vec<_> = ended
        .events
        .iter()
        .filter_map(|event| {
            if let What::Begin(note) = &event.what {
                Some(note)
            } else {
                None
            }
        })
        .collect();
    let names: Vec<_> = begun.iter().map(|note| note.call.as_str()).collect();
    let update = Call::SnpLaunchUpdate.name();
    assert_eq!(
        names,
        [
            Call::SevInit2.name(),
            Call::SnpLaunchStart.name(),
            update,
            update,
            Call::SnpLaunchFinish.name()
        ]
    );
    let masks: Vec<_> = begun.iter().map(|note| note.blocked_signals()).collect();
    // The kernel never lets SIGKILL and SIGSTOP be blocked.
    let all = Some(!(1 << 8 | 1 << 18));
    assert_eq!(masks, [Some(0), Some(0), all, all, all]);
    let descriptors: Vec<_> = ended
        .events
        .iter()
        .filter_map(|event| {
            if let What::Fd(descriptor) = &event.what {
                Some(descriptor.cloexec)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(descriptors, [true, true]);
    let digests = ended
        .events
        .iter()
        .filter(|event| matches!(event.what, What::Digest { .. }));
    assert_eq!(digests.count(), 1);
    assert!(
        ended
            .events
            .windows(2)
            .all(|pair| pair[0].seq < pair[1].seq)
    );
    Ok(())
}

#[test]
fn a_violation_ends_the_process_and_is_told_first() -> io::Result<()> {
    let program = Program::start(&Script::snp(Profile::V6_18), &["null"])?;
    let ended = program.end()?;
    assert_eq!(ended.status.signal(), Some(6), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("a source of NULL"),
        "{}",
        ended.stderr
    );
    let words = ended.events.iter().filter_map(|event| event.violation());
    assert_eq!(words.count(), 1);
    Ok(())
}

#[test]
fn a_fault_strikes_the_program() -> io::Result<()> {
    let fault = Fault::at(Call::SnpLaunchUpdate, Effect::StopShort).on_gfn(0x101);
    let program = Program::start(&Script::snp(Profile::V6_18).with_fault(fault), &[])?;
    assert_eq!(program.said("update")[0], "0 0x0 gfn=0x101 len=0x1000");
    let ended = program.end()?;
    assert!(
        ended
            .events
            .iter()
            .any(|event| matches!(event.what, What::Fault(_)))
    );
    Ok(())
}

#[test]
fn a_script_that_cannot_be_read_ends_the_process() -> io::Result<()> {
    let ended = Program::start_with(r#"{ "profile": "5.10" }"#, &[])?.end()?;
    assert_eq!(ended.status.signal(), Some(6));
    assert!(ended.stderr.contains("5.10"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_machine_without_snp_has_no_dev_sev() -> io::Result<()> {
    let ended = Program::start(&Script::default(), &[])?.end()?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("NotFound"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn files_are_as_the_script_says() -> io::Result<()> {
    let mut script = Script::snp(Profile::V6_18);
    let (parameter, current) = (
        "/sys/module/kvm_amd/parameters/sev_snp",
        "/sys/fs/cgroup/misc.current",
    );
    for (path, file) in [
        ("/dev/sev", File::refused(13)),
        ("/dev/kvm", File::refused(2)),
        (parameter, File::Contents("N".into())),
        (current, File::Absent),
    ] {
        script.files.insert(path.into(), file);
    }
    for (path, seen) in [
        ("/dev/sev", "Ok(true) Err(Some(13))"),
        ("/dev/kvm", "Err(Some(2)) Err(Some(2))"),
        (parameter, "Ok(false) Ok(\"N\")"),
        (current, "Err(Some(2)) Err(Some(2))"),
        ("/dev/null", "Ok(true) Ok(\"\")"),
    ] {
        let program = Program::start(&script, &["look", path])?;
        assert_eq!(program.said("look"), [seen], "{path}");
        assert!(program.end()?.status.success(), "{path}");
    }
    Ok(())
}
