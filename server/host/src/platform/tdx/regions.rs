//! Which memory of a TD can be private.
//!
//! **Invariant:** pure.

use stagepages_kvm::Gpa;

use crate::{launch::Refusal, platform::Memory, settings::wrong};

/// Whether all memory regions are in the lower half of `bits` bits of guest-physical address: the highest bit of an address says that it is shared.
///
/// KVM would take a region above, and refuse every page of it (`tdx_vcpu_init_mem_region()`, arch/x86/kvm/vmx/tdx.c).
///
/// # Errors
/// `InvalidLaunch` with the first region that is not.
pub(super) fn check(plan: &Memory<()>, bits: u8) -> Result<(), Refusal> {
    let shared = 1_u64
        .checked_shl(u32::from(bits).saturating_sub(1))
        .map_or(Gpa::new(u64::MAX), Gpa::new);
    match plan
        .regions()
        .enumerate()
        .find(|(_, region)| region.end() > shared)
    {
        None => Ok(()),
        Some((nth, region)) => {
            let text = format!(
                "{region} goes beyond GPA {shared}, from where on memory is shared with {bits} guest-physical address bits; use lower addresses, or 52 bits (tdx.cpuid, leaf 0x80000008) where the processor has five-level EPT"
            );
            Err(wrong(&format!("regions[{nth}]"), &text))
        }
    }
}

#[cfg(test)]
mod tests {
    use stagepages_kvm::GfnRange;

    use super::*;

    fn plan(regions: &[(u64, u64)]) -> Memory<()> {
        let regions: Vec<_> = regions
            .iter()
            .map(|(gpa, len)| GfnRange::from_bytes(Gpa::new(*gpa), *len).unwrap())
            .collect();
        Memory::plan(&regions).unwrap()
    }

    #[test]
    fn a_region_ends_where_the_shared_half_begins_at_the_latest() {
        for (bits, shared) in [(48, 1 << 47), (52, 1_u64 << 51)] {
            let low = (0, 0x1000);
            assert_eq!(
                check(&plan(&[low, (shared - 0x2000, 0x2000)]), bits),
                Ok(())
            );
            for beyond in [(shared - 0x1000, 0x2000), (shared, 0x1000)] {
                let refusal = check(&plan(&[low, beyond]), bits).unwrap_err();
                assert_eq!(refusal.field, "regions[1]", "{bits} bits");
                assert!(
                    refusal.message.contains(&format!("{shared:#x}")),
                    "{refusal:?}"
                );
                // As they were given, not by address.
                let refusal = check(&plan(&[beyond, low]), bits).unwrap_err();
                assert_eq!(refusal.field, "regions[0]", "{bits} bits");
            }
        }
        let between = plan(&[(1 << 47, 0x1000)]);
        assert_eq!(check(&between, 52), Ok(()));
    }
}
