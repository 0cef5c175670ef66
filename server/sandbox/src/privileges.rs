//! User, capabilities, and who may look into the process.
//!
//! Capabilities belong to a thread, so all of this is for a process that has one, or for each thread in turn.
//!
//! **Invariant:** nothing is kept that was not named.

use nix::{
    sys::prctl,
    unistd::{Gid, geteuid, getgroups, setgroups, setresgid, setresuid},
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
};

use crate::{HostUser, SandboxError};

/// Nobody of the same user may attach to the process or read its memory, and it leaves no core. A change of user resets this
/// (`commit_creds()`, kernel/cred.c), so it comes last.
pub(crate) fn not_dumpable() -> Result<(), SandboxError> {
    prctl::set_dumpable(false).map_err(SandboxError::step("set PR_SET_DUMPABLE"))
}

/// No program that it might start has more than it has.
pub(crate) fn no_new_privileges() -> Result<(), SandboxError> {
    prctl::set_no_new_privs().map_err(SandboxError::step("set PR_SET_NO_NEW_PRIVS"))
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Keeps these capabilities of the calling thread's, and no others.
pub(crate) fn keep(wanted: CapabilitySet) -> Result<(), SandboxError> {
    let step = "drop capabilities";
    clear_ambient_capability_set().map_err(SandboxError::step(step))?;
    let had = capabilities(None).map_err(SandboxError::step(step))?;
    let kept = had.permitted & wanted;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(SandboxError::step(step))
}

/// Becomes a member of `group`, beside those that it is a member of: members may give files of their own to it without `CAP_CHOWN`
/// (`setattr_prepare()`, fs/attr.c), which would be for all files.
pub(crate) fn join(group: u32) -> Result<(), SandboxError> {
    let group = Gid::from_raw(group);
    let mut groups = getgroups().map_err(SandboxError::step("read the groups"))?;
    if groups.contains(&group) {
        return Ok(());
    }
    groups.push(group);
    setgroups(&groups).map_err(SandboxError::step("join the group of the sockets"))
}

/// Becomes `user`, with its group and no other. The permitted capabilities stay, for [`keep`] to choose from; the effective ones are gone.
pub(crate) fn become_user(user: HostUser) -> Result<(), SandboxError> {
    prctl::set_keepcaps(true).map_err(SandboxError::step("set PR_SET_KEEPCAPS"))?;
    setgroups(&[]).map_err(SandboxError::step("give up groups"))?;
    let (uid, gid) = (user.user(), user.group());
    setresgid(gid, gid, gid).map_err(SandboxError::step("change to the group of host_user"))?;
    setresuid(uid, uid, uid).map_err(SandboxError::step("change to host_user"))?;
    prctl::set_keepcaps(false).map_err(SandboxError::step("clear PR_SET_KEEPCAPS"))
}
