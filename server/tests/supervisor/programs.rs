//! Hosts that run a platform's own program.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};

use crate::cases::Case;
use crate::rig::{Rig, Setup};

pub(crate) const ALL: [(&str, Case); 2] = [
    ("a_platform_runs_its_own_program", own_program),
    ("a_program_that_is_missing_is_refused_at_the_start", missing),
];

fn own_program() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let program = dir.path().join("vmm");
    std::fs::write(
        &program,
        "#!/bin/sh\n[ \"$*\" = 'host --id=x y' ] && exit 77\n",
    )?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700))?;
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
