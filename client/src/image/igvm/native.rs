//! The context of a native vCPU: general and control registers, one code and one data segment.
//!
//! **Invariant:** what the context does not have is as the architecture resets it.

use igvm_defs::IgvmNativeVpContextX64;
use zerocopy::FromBytes as _;

use super::{
    super::ImageError,
    contexts::{Context, general},
};
use crate::v1;

/// # Errors
/// There is something behind the context in its page.
pub(super) fn registers(context: &Context) -> Result<v1::VcpuRegisters, ImageError> {
    let wrong = |problem: String| ImageError::at("IGVM VP context", context.offset, problem);
    let (it, rest) = IgvmNativeVpContextX64::read_from_prefix(&context.bytes)
        .map_err(|_cut| wrong("its page is cut short; give the file as it was made".to_owned()))?;
    if let Some(at) = rest.iter().position(|byte| *byte != 0) {
        let at = context.bytes.len() - rest.len() + at;
        return Err(wrong(format!(
            "byte {at:#x} of its page is not zero, and a native context ends before; give a file for this platform"
        )));
    }
    let data = v1::Segment {
        selector: it.data_selector.into(),
        attributes: it.data_attributes.into(),
        limit: it.data_limit,
        base: it.data_base.into(),
    };
    let table = |base, limit: u16| v1::DescriptorTable {
        base,
        limit: limit.into(),
    };
    Ok(v1::VcpuRegisters {
        general: Some(general!(it)),
        rsp: it.rsp,
        rip: it.rip,
        rflags: it.rflags,
        cs: Some(v1::Segment {
            selector: it.code_selector.into(),
            attributes: it.code_attributes.into(),
            limit: it.code_limit,
            base: it.code_base.into(),
        }),
        ds: Some(data),
        es: Some(data),
        fs: Some(data),
        gs: Some(v1::Segment {
            base: it.gs_base,
            ..data
        }),
        ss: Some(data),
        gdtr: Some(table(it.gdtr_base, it.gdtr_limit)),
        idtr: Some(table(it.idtr_base, it.idtr_limit)),
        cr0: it.cr0,
        cr3: it.cr3,
        cr4: it.cr4,
        efer: it.efer,
        ..v1::VcpuRegisters::default()
    })
}
