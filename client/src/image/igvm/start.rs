//! Initialization headers: the guest policy, and the regions that another loader might move.
//!
//! **Invariant:** nothing is relocated; every region stays where the file has it, and its memory is there.

use igvm_defs::{
    IGVM_VHS_GUEST_POLICY, IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_RELOCATABLE_REGION,
    IgvmVariableHeaderType as Kind, TdxPolicy,
};

use super::{
    super::ImageError,
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
    v1::{SevSnpSettings, TdxSettings, sev_snp_settings::GuestPolicy},
};

/// CoRIM document and its signature, which igvm_defs has behind a feature.
const CORIM: [u32; 2] = [0x104, 0x105];
/// Characters of a version that are shown.
const SHOWN: usize = 100;
/// The policy of a launch that names none.
const DEFAULT_POLICY: u64 = 0x3_0000;
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

    /// Settings of sev-snp: what the caller wants, and what the image says where the caller says nothing.
    pub(super) fn sev_snp(
        &self,
        wanted: Option<&SevSnpSettings>,
        features: u64,
        notes: &mut Notes,
    ) -> SevSnpSettings {
        let mut settings = wanted.cloned().unwrap_or_else(|| SevSnpSettings {
            vmsa_features: features,
            ..SevSnpSettings::default()
        });
        match (self.policy, settings.guest_policy) {
            (Some((policy, _)), None) => {
                settings.guest_policy = Some(GuestPolicy::PolicyNumber(policy));
            }
            (Some((policy, at)), Some(_)) if policy != policy_number(&settings) => {
                notes.once(Severity::Warning, "GUEST_POLICY", at, || {
                    format!(
                        "the image's guest policy is {policy:#x}, and {:#x} was asked for and is taken; leave the option out for the image's",
                        policy_number(&settings)
                    )
                });
            }
            (None, None) => notes.tell(Finding::new(
                Severity::Warning,
                "GUEST_POLICY",
                format!("the image has no guest policy; {DEFAULT_POLICY:#x} is taken: name the one that you want"),
            )),
            (_, Some(_)) => {}
        }
        settings
    }

    /// Settings of tdx: what the caller wants, and the image's attributes where the caller names none.
    pub(super) fn tdx(&self, wanted: Option<&TdxSettings>, notes: &mut Notes) -> TdxSettings {
        let mut settings = wanted.cloned().unwrap_or_default();
        if let (None, Some((policy, at))) = (settings.attributes, self.policy) {
            settings.attributes = Some(attributes(policy, at, notes));
        }
        settings
    }
}

/// The TD attributes that an image's policy stands for.
fn attributes(number: u64, at: u64, notes: &mut Notes) -> u64 {
    let policy = TdxPolicy::from(number);
    if policy.reserved() != 0 {
        notes.once(Severity::Warning, "TD_POLICY", at, || {
            format!("the image's policy {number:#x} has bits beyond 0 to 2, which stand for nothing known and were left out; name the attributes yourself")
        });
    }
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
pub(super) fn policy_number(settings: &SevSnpSettings) -> u64 {
    { settings.guest_policy }.map_or(DEFAULT_POLICY, |policy| Policy::from(policy).number())
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
