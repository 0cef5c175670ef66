//! `KVM_SEV_SNP_LAUNCH_UPDATE` (`snp_launch_update()`, `arch/x86/kvm/svm/sev.c`).
//!
//! **Invariant:** the parameters are written back only after a success, a partial one included.

use super::install::Install;
use super::{Command, Context, Snp};
use crate::cx::Cx;
use crate::memory::{Memory, PAGE};
use crate::populate::{Request, populate};
use crate::strict;
use crate::vm::Common;
use crate::wire::Fields;
use crate::{Answer, Effect, Errno};

pub(super) const NORMAL: u8 = 1;
pub(super) const VMSA: u8 = 2;
pub(super) const ZERO: u8 = 3;
pub(super) const UNMEASURED: u8 = 4;
pub(super) const SECRETS: u8 = 5;
pub(super) const CPUID: u8 = 6;

/// struct kvm_sev_snp_launch_update.
struct Params {
    fields: Fields<64>,
    gfn: u64,
    uaddr: u64,
    bytes: u64,
    page_type: u8,
}

/// Installs pages, and writes back how far it came.
pub(super) fn launch_update(
    cx: &mut Cx<'_>,
    vm: &mut Common,
    guest: &mut Snp,
    command: Command,
    status: &mut u32,
) -> Answer<()> {
    if guest.features.is_none() || guest.context == Context::Absent {
        return Err(Errno::EINVAL);
    }
    let mut params = Params::read(cx, command.data)?;
    params.be_strict(cx, &mut vm.memory, guest, command.sev_fd);
    let is_valid = params.bytes.is_multiple_of(PAGE)
        && params.fields.u16(26) == 0
        && matches!(
            params.page_type,
            NORMAL | ZERO | UNMEASURED | SECRETS | CPUID
        );
    if !is_valid {
        return Err(Errno::EINVAL);
    }
    if params.bytes == 0 {
        return if cx.profile().update_refuses_empty() {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        };
    }
    let has_source = params.page_type != ZERO;
    if has_source && cx.profile().update_wants_alignment() && !params.uaddr.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    if vm
        .memory
        .slot_of(params.gfn)
        .and_then(|slot| slot.gmem)
        .is_none()
    {
        return Err(Errno::EINVAL);
    }
    let request = Request {
        gfn: params.gfn,
        pages: params.bytes / PAGE,
        source: Some(params.uaddr).filter(|addr| has_source && *addr != 0),
        writes_back: params.page_type == CPUID,
        begins_call: true,
    };
    cx.note.pages_done = Some(0);
    let Common { memory, dead, .. } = vm;
    let mut install = Install::new(guest, dead, command.sev_fd, params.page_type);
    // Whatever stopped the first page, the answer is EIO; the status tells firmware's refusals from the rest.
    let Ok(pages) = populate(cx, memory, request, &mut install) else {
        *status = install.status();
        return Err(Errno::EIO);
    };
    params.write_back(cx, command, pages)
}

impl Params {
    /// {gfn_start u64@0, uaddr u64@8, len u64@16, type u8@24, pad0 u8@25, flags u16@26, pad1 u32@28, pad2 u64[4]@32}.
    fn read(cx: &mut Cx<'_>, data: u64) -> Answer<Self> {
        let fields = Fields(cx.read::<64>(data)?);
        let (gfn, uaddr, bytes, page_type) =
            (fields.u64(0), fields.u64(8), fields.u64(16), fields.u8(24));
        cx.note.gfn = Some(gfn);
        cx.note.uaddr = Some(uaddr);
        cx.note.pages = Some(bytes / PAGE);
        cx.note.page_type = Some(page_type);
        Ok(Self {
            fields,
            gfn,
            uaddr,
            bytes,
            page_type,
        })
    }

    /// What the kernel would take, or not notice, and a correct launch host never does (kernel.md sections 1.4, 2.5 and 10).
    fn be_strict(&self, cx: &Cx<'_>, memory: &mut Memory, guest: &Snp, sev_fd: i32) {
        let is_padded = self.fields.is_zero(25, 1) && self.fields.is_zero(28, 36);
        cx.require(
            is_padded,
            "the padding of kvm_sev_snp_launch_update is not zero",
        );
        cx.require(self.bytes != 0, "an update of no bytes");
        let is_sound = self.page_type != ZERO && strict::sound_source(cx, self.uaddr, self.bytes);
        cx.require(
            self.bytes <= PAGE || !matches!(self.page_type, CPUID | SECRETS),
            "more than one CPUID or SECRETS page in one call",
        );
        cx.require(
            guest.sev_fd.is_none_or(|started| started == sev_fd),
            "/dev/sev has another number than at LAUNCH_START",
        );
        cx.require(
            !matches!(guest.context, Context::Measured | Context::Finished),
            "an update after LAUNCH_FINISH",
        );
        strict::blocked_signals(cx);
        strict::new_pages(cx, memory, self.gfn, self.bytes / PAGE);
        strict::descriptor(cx, memory, self.gfn);
        if self.page_type == CPUID && is_sound {
            self.compare_with_rejected(cx, guest);
        }
    }

    fn compare_with_rejected(&self, cx: &Cx<'_>, guest: &Snp) {
        let Some(rejected) = guest.rejected.get(&self.gfn) else {
            return;
        };
        if cx
            .read::<4096>(self.uaddr)
            .is_ok_and(|now| now == **rejected)
        {
            cx.violation("a CPUID page that firmware refused is submitted again as it was");
        }
    }

    fn write_back(&mut self, cx: &Cx<'_>, command: Command, pages: u64) -> Answer<()> {
        let bytes = pages * PAGE;
        self.fields.put(0, &(self.gfn + pages).to_le_bytes());
        if self.page_type != ZERO {
            self.fields.put(8, &(self.uaddr + bytes).to_le_bytes());
        }
        self.fields.put(16, &(self.bytes - bytes).to_le_bytes());
        if command.effect == Some(Effect::CopyBackFault) {
            return Err(Errno::EFAULT);
        }
        cx.world.write(command.data, &self.fields.0)
    }
}
