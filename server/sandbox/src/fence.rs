//! Landlock: which files, which ports, and whom to signal.
//!
//! **Invariant:** what is handled is fixed (ABI 6, Linux 6.12), so that a process on a newer kernel can do what it could on this one; of an older
//! kernel's lack [`missing`](crate::missing) tells.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};

use crate::SandboxError;

/// What is handled.
pub(crate) const HANDLED: ABI = ABI::V6;

/// What may be done at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Files are read, directories listed.
    Read,
    /// A device: read, written, and asked by ioctl.
    Device,
    /// Files are made, read, written, renamed and removed; also sockets. No links to elsewhere are special, no devices are made.
    Own,
    /// One file is read and written.
    ReadWrite,
    /// Sockets are made there, with a lock file beside each; what is there can be removed.
    Sockets,
}

/// A file or directory, with everything beneath it, that stays within reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    access: Access,
}

impl Place {
    /// This path, for this.
    pub fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        Self {
            path: path.into(),
            access,
        }
    }

    /// The file, where a file may be replaced by another of its name, also through a link: its whole directory, to read.
    pub fn read_again(path: &Path) -> Self {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        Self::new(dir.unwrap_or(Path::new(".")), Access::Read)
    }
}

impl Access {
    fn rights(self) -> BitFlags<AccessFs> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = AccessFs::WriteFile | AccessFs::Truncate;
        let change = AccessFs::MakeReg | AccessFs::RemoveFile;
        match self {
            Self::Read => read,
            Self::ReadWrite => write | AccessFs::ReadFile,
            Self::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
            Self::Sockets => read | write | change | AccessFs::MakeSock,
            Self::Own => {
                let shape = AccessFs::MakeDir | AccessFs::RemoveDir | AccessFs::Refer;
                read | write | change | shape | AccessFs::MakeSock
            }
        }
    }
}

/// What is left within reach.
#[derive(Debug, Default)]
pub(crate) struct Fence<'a> {
    pub(crate) places: &'a [Place],
    pub(crate) ports: &'a [u16],
    /// Those that others listen on, and that are connected to.
    pub(crate) connects: &'a [u16],
    /// Sockets of unix(7) without a file that others made can be connected to.
    pub(crate) abstract_sockets: bool,
}

impl Fence<'_> {
    /// Confines the calling thread, and those that it starts. A place that is not there is no error: nor can it be reached.
    pub(crate) fn close(&self) -> Result<(), SandboxError> {
        let scopes = if self.abstract_sockets {
            BitFlags::from(Scope::Signal)
        } else {
            Scope::from_all(HANDLED)
        };
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(HANDLED))?
            .handle_access(AccessNet::from_all(HANDLED))?
            .scope(scopes)?
            .create()?;
        for Place { path, access } in self.places {
            let Ok(found) = PathFd::new(path) else {
                continue;
            };
            let mut rights = access.rights();
            if !path.is_dir() {
                rights &= AccessFs::from_file(HANDLED);
            }
            rules = rules.add_rule(PathBeneath::new(found, rights))?;
        }
        for port in self.ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
        }
        for port in self.connects {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        rules.restrict_self()?;
        Ok(())
    }
}
