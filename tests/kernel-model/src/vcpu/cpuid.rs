//! CPUID tables (`struct kvm_cpuid2`).
//!
//! **Invariant:** a table of the process is read in one go, at most 256 entries of it.

use crate::world::World;
use crate::{Answer, Errno};

const ENTRY: u64 = 40;
const HEADER: u64 = 8;
const MAX_ENTRIES: usize = 256;

/// `struct kvm_cpuid_entry2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuidEntry {
    /// The leaf.
    pub function: u32,
    /// The subleaf.
    pub index: u32,
    /// Bit 0: the subleaf matters.
    pub flags: u32,
    /// The value of EAX.
    pub eax: u32,
    /// The value of EBX.
    pub ebx: u32,
    /// The value of ECX.
    pub ecx: u32,
    /// The value of EDX.
    pub edx: u32,
}

impl CpuidEntry {
    fn from_words(words: [u32; 10]) -> Self {
        let [function, index, flags, eax, ebx, ecx, edx, ..] = words;
        Self {
            function,
            index,
            flags,
            eax,
            ebx,
            ecx,
            edx,
        }
    }

    /// As a trace tells it: ` cpuid.7.0=eax,ebx,ecx,edx`, all in hex.
    pub(crate) fn told(&self) -> String {
        let Self {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
            ..
        } = self;
        format!(" cpuid.{function:#x}.{index:#x}={eax:#x},{ebx:#x},{ecx:#x},{edx:#x}")
    }

    fn words(self) -> [u32; 10] {
        let Self {
            function,
            index,
            flags,
            eax,
            ebx,
            ecx,
            edx,
        } = self;
        [function, index, flags, eax, ebx, ecx, edx, 0, 0, 0]
    }
}

/// Reads the table at an address.
///
/// # Errors
///
/// `E2BIG` above 256 entries, `EFAULT`.
pub(crate) fn read_table(world: &dyn World, addr: u64) -> Answer<Vec<CpuidEntry>> {
    let count = u32::from_le_bytes(crate::world::read_array(world, addr)?);
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= MAX_ENTRIES)
        .ok_or(Errno::E2BIG)?;
    let mut bytes = vec![0; count * 40];
    world.read(addr + HEADER, &mut bytes)?;
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u32::from(*byte))
    };
    let entry = |bytes: &[u8]| {
        let mut words = [0; 10];
        for (to, from) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *to = word(from);
        }
        CpuidEntry::from_words(words)
    };
    Ok(bytes.chunks_exact(40).map(entry).collect())
}

/// Writes a table at an address, where `nent` says how many entries there is room for.
///
/// # Errors
///
/// `E2BIG` without room, and then nothing is written; `EFAULT`.
pub(crate) fn write_table(world: &dyn World, addr: u64, table: &[CpuidEntry]) -> Answer<()> {
    let room = u32::from_le_bytes(crate::world::read_array(world, addr)?);
    let count = u32::try_from(table.len()).or(Err(Errno::E2BIG))?;
    if count > room {
        return Err(Errno::E2BIG);
    }
    for (at, entry) in (0..).zip(table) {
        let bytes: Vec<u8> = entry
            .words()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        world.write(addr + HEADER + at * ENTRY, &bytes)?;
    }
    world.write(addr, &count.to_le_bytes())
}

/// The processor of the modelled machine, as `KVM_GET_SUPPORTED_CPUID` shows it.
pub(crate) fn supported(snp: bool) -> Vec<CpuidEntry> {
    const SUBLEAF_MATTERS: u32 = 1;
    let (ebx, ecx, edx) = if snp {
        (0x6874_7541, 0x444d_4163, 0x6974_6e65) // AuthenticAMD
    } else {
        (0x756e_6547, 0x6c65_746e, 0x4965_6e69) // GenuineIntel
    };
    let leaf = |function, eax, ebx, ecx, edx| CpuidEntry {
        function,
        eax,
        ebx,
        ecx,
        edx,
        ..CpuidEntry::default()
    };
    let subleaf = |function, index, eax, ebx, ecx, edx| CpuidEntry {
        index,
        flags: SUBLEAF_MATTERS,
        ..leaf(function, eax, ebx, ecx, edx)
    };
    let mut table = vec![
        leaf(0, 0xd, ebx, ecx, edx),
        // x2APIC and XSAVE among the rest.
        leaf(1, 0x00a0_0f11, 0x0000_0800, 0xfef8_3203, 0x178b_fbff),
        subleaf(7, 0, 0, 0x219c_95a9, 0x0040_069c, 0x0000_0010),
        subleaf(0xd, 0, 7, 0x240, 0x340, 0),
        subleaf(0xd, 1, 0xf, 0x240, 0, 0),
        leaf(0x8000_0000, 0x8000_001f, ebx, ecx, edx),
        leaf(
            0x8000_0001,
            0x00a0_0f11,
            0x4000_0000,
            0x75c2_37ff,
            0x2fd3_fbff,
        ),
        // Guest physical addresses of 48 bits.
        leaf(0x8000_0008, 0x0030_3030, 0x111e_d205, 0, 0),
    ];
    if snp {
        // SEV, SEV-ES and SEV-SNP; the C-bit is bit 51.
        table.push(leaf(0x8000_001f, 0x1a, 51, 0, 0));
    }
    table
}
