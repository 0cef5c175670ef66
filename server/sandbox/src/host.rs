//! The launch host: what it keeps until its launch is made, and what from then on.
//!
//! ```text
//!  one thread              acceptor and its threads      launch thread and its threads
//!  Confinement::begin ──┬─▶ Confinement::bystander
//!                       └───────────────────────────────▶ Confinement::made
//! ```
//!
//! **Invariant:** [`Confinement::made`] leaves nothing to a thread that could still open something: the others have called
//! [`Confinement::bystander`] before they began, or were started by one that had.

use std::path::PathBuf;

use rustix::thread::CapabilitySet;
use seccompiler::{BpfProgram, SeccompAction};

use crate::{
    Access, HostUser, Missing, Mode, Place, SandboxError, calls, calls::Calls, fence::Fence,
    limits, missing, privileges,
};

/// Descriptors of one host: those of regions and vCPUs are the most, about 1,300, and a daemon's requests bring a few each.
const OPEN_FILES: u64 = 8192;

/// Until the launch is made: opening devices that belong to another user, and locking the memory that pages are installed from.
const FOR_SET_UP: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::IPC_LOCK);

/// What a host is to be left with.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whether it is confined.
    pub mode: Mode,
    /// Whom it becomes, where it is started by root.
    pub user: Option<HostUser>,
    /// What it opens until its launch is made, beside [`places`].
    pub places: Vec<Place>,
    /// The ioctls that it makes afterwards.
    pub ioctls: Vec<u32>,
}

/// What the platforms of this project and their preflight open.
#[must_use]
pub fn places() -> Vec<Place> {
    let devices = ["/dev/kvm", "/dev/sev"].map(|path| Place::new(path, Access::Device));
    let read = [
        "/sys/module",
        "/sys/devices/system/cpu",
        "/sys/fs/cgroup",
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/self",
    ];
    devices
        .into_iter()
        .chain(read.map(|path| Place::new(PathBuf::from(path), Access::Read)))
        .collect()
}

/// A host's confinement, one step behind the other.
#[derive(Debug, Clone)]
pub struct Confinement(Option<Steps>);

#[derive(Debug, Clone)]
struct Steps {
    mode: Mode,
    programs: Vec<BpfProgram>,
}

impl Confinement {
    /// Of a host that is not confined.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Confines a host that has one thread and has opened nothing yet but what it was started with.
    ///
    /// # Errors
    /// What the kernel refused; with [`Mode::Require`] also what it lacks. The process should end then.
    pub fn begin(policy: Policy) -> Result<Self, SandboxError> {
        let Policy {
            mode,
            user,
            places,
            ioctls,
        } = policy;
        if mode == Mode::Off {
            return Ok(Self::none());
        }
        if mode == Mode::Require {
            SandboxError::if_missing(&missing(user))?;
        }
        limits::no_core()?;
        limits::open_files(OPEN_FILES)?;
        if privileges::is_root() {
            limits::keep_locked_memory();
            if let Some(user) = user {
                privileges::become_user(user)?;
            }
        }
        privileges::keep(FOR_SET_UP)?;
        privileges::not_dumpable()?;
        privileges::no_new_privileges()?;
        Fence {
            places: &places,
            ..Fence::default()
        }
        .close()?;
        // Made now, where a failure costs nothing.
        let programs = vec![calls::no_clone3()?, filter(&ioctls)?];
        Ok(Self(Some(Steps { mode, programs })))
    }

    /// Leaves the calling thread, and those that it starts, nothing to open. For a thread that needs nothing for the launch's making.
    ///
    /// # Errors
    /// What the kernel refused. The process should end then.
    pub fn bystander(&self) -> Result<(), SandboxError> {
        if self.0.is_none() {
            return Ok(());
        }
        privileges::keep(CapabilitySet::empty())?;
        Fence::default().close()
    }

    /// The launch is made: the calling thread keeps as little as the others have, and no thread makes a call from now on that is not in the list.
    ///
    /// # Errors
    /// What the kernel refused; with [`Mode::Require`] also what it lacks. The launch must not go on then.
    pub fn made(&mut self) -> Result<(), SandboxError> {
        let Some(Steps { mode, programs }) = self.0.take() else {
            return Ok(());
        };
        privileges::keep(CapabilitySet::empty())?;
        Fence::default().close()?;
        if !calls::put_on(&programs)? && mode == Mode::Require {
            SandboxError::if_missing(&[Missing::Seccomp])?;
        }
        Ok(())
    }
}

/// What a host does with a launch that is made. Anything else ends the process by SIGSYS: only its own launch goes with it.
fn filter(ioctls: &[u32]) -> Result<BpfProgram, SandboxError> {
    let own = std::process::id();
    Calls::of_every_process()?
        // How a vCPU is brought back: a signal to a thread of this process, taken there without a handler.
        .and(&[libc::SYS_rt_sigtimedwait])
        .and_one_of(libc::SYS_tgkill, 0, &[own])?
        .and_one_of(libc::SYS_ioctl, 1, ioctls)?
        // `fstat` of glibc is this with an empty path, and there is no path that it could be given: files can be looked at, none opened.
        .and(&[libc::SYS_newfstatat, libc::SYS_statx])
        // So that glibc goes back to clone(2): the other filter's answer is the graver one.
        .and(&[libc::SYS_clone3])
        .program(SeccompAction::Allow, SeccompAction::KillProcess)
}
