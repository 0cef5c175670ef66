//! Everything that KVM_TDX_INIT_VM takes: what was given, held against what KVM takes here, and a default for the rest.
//!
//! **Invariant:** pure; a bit that KVM does not report is refused with the field that has it.

use std::collections::HashSet;

use stagepages_kvm::{CpuidTable, TdxCapabilities, TdxInit};

use super::{CpuidEntry, TdxSettings};
use crate::{launch::Refusal, settings::wrong};

/// ATTRIBUTES bit 28: a page that is not there is the host's affair, and no exception in the guest.
const SEPT_VE_DISABLE: u64 = 1 << 28;
/// The leaf of address sizes, whose EAX[23:16] is how KVM is told the width of guest-physical addresses.
const ADDRESS_SIZES: u32 = 0x8000_0008;
/// That width where none is given. Every TDX machine can do it (`setup_tdparams_eptp_controls()`, arch/x86/kvm/vmx/tdx.c).
const DEFAULT_WIDTH: u8 = 48;

impl TdxSettings {
    /// What the launch is made with where KVM takes `taken` and can show `supported` to a guest.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field that KVM does not take here.
    pub fn choose(
        &self,
        taken: &TdxCapabilities,
        supported: &CpuidTable,
    ) -> Result<TdxInit, Refusal> {
        let (attributes, xfam) = (taken.supported_attributes, taken.supported_xfam);
        let cpuid = if self.cpuid.is_empty() {
            supported
                .masked_by(&taken.cpuid)
                .with_guest_physical_bits(DEFAULT_WIDTH)
        } else {
            self.leaves(&taken.cpuid)?
        };
        if cpuid.guest_physical_bits().is_none() {
            let text = format!(
                "lacks leaf {ADDRESS_SIZES:#x}, whose EAX[23:16] says how wide guest-physical addresses are; add it with 48 or 52 there, or leave cpuid unset"
            );
            return Err(wrong("tdx.cpuid", &text));
        }
        Ok(TdxInit {
            attributes: match self.attributes {
                Some(given) => among("tdx.attributes", given, attributes)?,
                None => SEPT_VE_DISABLE & attributes,
            },
            xfam: match self.xfam {
                Some(given) => among("tdx.xfam", given, xfam)?,
                None => xfam,
            },
            mrconfigid: self.mrconfigid,
            mrowner: self.mrowner,
            mrownerconfig: self.mrownerconfig,
            cpuid,
        })
    }

    /// The leaves that were given, if KVM lets all of them be chosen.
    fn leaves(&self, configurable: &CpuidTable) -> Result<CpuidTable, Refusal> {
        let mut seen = HashSet::new();
        for (nth, entry) in self.cpuid.iter().enumerate() {
            let refused = |text: String| wrong(&format!("tdx.cpuid[{nth}]"), &text);
            let leaf = format!("leaf {:#x} index {:#x}", entry.function, entry.index);
            if !seen.insert((entry.function, entry.index)) {
                return Err(refused(format!("{leaf} is there twice; give it once")));
            }
            let mask = configurable
                .entries()
                .map(CpuidEntry::from)
                .find(|mask| (mask.function, mask.index) == (entry.function, entry.index))
                .ok_or_else(|| {
                    refused(format!(
                        "{leaf} is not for a launch to choose here; leave it out (GetNodeInfo: tdx.cpuid lists those that are)"
                    ))
                })?;
            if let Some((register, given, mask)) = beyond(entry, &mask) {
                return Err(refused(format!(
                    "{leaf}: {register} {given:#x} has bits {:#x} that are not for a launch to choose here; it may have {mask:#x} (GetNodeInfo: tdx.cpuid)",
                    given & !mask
                )));
            }
            let bits = entry.eax >> 16 & 0xff;
            if entry.function == ADDRESS_SIZES && !matches!(bits, 48 | 52) {
                return Err(refused(format!(
                    "{leaf} says {bits} guest-physical address bits (EAX[23:16]); give 48 or 52"
                )));
            }
        }
        Ok(self.cpuid.iter().copied().map(Into::into).collect())
    }
}

/// The first register of `entry` with bits beyond those of `mask`: its name, what was given, what it may have.
fn beyond(entry: &CpuidEntry, mask: &CpuidEntry) -> Option<(&'static str, u32, u32)> {
    [
        ("eax", entry.eax, mask.eax),
        ("ebx", entry.ebx, mask.ebx),
        ("ecx", entry.ecx, mask.ecx),
        ("edx", entry.edx, mask.edx),
    ]
    .into_iter()
    .find(|(_, given, mask)| given & !mask != 0)
}

/// `given`, if all of its bits are among those that KVM takes.
fn among(field: &str, given: u64, taken: u64) -> Result<u64, Refusal> {
    if given & !taken == 0 {
        return Ok(given);
    }
    let text = format!(
        "{given:#x} has bits {:#x} that KVM does not take here; it takes {taken:#x} (GetNodeInfo: {field})",
        given & !taken
    );
    Err(wrong(field, &text))
}
