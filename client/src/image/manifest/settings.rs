//! Settings of the confidential platforms.

use std::path::PathBuf;

use bytes::Bytes;
use serde::Deserialize;
use toml::Spanned;

use super::{
    Numeric, Typed,
    files::Files,
    values::{Exactly, Narrow, Number},
};
use crate::{image::ImageError, sev_snp::Policy, tdx::CpuidLeaf, v1};

const ID_BLOCK_BYTES: usize = 96;
const ID_AUTH_BYTES: usize = 4096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SevSnp {
    policy: Option<Numeric<Policy>>,
    #[serde(default)]
    vmsa_features: Numeric<Number>,
    #[serde(default)]
    ghcb_version: Numeric<Narrow>,
    gosvw: Option<Typed<Exactly<16>>>,
    id_block: Option<Spanned<PathBuf>>,
    id_auth: Option<Spanned<PathBuf>>,
    #[serde(default)]
    author_key: bool,
    host_data: Option<Typed<Exactly<32>>>,
    #[serde(default)]
    vcek_disabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tdx {
    attributes: Option<Numeric<Number>>,
    xfam: Option<Numeric<Number>>,
    mrconfigid: Option<Typed<Exactly<48>>>,
    mrowner: Option<Typed<Exactly<48>>>,
    mrownerconfig: Option<Typed<Exactly<48>>>,
    #[serde(default)]
    cpuid: Vec<Typed<CpuidLeaf>>,
}

/// What CreateLaunch is given.
pub(super) fn sev_snp(given: &SevSnp) -> v1::SevSnpSettings {
    v1::SevSnpSettings {
        guest_policy: given.policy.as_ref().map(|it| it.0.into()),
        vmsa_features: given.vmsa_features.0.0,
        ghcb_version: given.ghcb_version.0.0,
        gosvw: bytes(given.gosvw.as_ref()),
    }
}

/// What CreateLaunch is given.
pub(super) fn tdx(given: &Tdx) -> v1::TdxSettings {
    v1::TdxSettings {
        attributes: given.attributes.as_ref().map(|it| it.0.0),
        xfam: given.xfam.as_ref().map(|it| it.0.0),
        mrconfigid: bytes(given.mrconfigid.as_ref()),
        mrowner: bytes(given.mrowner.as_ref()),
        mrownerconfig: bytes(given.mrownerconfig.as_ref()),
        cpuid: given.cpuid.iter().map(|it| it.0.into()).collect(),
    }
}

/// What FinishLaunch is given, if anything.
pub(super) fn finish(
    files: &mut Files<'_>,
    given: Option<&SevSnp>,
) -> Result<Option<v1::SevSnpFinish>, ImageError> {
    let Some(given) = given else {
        return Ok(None);
    };
    let (id_block, id_auth) = match (&given.id_block, &given.id_auth) {
        (Some(block), Some(auth)) => (
            files.whole(block, "sev_snp.id_block", ID_BLOCK_BYTES)?,
            files.whole(auth, "sev_snp.id_auth", ID_AUTH_BYTES)?,
        ),
        (None, None) => (Vec::new(), Vec::new()),
        (Some(block), None) => {
            let problem =
                "an ID block goes with its authentication information; give `id_auth` too";
            return Err(files.text.at(block, "sev_snp.id_block", problem));
        }
        (None, Some(auth)) => {
            let problem = "authentication information goes with an ID block; give `id_block` too";
            return Err(files.text.at(auth, "sev_snp.id_auth", problem));
        }
    };
    let finish = v1::SevSnpFinish {
        id_block: id_block.into(),
        id_auth: id_auth.into(),
        author_key: given.author_key,
        host_data: bytes(given.host_data.as_ref()),
        vcek_disabled: given.vcek_disabled,
    };
    Ok(Some(finish).filter(|it| *it != v1::SevSnpFinish::default()))
}

fn bytes<const N: usize>(given: Option<&Typed<Exactly<N>>>) -> Bytes {
    given.map_or_else(Bytes::new, |it| Bytes::copy_from_slice(&it.0.0))
}
