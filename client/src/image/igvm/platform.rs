//! For which platform the file is loaded: the compatibility mask that its headers are chosen by.
//!
//! **Invariant:** never guesses among several.

use igvm_defs::{
    IGVM_VHS_SUPPORTED_PLATFORM, IgvmPlatformType as Type, IgvmVariableHeaderType as Kind,
};

use super::{
    super::ImageError,
    fixed::File,
    notes::Notes,
    walk::{self, Raw, Section},
};
use crate::{plan::Severity, v1::Platform, words};

const NAME: &str = "IGVM supported platform";

/// What is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// For which platform.
    pub(super) platform: Platform,
    /// By which headers.
    pub(super) kind: Type,
    mask: u32,
}

impl Target {
    /// Whether a header with this mask is for it.
    pub(super) fn takes(&self, mask: u32) -> bool {
        self.mask & mask != 0
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        type_name(self.kind)
    }

    /// Whether pages are measured and private.
    pub(super) fn is_confidential(&self) -> bool {
        matches!(self.kind, Type::SEV_SNP | Type::TDX)
    }
}

/// The platform that is wanted, or the only one there is.
///
/// # Errors
/// The file is not for it, is for several, or a header is broken.
pub(super) fn choose(
    file: &File,
    wanted: Option<Platform>,
    notes: &mut Notes,
) -> Result<Target, ImageError> {
    let mut found: Vec<(IGVM_VHS_SUPPORTED_PLATFORM, u64)> = Vec::new();
    for raw in walk::headers(file) {
        let raw = raw?;
        match raw.section() {
            Some(Section::Platform) => {}
            Some(Section::Initialization | Section::Directive) => break,
            None => continue,
        }
        if raw.kind != Kind::IGVM_VHT_SUPPORTED_PLATFORM {
            unknown(&raw, notes)?;
            continue;
        }
        let header: IGVM_VHS_SUPPORTED_PLATFORM = raw.read()?;
        check(&raw, &header, &found)?;
        found.push((header, raw.offset));
    }
    let (platform, (header, offset)) = pick(&found, wanted)?;
    let target = Target {
        platform,
        kind: header.platform_type,
        mask: header.compatibility_mask,
    };
    if header.platform_version != 1 {
        let problem = format!(
            "version {:#x} of {}; version 1 is known: make the file for it",
            header.platform_version,
            target.name()
        );
        return Err(ImageError::at(NAME, *offset, problem));
    }
    tell_what_kvm_lacks(header, *offset, &target, notes);
    Ok(target)
}

fn check(
    raw: &Raw<'_>,
    header: &IGVM_VHS_SUPPORTED_PLATFORM,
    found: &[(IGVM_VHS_SUPPORTED_PLATFORM, u64)],
) -> Result<(), ImageError> {
    if header.compatibility_mask.count_ones() != 1 {
        return Err(raw.wrong(format!(
            "the compatibility mask {:#x} has not exactly one bit; make the file anew",
            header.compatibility_mask
        )));
    }
    // So there are at most as many as bits in a mask.
    let twin = found.iter().find(|(other, _)| {
        other.compatibility_mask == header.compatibility_mask
            || other.platform_type == header.platform_type
    });
    match twin {
        Some((_, at)) => Err(raw.wrong(format!(
            "it has the mask ({:#x}) or the platform ({}) of the one at offset {at:#x}; make the file with one header for each",
            header.compatibility_mask,
            type_name(header.platform_type)
        ))),
        None => Ok(()),
    }
}

type Found<'a> = &'a (IGVM_VHS_SUPPORTED_PLATFORM, u64);

fn pick(
    found: &[(IGVM_VHS_SUPPORTED_PLATFORM, u64)],
    wanted: Option<Platform>,
) -> Result<(Platform, Found<'_>), ImageError> {
    let of = |kind: Type| found.iter().find(|(it, _)| it.platform_type == kind);
    let named = |platform: Platform| match platform {
        Platform::SevSnp | Platform::Sim => of(Type::SEV_SNP),
        Platform::Tdx => of(Type::TDX),
        Platform::Kvm => of(Type::NATIVE).or_else(|| of(Type::VSM_ISOLATION)),
        Platform::Unspecified => None,
    };
    let has = || {
        let names: Vec<_> = { found.iter() }
            .map(|(it, _)| type_name(it.platform_type))
            .collect();
        match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        }
    };
    if let Some(platform) = wanted.filter(|platform| *platform != Platform::Unspecified) {
        return named(platform).map(|it| (platform, it)).ok_or_else(|| {
            let problem = format!(
                "the file is not for {}: it is for {}; choose one of these, or give a file for it",
                words::platform(platform.into()),
                has()
            );
            ImageError::whole(NAME, problem)
        });
    }
    let loadable = [
        (Type::SEV_SNP, Platform::SevSnp),
        (Type::TDX, Platform::Tdx),
        (Type::NATIVE, Platform::Kvm),
    ];
    let mut choices =
        { loadable.into_iter() }.filter_map(|(kind, platform)| Some((platform, of(kind)?)));
    match (choices.next(), choices.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(ImageError::whole(
            NAME,
            format!(
                "the file is for {}; stagepages loads SEV-SNP, TDX and native: give a file for one of these",
                has()
            ),
        )),
        (Some(_), Some(_)) => Err(ImageError::whole(
            NAME,
            format!(
                "the file is for several platforms: {}; choose one (sev-snp, sim, tdx or kvm)",
                has()
            ),
        )),
    }
}

fn tell_what_kvm_lacks(
    header: &IGVM_VHS_SUPPORTED_PLATFORM,
    offset: u64,
    target: &Target,
    notes: &mut Notes,
) {
    if header.highest_vtl != 0 {
        notes.once(Severity::Warning, "HIGHEST_VTL", offset, || {
            format!(
                "the image is made to run in VTL {}, with others below it; KVM runs it alone, at VMPL 0, and has no other level for a guest within it: check that it starts so, or make it with VTL 0",
                header.highest_vtl
            )
        });
    }
    if header.shared_gpa_boundary != 0 && target.kind == Type::SEV_SNP {
        notes.once(Severity::Error, "SHARED_GPA_BOUNDARY", offset, || {
            format!(
                "the image expects shared memory from {:#x} on (virtual top of memory), which KVM has not: memory is shared by the C-bit there; make the image without it",
                header.shared_gpa_boundary
            )
        });
    }
}

/// A header that nothing here knows: told if it may be left out.
///
/// # Errors
/// It may not.
pub(super) fn unknown(raw: &Raw<'_>, notes: &mut Notes) -> Result<(), ImageError> {
    if raw.is_optional() {
        notes.once(Severity::Note, "IGVM_OPTIONAL_HEADER", raw.offset, || {
            format!(
                "a header of type {:#x} is not known; it is optional and was left out",
                raw.kind.0
            )
        });
        return Ok(());
    }
    Err(raw.wrong(format!(
        "type {:#x} is not known and not optional; use a newer stagepages, or make the file without it",
        raw.kind.0
    )))
}

fn type_name(kind: Type) -> String {
    match kind {
        Type::NATIVE => "native".to_owned(),
        Type::VSM_ISOLATION => "VSM isolation".to_owned(),
        Type::SEV_SNP => "SEV-SNP".to_owned(),
        Type::TDX => "TDX".to_owned(),
        Type::SEV => "SEV".to_owned(),
        Type::SEV_ES => "SEV-ES".to_owned(),
        Type::CCA => "CCA".to_owned(),
        Type(other) => format!("platform {other:#x}"),
    }
}
