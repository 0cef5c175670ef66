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
use crate::{
    id_block::{AUTH_BYTES, BLOCK_BYTES},
    image::{ImageError, SevSnpOptions, TdxOptions},
    sev_snp::Policy,
    tdx::CpuidLeaf,
    v1,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SevSnp {
    policy: Option<Numeric<Policy>>,
    vmsa_features: Option<Numeric<Number>>,
    ghcb_version: Option<Numeric<Narrow>>,
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

/// What CreateLaunch is given, where who plans says nothing else.
pub(super) fn sev_snp(given: Option<&SevSnp>) -> SevSnpOptions {
    given.map_or_else(SevSnpOptions::default, |it| SevSnpOptions {
        guest_policy: it.policy.as_ref().map(|it| it.0),
        vmsa_features: it.vmsa_features.as_ref().map(|it| it.0.0),
        ghcb_version: it.ghcb_version.as_ref().map(|it| it.0.0),
        gosvw: bytes(it.gosvw.as_ref()),
    })
}

/// What CreateLaunch is given, where who plans says nothing else.
pub(super) fn tdx(given: Option<&Tdx>) -> TdxOptions {
    given.map_or_else(TdxOptions::default, |it| TdxOptions {
        attributes: it.attributes.as_ref().map(|it| it.0.0),
        xfam: it.xfam.as_ref().map(|it| it.0.0),
        mrconfigid: bytes(it.mrconfigid.as_ref()),
        mrowner: bytes(it.mrowner.as_ref()),
        mrownerconfig: bytes(it.mrownerconfig.as_ref()),
        cpuid: it.cpuid.iter().map(|it| it.0).collect(),
    })
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
            files.whole(block, "sev_snp.id_block", BLOCK_BYTES)?,
            files.whole(auth, "sev_snp.id_auth", AUTH_BYTES)?,
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
        host_data: bytes(given.host_data.as_ref()).unwrap_or_default(),
        vcek_disabled: given.vcek_disabled,
    };
    Ok(Some(finish).filter(|it| *it != v1::SevSnpFinish::default()))
}

fn bytes<const N: usize>(given: Option<&Typed<Exactly<N>>>) -> Option<Bytes> {
    given.map(|it| Bytes::copy_from_slice(&it.0.0))
}
