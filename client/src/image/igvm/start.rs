//! Initialization headers: the guest policy, and the regions that another loader might move.
//!
//! **Invariant:** nothing is relocated; every region stays where the file has it, and its memory is there.

use igvm_defs::{
    IGVM_VHS_GUEST_POLICY, IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_RELOCATABLE_REGION,
    IgvmVariableHeaderType as Kind, TdxPolicy,
};

use super::{
    super::{ImageError, SevSnpOptions, TdxOptions},
    fixed::File,
    memory::Span,
    notes::Notes,
    platform::{self, Target},
    walk::{self, Raw, Section},
};
use crate::{
    plain,
    plan::{Finding, Severity},
    sev_snp::Policy,
    v1::sev_snp_settings::GuestPolicy,
};

/// CoRIM document and its signature, which igvm_defs has behind a feature.
const CORIM: [u32; 2] = [0x104, 0x105];
/// Characters of a version that are shown.
const SHOWN: usize = 100;
/// Attributes of a TD (Intel TDX module ABI, ATTRIBUTES).
const TD_DEBUG: u64 = 1;
const TD_SEPT_VE_DISABLE: u64 = 1 << 28;
const TD_MIGRATABLE: u64 = 1 << 29;

/// What the headers of this section say.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// And where its header is.
    policy: Option<(u64, u64)>,
    /// Memory that is there whether anything is loaded to it or not.
    pub(super) required: Vec<Span>,
}

/// # Errors
/// A header is broken, or not known and not optional.
pub(super) fn read(file: &File, target: &Target, notes: &mut Notes) -> Result<Start, ImageError> {
    let mut start = Start::default();
    for raw in walk::headers(file) {
        let raw = raw?;
        match raw.section() {
            Some(Section::Initialization) => start.take(&raw, target, notes)?,
            Some(Section::Directive) => break,
            Some(Section::Platform) | None => {}
        }
    }
    Ok(start)
}

impl Start {
    fn take(
        &mut self,
        raw: &Raw<'_>,
        target: &Target,
        notes: &mut Notes,
    ) -> Result<(), ImageError> {
        match raw.kind {
            Kind::IGVM_VHT_GUEST_POLICY => self.policy(raw, target),
            Kind::IGVM_VHT_RELOCATABLE_REGION => {
                let header: IGVM_VHS_RELOCATABLE_REGION = raw.read()?;
                let (gpa, size) = (header.relocation_region_gpa, header.relocation_region_size);
                self.region(raw, target, header.compatibility_mask, gpa, size, notes)
            }
            Kind::IGVM_VHT_PAGE_TABLE_RELOCATION_REGION => {
                let header: IGVM_VHS_PAGE_TABLE_RELOCATION = raw.read()?;
                let mask = header.compatibility_mask;
                self.region(raw, target, mask, header.gpa, header.size, notes)
            }
            Kind::IGVM_VHT_CCA_POLICY => Ok(()),
            Kind::IGVM_VHT_VERSION_STRING => {
                notes.once(Severity::Note, "IGVM_VERSION", raw.offset, || {
                    let text = String::from_utf8_lossy(raw.body());
                    let text: String = text.chars().take(SHOWN).collect();
                    format!("the image calls its version `{}`", plain(&text))
                });
                Ok(())
            }
            Kind(kind) if CORIM.contains(&kind) => {
                if target.takes(mask_of(raw)?) {
                    notes.once(Severity::Note, "CORIM", raw.offset, || {
                        "the image has reference values (CoRIM), which are for who verifies its reports; they were not looked at".to_owned()
                    });
                }
                Ok(())
            }
            _ => platform::unknown(raw, notes),
        }
    }

    fn policy(&mut self, raw: &Raw<'_>, target: &Target) -> Result<(), ImageError> {
        let header: IGVM_VHS_GUEST_POLICY = raw.read()?;
        if !target.takes(header.compatibility_mask) {
            return Ok(());
        }
        match self.policy.replace((header.policy, raw.offset)) {
            None => Ok(()),
            Some((first, _)) => Err(raw.wrong(format!(
                "policy {:#x}, and there is one of {first:#x} for {} already; make the file with one",
                header.policy,
                target.name()
            ))),
        }
    }

    fn region(
        &mut self,
        raw: &Raw<'_>,
        target: &Target,
        mask: u32,
        gpa: u64,
        size: u64,
        notes: &mut Notes,
    ) -> Result<(), ImageError> {
        if !target.takes(mask) {
            return Ok(());
        }
        let Some(span) = Span::new(raw, gpa, size)? else {
            return Ok(());
        };
        self.required.push(span);
        notes.once(Severity::Note, "RELOCATABLE", raw.offset, || {
            format!("the {size:#x} bytes at {gpa:#x} may be moved; they are loaded where the file has them")
        });
        Ok(())
    }

    /// Settings of sev-snp: what is asked for, and what the image says where nothing is; `features` are those of its save areas.
    pub(super) fn sev_snp(
        &self,
        asked: &SevSnpOptions,
        features: Option<u64>,
        notes: &mut Notes,
    ) -> SevSnpOptions {
        let number = { self.policy }.map(|(number, _)| GuestPolicy::PolicyNumber(number));
        let image = SevSnpOptions {
            guest_policy: number.map(Policy::from),
            vmsa_features: features,
            ..SevSnpOptions::default()
        };
        let mut findings = Vec::new();
        let settings = asked.over(&image, &mut findings);
        if settings.guest_policy.is_none() {
            let text = format!(
                "the image has no guest policy; {} is taken: name the one that you want",
                policy(&settings)
            );
            findings.push(Finding::new(Severity::Warning, "GUEST_POLICY", text));
        }
        for it in findings {
            notes.tell(match self.policy {
                Some((_, at)) if it.code == "GUEST_POLICY" => it.at_offset(at),
                Some(_) | None => it,
            });
        }
        settings
    }

    /// Settings of tdx: what is asked for, and the image's attributes where none are.
    pub(super) fn tdx(&self, asked: &TdxOptions, notes: &mut Notes) -> TdxOptions {
        if let (None, Some((number, at))) = (asked.attributes, self.policy) {
            tell_unknown(number, at, notes);
        }
        let image = TdxOptions {
            attributes: { self.policy }.map(|(number, _)| attributes(number)),
            ..TdxOptions::default()
        };
        let mut findings = Vec::new();
        let settings = asked.over(&image, &mut findings);
        for it in findings {
            // The policy is all that the image says.
            notes.tell(match self.policy {
                Some((_, at)) => it.at_offset(at),
                None => it,
            });
        }
        settings
    }
}

fn tell_unknown(number: u64, at: u64, notes: &mut Notes) {
    if TdxPolicy::from(number).reserved() != 0 {
        notes.once(Severity::Warning, "TD_POLICY", at, || {
            format!("the image's policy {number:#x} has bits beyond 0 to 2, which stand for nothing known and were left out; name the attributes yourself")
        });
    }
}

/// The TD attributes that an image's policy stands for.
fn attributes(number: u64) -> u64 {
    let policy = TdxPolicy::from(number);
    [
        (policy.debug_allowed(), TD_DEBUG),
        (policy.sept_ve_disable(), TD_SEPT_VE_DISABLE),
        (policy.migratable(), TD_MIGRATABLE),
    ]
    .into_iter()
    .filter(|(set, _)| *set != 0)
    .fold(0, |all, (_, bit)| all | bit)
}

/// The policy that a launch with these settings has.
pub(super) fn policy(settings: &SevSnpOptions) -> Policy {
    let default = GuestPolicy::PolicyNumber(Policy::DEFAULT);
    settings.guest_policy.unwrap_or_else(|| default.into())
}

/// The compatibility mask of a header that begins with it.
///
/// # Errors
/// It is too short for one.
pub(super) fn mask_of(raw: &Raw<'_>) -> Result<u32, ImageError> {
    match raw.body().first_chunk() {
        Some(mask) => Ok(u32::from_le_bytes(*mask)),
        None => Err(raw.wrong(format!(
            "it has {:#x} bytes, and its compatibility mask 4; make the file anew",
            raw.body().len()
        ))),
    }
}
