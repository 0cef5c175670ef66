//! The settings of an object as options of a plan.
//!
//! **Invariant:** the same words make the same plan as on the command line of `stagectl`; what cannot be read is told by its field.

use std::{fmt::Display, str::FromStr};

use bytes::Bytes;
use stagepages_client::{
    addr::{Region, parse_number},
    cpu_type::CpuType,
    image::{self, Input, SevSnpOptions, TdxOptions},
    sev_snp::Policy,
    tdx::CpuidLeaf,
    v1,
};

use crate::{
    fault::Fault,
    resources::{Format, Platform, Settings},
};

impl From<Platform> for v1::Platform {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::SevSnp => Self::SevSnp,
            Platform::Tdx => Self::Tdx,
            Platform::Kvm => Self::Kvm,
            Platform::Sim => Self::Sim,
        }
    }
}

impl Platform {
    /// The platform's word: of its resource, and of its devices' ids.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::SevSnp => "sev-snp",
            Self::Tdx => "tdx",
            Self::Kvm => "kvm",
            Self::Sim => "sim",
        }
    }
}

impl From<Format> for image::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Igvm => Self::Igvm,
            Format::Elf => Self::Elf,
            Format::Bzimage => Self::BzImage,
            Format::Firmware => Self::Firmware,
        }
    }
}

/// What the object cannot say.
pub(crate) const INVALID_SPEC: &str = "INVALID_SPEC";

fn wrong(field: &str, error: &impl Display) -> Fault {
    Fault::lasting(INVALID_SPEC, format!("spec.settings.{field}: {error}"))
}

fn parsed<T: FromStr<Err: Display>>(field: &str, text: Option<&str>) -> Result<Option<T>, Fault> {
    let parsed = text.map(T::from_str).transpose();
    parsed.map_err(|error| wrong(field, &error))
}

fn number(field: &str, text: Option<&str>) -> Result<Option<u64>, Fault> {
    let parsed = text.map(parse_number).transpose();
    parsed.map_err(|error| wrong(field, &error))
}

fn narrow(field: &str, number: Option<i32>) -> Result<Option<u32>, Fault> {
    let narrowed = number.map(u32::try_from).transpose();
    narrowed.map_err(|error| wrong(field, &error))
}

fn bytes(field: &str, text: Option<&str>) -> Result<Option<Bytes>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let digits: Option<Vec<_>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|it| u8::try_from(it).ok()))
        .collect();
    let digits = digits
        .filter(|it| it.len().is_multiple_of(2))
        .ok_or_else(|| {
            wrong(
                field,
                &format!("{text:?} are no bytes; give two hex digits for each"),
            )
        })?;
    let whole = digits.chunks_exact(2).map(|pair| match pair {
        [high, low] => high << 4 | low,
        _ => 0,
    });
    Ok(Some(whole.collect()))
}

/// The 48 bytes of a digest.
pub(crate) fn digest(field: &str, text: &str) -> Result<[u8; 48], Fault> {
    let bytes = bytes(field, Some(text))?.unwrap_or_default();
    bytes.as_ref().try_into().map_err(|_length| {
        let text = format!("{field}: {text:?} is no launch digest; give 48 bytes, 96 hex digits");
        Fault::lasting(INVALID_SPEC, text)
    })
}

/// Files that the settings name, read.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) kernel: Option<Input>,
    pub(crate) initrd: Option<Input>,
    pub(crate) cpuid_page: Option<Bytes>,
}

/// What a plan is made with.
pub(crate) fn options(
    platform: Platform,
    settings: &Settings,
    files: Files,
) -> Result<image::Options, Fault> {
    let snp = settings.sev_snp.clone().unwrap_or_default();
    let tdx = settings.tdx.clone().unwrap_or_default();
    let memory = settings.memory.iter();
    let memory = memory.map(|text| {
        text.parse::<Region>()
            .map_err(|error| wrong("memory", &error))
    });
    let leaves = tdx.cpuid.iter();
    let leaves = leaves.map(|text| {
        text.parse::<CpuidLeaf>()
            .map_err(|error| wrong("tdx.cpuid", &error))
    });
    Ok(image::Options {
        platform: Some(platform.into()),
        vcpus: narrow("vcpus", settings.vcpus)?,
        cpu_signature: parsed::<CpuType>("vcpuType", settings.vcpu_type.as_deref())?
            .map(CpuType::signature),
        sev_snp: SevSnpOptions {
            guest_policy: parsed::<Policy>("sevSnp.policy", snp.policy.as_deref())?,
            vmsa_features: number("sevSnp.vmsaFeatures", snp.vmsa_features.as_deref())?,
            ghcb_version: narrow("sevSnp.ghcbVersion", snp.ghcb_version)?,
            gosvw: bytes("sevSnp.gosvw", snp.gosvw.as_deref())?,
        },
        tdx: TdxOptions {
            attributes: number("tdx.attributes", tdx.attributes.as_deref())?,
            xfam: number("tdx.xfam", tdx.xfam.as_deref())?,
            mrconfigid: bytes("tdx.mrconfigid", tdx.mrconfigid.as_deref())?,
            mrowner: bytes("tdx.mrowner", tdx.mrowner.as_deref())?,
            mrownerconfig: bytes("tdx.mrownerconfig", tdx.mrownerconfig.as_deref())?,
            cpuid: leaves.collect::<Result<_, _>>()?,
        },
        kernel: files.kernel,
        initrd: files.initrd,
        append: settings.append.clone(),
        memory: memory.collect::<Result<_, _>>()?,
        cpuid_page: files.cpuid_page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(platform: Platform, settings: &str) -> Result<image::Options, Fault> {
        options(
            platform,
            &serde_json::from_str(settings).unwrap(),
            Files::default(),
        )
    }

    #[test]
    fn every_setting_reaches_its_option() {
        let snp = r#"{"vcpus": 2, "vcpuType": "EPYC-v4", "append": "quiet", "memory": ["0x0+1G"],
            "sevSnp": {"policy": "smt", "vmsaFeatures": "0x20", "ghcbVersion": 2, "gosvw": "000102030405060708090a0b0c0d0e0f"}}"#;
        let made = of(Platform::SevSnp, snp).unwrap();
        assert_eq!(
            (made.platform, made.vcpus),
            (Some(v1::Platform::SevSnp), Some(2))
        );
        assert!(made.cpu_signature.is_some() && made.append.as_deref() == Some("quiet"));
        assert_eq!(made.memory, ["0x0+1G".parse().unwrap()]);
        assert_eq!(made.sev_snp.guest_policy.unwrap().number(), 0x3_0000);
        assert_eq!(
            (made.sev_snp.vmsa_features, made.sev_snp.ghcb_version),
            (Some(0x20), Some(2))
        );
        assert_eq!(made.sev_snp.gosvw.unwrap()[..3], [0, 1, 2]);
        let id = "ab".repeat(48);
        let tdx = format!(
            r#"{{"tdx": {{"attributes": "0x10000000", "xfam": "7", "mrconfigid": "{id}", "mrowner": "{id}", "mrownerconfig": "{id}", "cpuid": ["0x80000008:0x300000:0:0:0"]}}}}"#
        );
        let made = of(Platform::Tdx, &tdx).unwrap().tdx;
        assert_eq!((made.attributes, made.xfam), (Some(0x1000_0000), Some(7)));
        assert_eq!(made.mrconfigid.unwrap(), vec![0xab; 48]);
        assert!(made.mrowner.is_some() && made.mrownerconfig.is_some() && made.cpuid.len() == 1);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_field() {
        for (settings, field) in [
            (r#"{"vcpuType": "Xeon"}"#, "vcpuType"),
            (r#"{"memory": ["1G"]}"#, "memory"),
            (r#"{"sevSnp": {"policy": "all"}}"#, "sevSnp.policy"),
            (r#"{"sevSnp": {"gosvw": "0"}}"#, "sevSnp.gosvw"),
            (r#"{"tdx": {"cpuid": ["1"]}}"#, "tdx.cpuid"),
            (r#"{"vcpus": -1}"#, "vcpus"),
        ] {
            let fault = of(Platform::SevSnp, settings).unwrap_err();
            assert!(fault.is_lasting && fault.message.contains(field), "{fault}");
        }
        digest("expectedLaunchDigest", &"0".repeat(95)).unwrap_err();
        assert_eq!(
            digest("expectedLaunchDigest", &"0f".repeat(48)),
            Ok([0xf; 48])
        );
    }
}
