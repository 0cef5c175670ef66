//! A save area of SEV-SNP as registers, and where KVM's of these registers is another.
//!
//! **Invariant:** whatever is in a save area, a difference that KVM would measure is told: each byte is of some field.

use std::mem::offset_of;

use igvm::snp_defs::{SevSelector, SevVmsa};
use zerocopy::FromBytes as _;

use super::{super::ImageError, contexts::general};
use crate::{plan::Severity, v1};

/// EFER.SVME and CR4.MCE, which KVM sets by itself; as something to set they would be refused where the processor lacks them for guests.
const EFER_SVME: u64 = 1 << 12;
const CR4_MCE: u64 = 1 << 6;
/// CR0.ET and EFER.LMA, which a launch host sets by itself, as a processor does.
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;

/// A field in which KVM's save area is another than the image's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// What it is.
    pub(super) field: &'static str,
    /// Where in the save area the differing bytes are.
    pub(super) offset: usize,
    /// Up to 8 bytes from there in the image.
    pub(super) image: u64,
    /// The same in what KVM measures.
    pub(super) kvm: u64,
    /// An error if the guest would not be what it is made to be.
    pub(super) severity: Severity,
}

/// SEV_FEATURES of a save area, without SNP_ACTIVE.
pub(super) fn features(page: &[u8]) -> u64 {
    word(page, offset_of!(SevVmsa, sev_features), 8) & !1
}

/// The registers that a vCPU is given.
///
/// # Errors
/// It is no page.
pub(super) fn registers(page: &[u8], offset: u64) -> Result<v1::VcpuRegisters, ImageError> {
    let it = SevVmsa::read_from_bytes(page).map_err(|_length| {
        let problem = format!(
            "a save area of {:#x} bytes; it has 0x1000: give the file as it was made",
            page.len()
        );
        ImageError::at("IGVM VP context", offset, problem)
    })?;
    let is_long = it.efer & EFER_LME != 0 && it.cr0 & CR0_PG != 0;
    let efer = it.efer & !(EFER_SVME | EFER_LMA) | if is_long { EFER_LMA } else { 0 };
    Ok(v1::VcpuRegisters {
        general: Some(general!(it)),
        rsp: it.rsp,
        rip: it.rip,
        rflags: it.rflags | 2,
        cs: Some(segment(&it.cs)),
        ds: Some(segment(&it.ds)),
        es: Some(segment(&it.es)),
        fs: Some(segment(&it.fs)),
        gs: Some(segment(&it.gs)),
        ss: Some(segment(&it.ss)),
        tr: Some(segment(&it.tr)),
        ldtr: Some(segment(&it.ldtr)),
        gdtr: Some(table(&it.gdtr)),
        idtr: Some(table(&it.idtr)),
        cr0: it.cr0 | CR0_ET,
        cr2: it.cr2,
        cr3: it.cr3,
        cr4: it.cr4 & !CR4_MCE,
        efer,
        pat: Some(it.pat),
    })
}

/// A save area has bits 12-15 of the attributes in bits 8-11.
fn segment(it: &SevSelector) -> v1::Segment {
    let attributes = it.attrib & 0xff | (it.attrib & 0xf00) << 4;
    v1::Segment {
        selector: it.selector.into(),
        attributes: attributes.into(),
        limit: it.limit,
        base: it.base,
    }
}

fn table(it: &SevSelector) -> v1::DescriptorTable {
    v1::DescriptorTable {
        base: it.base,
        limit: it.limit & 0xffff,
    }
}

/// The fields in which the two pages differ, by offset, each once.
pub(super) fn differences(image: &[u8], kvm: &[u8]) -> Vec<Difference> {
    let ends = FIELDS
        .iter()
        .skip(1)
        .map(|(_, at)| *at)
        .chain([size_of::<SevVmsa>()]);
    let fields = FIELDS.iter().zip(ends);
    fields
        .filter_map(|((field, start), end)| difference(field, *start, end, image, kvm))
        .collect()
}

fn difference(
    field: &'static str,
    start: usize,
    end: usize,
    image: &[u8],
    kvm: &[u8],
) -> Option<Difference> {
    let (in_image, in_kvm) = (image.get(start..end)?, kvm.get(start..end)?);
    let first = in_image
        .iter()
        .zip(in_kvm)
        .position(|(image, kvm)| image != kvm)?;
    // Long fields by the eight bytes of the first difference.
    let offset = start + first / 8 * 8;
    let length = (end - offset).min(8);
    let changes_guest = matches!(field, "vmpl" | "sev_features" | "virtual_tom");
    Some(Difference {
        field,
        offset,
        image: word(image, offset, length),
        kvm: word(kvm, offset, length),
        severity: match changes_guest {
            true => Severity::Error,
            false => Severity::Warning,
        },
    })
}

fn word(page: &[u8], at: usize, length: usize) -> u64 {
    let mut word = [0; 8];
    let bytes = page.iter().skip(at).take(length);
    word.iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(word)
}

macro_rules! fields {
    ($($segment:ident),*; $($field:ident),*) => {
        &[
            $(
                (concat!(stringify!($segment), ".selector"), offset_of!(SevVmsa, $segment.selector)),
                (concat!(stringify!($segment), ".attributes"), offset_of!(SevVmsa, $segment.attrib)),
                (concat!(stringify!($segment), ".limit"), offset_of!(SevVmsa, $segment.limit)),
                (concat!(stringify!($segment), ".base"), offset_of!(SevVmsa, $segment.base)),
            )*
            $((stringify!($field), offset_of!(SevVmsa, $field)),)*
        ]
    };
}

/// Every field, in order: each ends where the next begins.
const FIELDS: &[(&str, usize)] = fields!(
    es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    pl0_ssp, pl1_ssp, pl2_ssp, pl3_ssp, u_cet, vmsa_reserved1, vmpl, cpl, vmsa_reserved2, efer,
    vmsa_reserved3, xss, cr4, cr3, cr0, dr7, dr6, rflags, rip, dr0, dr1, dr2, dr3, dr0_addr_mask,
    dr1_addr_mask, dr2_addr_mask, dr3_addr_mask, vmsa_reserved4, rsp, s_cet, ssp,
    interrupt_ssp_table_addr, rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs,
    sysenter_esp, sysenter_eip, cr2, vmsa_reserved5, pat, dbgctl, last_branch_from_ip,
    last_branch_to_ip, last_excp_from_ip, last_excp_to_ip, vmsa_reserved6, spec_ctrl,
    vmsa_reserved7, rcx, rdx, rbx, vmsa_reserved8, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14,
    r15, vmsa_reserved9, exit_info1, exit_info2, exit_int_info, next_rip, sev_features,
    v_intr_cntrl, guest_error_code, virtual_tom, tlb_id, pcpu_id, event_inject, xcr0,
    xsave_valid_bitmap, x87dp, mxcsr, x87_ftw, x87_fsw, x87_fcw, x87_op, x87_ds, x87_cs, x87_rip,
    x87_registers1, x87_registers2, x87_registers3, xmm_registers, ymm_registers, vmsa_padding
);
