//! SNP guests: the commands of `KVM_MEMORY_ENCRYPT_OP` on a VM of type SNP.
//!
//! ```text
//!            INIT2            START              FINISH
//!  (no guest) ───▶ (no context) ───▶ launching ─────────▶ finished
//!                     ▲    └─refused─┘   │ └──UPDATE──┘
//!                     └ 6.11: spoilt     └─FINISH fails after the VMSAs: measured
//! ```
//!
//! **Invariant:** a command's structure is written back whatever the command did, once its id was accepted.

pub mod cpuid;
pub mod digest;
mod finish;
mod firmware;
mod init;
mod install;
mod start;
mod update;
mod vmsa;

use std::collections::HashMap;

pub use self::vmsa::vmsa;

use self::digest::LaunchDigest;
use crate::cx::{Cx, errno_of};
use crate::vm::Common;
use crate::wire::Fields;
use crate::{Answer, Call, Effect, Errno};

/// What an SNP guest has beside what every VM has.
#[derive(Debug, Default)]
pub struct Snp {
    /// The features of its VMSAs, once `INIT2` made it a guest.
    pub features: Option<u64>,
    /// Firmware's view of it.
    pub context: Context,
    /// What was measured.
    pub digest: LaunchDigest,
    /// The policy that it was started with.
    pub policy: u64,
    /// The number of `/dev/sev` at `LAUNCH_START`, which KVM keeps (kernel.md 2.4).
    pub sev_fd: Option<i32>,
    /// The security processor gave up, or went away.
    pub psp: Psp,
    /// CPUID pages that firmware refused, by frame, as they were submitted.
    pub rejected: HashMap<u64, Box<[u8; 4096]>>,
}

/// Firmware's view of a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Context {
    /// There is none.
    #[default]
    Absent,
    /// It was made, and then `LAUNCH_START` failed on its arguments (6.11 only): the VM cannot be started any more.
    Spoilt,
    /// Pages can be installed.
    Launching,
    /// `LAUNCH_FINISH` failed after it had measured the VMSAs.
    Measured,
    /// `LAUNCH_FINISH` succeeded.
    Finished,
}

/// The security processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Psp {
    /// It works.
    #[default]
    Alive,
    /// It did not answer in time, and the driver does not ask it again.
    Dead,
    /// There is none.
    Gone,
}

/// A command as it came.
#[derive(Clone, Copy, Debug)]
struct Command {
    /// The address of its parameters.
    data: u64,
    /// The number given for `/dev/sev`.
    sev_fd: i32,
    /// What the script does to it as a whole.
    effect: Option<Effect>,
}

/// `sev_mem_enc_ioctl()`, `arch/x86/kvm/svm/sev.c`. `arg` is the address of `struct kvm_sev_cmd`
/// {id u32@0, pad u32@4, data u64@8, error u32@16, sev_fd u32@20}.
pub(crate) fn command(cx: &mut Cx<'_>, vm: &mut Common, guest: &mut Snp, arg: u64) -> Answer {
    if arg == 0 {
        return Ok(0);
    }
    let mut args = Fields(cx.read::<24>(arg)?);
    let id = args.u32(0);
    cx.note.sev_fd = Some(args.i32(20));
    cx.require(args.is_zero(4, 4), "the padding of kvm_sev_cmd is not zero");
    cx.require(
        args.is_zero(16, 4),
        "`error` is not zero before the call, and KVM does not clear it",
    );
    if guest.features.is_some() && id < 100 {
        return Err(Errno::EPERM);
    }
    let Some(call) = Call::from_sev_id(id) else {
        cx.violation(&format!("command {id} is none of an SNP launch"));
        return Err(Errno::EINVAL);
    };
    let effect = cx.strike_call();
    if let Some(errno) = effect.and_then(errno_of) {
        return Err(errno);
    }
    let command = Command {
        data: args.u64(8),
        sev_fd: args.i32(20),
        effect,
    };
    let mut status = args.u32(16);
    if !call.installs_pages() {
        cx.take_time(None);
    }
    let answer = if effect == Some(Effect::Dead) {
        vm.dead = true;
        Err(Errno::EIO)
    } else if call == Call::SevInit2 {
        init::init2(cx, vm, guest, command, &mut status)
    } else if call == Call::SnpLaunchStart {
        start::launch_start(cx, guest, command, &mut status)
    } else if call == Call::SnpLaunchUpdate {
        update::launch_update(cx, vm, guest, command, &mut status)
    } else {
        finish::launch_finish(cx, vm, guest, command, &mut status)
    };
    cx.note.error = Some(status.into());
    args.put(16, &status.to_le_bytes());
    // An update's own fault is that of its parameters.
    let faults = effect == Some(Effect::CopyBackFault) && !call.installs_pages();
    if faults || cx.world.write(arg, &args.0).is_err() {
        return Err(Errno::EFAULT);
    }
    answer.map(|()| 0)
}
