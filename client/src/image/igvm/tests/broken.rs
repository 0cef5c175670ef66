//! Whatever is in a file: a plan that holds together, or an error; and no more memory than the file explains.

use igvm::IgvmDirectiveHeader as Directive;
use igvm_defs::{IgvmPageDataFlags, IgvmPageDataType as Type};
use proptest::prelude::*;

use super::{
    made::{
        NATIVE, SNP, TDX, area, bytes, file, insert, page, page_of, parameter, plan, save_area,
        snp_context, unmeasured,
    },
    refused::summed,
};
use crate::{image::Options, plan::Contents, v1::Platform};

fn seed() -> Vec<u8> {
    let all = SNP | TDX | NATIVE;
    let special = |gpa, kind| page_of(SNP, gpa, kind, IgvmPageDataFlags::new(), &[]);
    let context = Box::new(zerocopy::FromZeros::new_zeroed());
    let directives = vec![
        page(all, 0x1000, &[1; 4096]),
        page(all, 0x2000, &[]),
        page(SNP, 0x3000, &[2; 4096]),
        unmeasured(TDX | NATIVE, 0x3000, &[3; 4096]),
        special(0x4000, Type::SECRETS),
        special(0x5000, Type::CPUID_DATA),
        area(1, 0x2000, &[4; 10]),
        Directive::VpCount(parameter(1, 0)),
        Directive::MemoryMap(parameter(1, 0x100)),
        Directive::CommandLine(parameter(1, 0x1000)),
        insert(all, 1, 0x8000),
        snp_context(0, save_area(0)),
        Directive::X64NativeVpContext {
            compatibility_mask: NATIVE,
            vp_index: 0,
            context,
        },
    ];
    bytes(&file(all, directives))
}

/// Loads it for every platform, and looks whether what comes out holds together.
fn load_all(bytes: &[u8]) {
    for platform in [
        Platform::SevSnp,
        Platform::Sim,
        Platform::Tdx,
        Platform::Kvm,
    ] {
        let options = Options {
            platform: Some(platform),
            ..Options::default()
        };
        let Ok(plan) = plan(bytes.to_vec(), &options) else {
            continue;
        };
        let mut held = 0;
        for extent in &plan.extents {
            let inside = plan.memory.iter().any(|region| {
                region.gpa <= extent.gpa()
                    && extent.end().bytes() <= region.gpa.bytes() + region.size
            });
            assert!(inside, "{extent:?} outside {:?}", plan.memory);
            if let Contents::Bytes(bytes) = extent.contents() {
                held += bytes.len();
            }
        }
        // Slices of the file count as if they were copies, one for each header at most.
        assert!(held <= bytes.len() * 128 + (16 << 20), "{held:#x}");
        assert!(plan.digest().is_ok() && plan.vcpus.len() <= 64);
        let mut sorted: Vec<_> = { plan.extents.iter() }
            .map(|it| (it.gpa(), it.end()))
            .collect();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = seed();
    load_all(&whole);
    for length in 0..whole.len() {
        // With the length and the checksum made right, so that what is missing is missed.
        let mut cut = whole[..length].to_vec();
        if let Some(field) = cut.get_mut(16..20) {
            field.copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
        }
        let cut = summed(cut);
        assert!(
            plan(
                cut,
                &Options {
                    platform: Some(Platform::Kvm),
                    ..Options::default()
                }
            )
            .is_err(),
            "{length:#x}"
        );
    }
}

#[test]
fn every_byte_of_the_headers_may_have_every_bit_flipped() {
    let whole = seed();
    let end = 0x20 + u32::from_le_bytes(whole[12..16].try_into().unwrap()) as usize;
    for at in 0..end {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            load_all(&summed(flipped));
        }
    }
}

proptest! {
    #[test]
    fn many_bytes_may_be_anything(
        changes in prop::collection::vec((0..0x200usize, any::<u8>()), 1..12),
        cut in prop::option::of(0..0x4000usize),
    ) {
        let mut bytes = seed();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        load_all(&bytes);
        load_all(&summed(bytes));
    }

    #[test]
    fn anything_behind_the_magic_is_no_panic(tail in prop::collection::vec(any::<u8>(), 0..400)) {
        load_all(&[b"IGVM\x02\0\0\0 \0\0\0".as_slice(), &tail].concat());
    }
}
