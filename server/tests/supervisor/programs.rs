//! Hosts that run a platform's own program.

use anyhow::{Result, ensure};

use crate::cases::Case;
use crate::rig::{Rig, Setup, install};

pub(crate) const ALL: [(&str, Case); 2] = [
    ("a_platform_runs_its_own_program", own_program),
    ("a_program_that_is_missing_is_refused_at_the_start", missing),
];

fn own_program() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let program = dir.path().join("vmm");
    let source = dir.path().join("source");
    std::fs::write(
        &source,
        "#!/bin/sh\n[ \"$*\" = 'host --id=x y' ] && exit 77\n",
    )?;
    install(&source, &program)?;
    let rig = Rig::with(Setup {
        host_programs: vec![format!("kvm={}", program.display())],
        ..Setup::default()
    })?;
    let (daemon, _) = rig.serving_daemon()?;
    daemon.ask("spawn-on kvm a --id=x y")?;
    daemon.expect("exited a exited with code 77")?;
    for (platform, id) in [("sim", "b"), ("nonsense", "c")] {
        daemon.ask(&format!("spawn-on {platform} {id} exit 5"))?;
        daemon.expect(&format!("exited {id} exited with code 5"))?;
    }
    // Gone later: that is refused host by host, and the supervisor goes on.
    std::fs::remove_file(&program)?;
    let refused = daemon.ask("spawn-on kvm d exit 0")?;
    ensure!(refused == "refused d 2", "{refused}");
    ensure!(!rig.socket("d").exists());
    Ok(())
}

fn missing() -> Result<()> {
    for program in ["/nowhere/vmm", "/", "bin/sh", "/proc/version"] {
        let rig = Rig::with(Setup {
            host_programs: vec![format!("kvm={program}")],
            ..Setup::default()
        })?;
        let (status, left) = rig.ended()?;
        ensure!(status.code() == Some(98) && !left, "{program}: {status}");
    }
    Ok(())
}
