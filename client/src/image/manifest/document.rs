//! The manifest as TOML has it.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de::Error as _};
use toml::Spanned;

use super::{
    Numeric, Typed,
    place::Text,
    registers::Registers,
    settings::{SevSnp, Tdx},
    values::{Exactly, Hex, Length, Narrow, Number},
};
use crate::{
    addr::{Gpa, Region},
    image::ImageError,
    plan::MOST_REGIONS,
    v1,
    vcpu::Vcpu,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) version: Spanned<Numeric<Number>>,
    pub(super) platform: Option<Spanned<Platform>>,
    #[serde(deserialize_with = "memory")]
    pub(super) memory: Vec<Typed<Region>>,
    pub(super) vcpu_count: Option<Spanned<Numeric<Narrow>>>,
    #[serde(default)]
    pub(super) vcpus: Vec<Spanned<Typed<Vcpu>>>,
    pub(super) expected_digest: Option<Typed<Exactly<48>>>,
    #[serde(rename = "extent")]
    pub(super) extents: Vec<Spanned<Extent>>,
    #[serde(default)]
    pub(super) vcpu_registers: Vec<Spanned<Registers>>,
    pub(super) sev_snp: Option<SevSnp>,
    pub(super) tdx: Option<Tdx>,
}

impl Document {
    pub(super) fn parse(text: Text<'_>) -> Result<Self, ImageError> {
        toml::from_str(text.0).map_err(|error| text.refused(error))
    }
}

/// Regions, no more than a launch can have.
fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Typed<Region>>, D::Error> {
    let regions = Vec::deserialize(deserializer)?;
    match regions.len() {
        ..=MOST_REGIONS => Ok(regions),
        count => Err(D::Error::custom(format!(
            "{count} memory regions, and a launch has at most {MOST_REGIONS}; give fewer and larger ones"
        ))),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Extent {
    pub(super) gpa: Numeric<Gpa>,
    #[serde(rename = "type")]
    pub(super) page_type: PageType,
    pub(super) file: Option<Spanned<PathBuf>>,
    pub(super) offset: Option<Spanned<Numeric<Length>>>,
    pub(super) length: Option<Spanned<Numeric<Length>>>,
    pub(super) hex: Option<Spanned<Typed<Hex>>>,
    #[serde(default)]
    pub(super) pad: bool,
    pub(super) name: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Platform {
    Sim,
    Kvm,
    SevSnp,
    Tdx,
}

impl From<Platform> for v1::Platform {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Sim => Self::Sim,
            Platform::Kvm => Self::Kvm,
            Platform::SevSnp => Self::SevSnp,
            Platform::Tdx => Self::Tdx,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PageType {
    Normal,
    Zero,
    Unmeasured,
    Secrets,
    Cpuid,
}

impl From<PageType> for v1::PageType {
    fn from(page_type: PageType) -> Self {
        match page_type {
            PageType::Normal => Self::Normal,
            PageType::Zero => Self::Zero,
            PageType::Unmeasured => Self::Unmeasured,
            PageType::Secrets => Self::Secrets,
            PageType::Cpuid => Self::Cpuid,
        }
    }
}
