//! SNP guests: the commands of `KVM_MEMORY_ENCRYPT_OP` on a VM of type SNP.
//!
//! **Invariant:** nothing here knows another type of VM.

use crate::cx::Cx;
use crate::vm::Common;
use crate::{Answer, Errno};

/// What an SNP guest has beside what every VM has.
#[derive(Debug, Default)]
pub struct Snp {}

/// `sev_mem_enc_ioctl()`, `arch/x86/kvm/svm/sev.c`. `arg` is the address of `struct kvm_sev_cmd`.
pub(crate) fn command(_cx: &mut Cx<'_>, _vm: &mut Common, _guest: &mut Snp, _arg: u64) -> Answer {
    Err(Errno::ENOTTY)
}
