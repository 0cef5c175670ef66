//! The digests of one image for several numbers and types of vCPUs: a fleet has more than one shape.
//!
//! **Invariant:** a row is what [`Plan::digest`] gives for a plan made with its number and type, and pages that are the same are hashed once.

use stagepages_digest::{Value, snp::LaunchDigest};

use super::{Contents, Extent, Plan};
use crate::{
    cpu_type::CpuType,
    image::{Image, Options},
    v1::Platform,
};

/// One shape and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many vCPUs.
    pub vcpus: u32,
    /// Of which type; `None` for KVM's own signature.
    pub cpu_type: Option<CpuType>,
    /// What a launch of that shape ends in, or why there is none.
    pub digest: Result<Value, String>,
}

/// The digests for each number of vCPUs and each type, types first. What is measured without vCPUs has no rows.
#[must_use]
pub fn sweep(
    image: &Image,
    options: &Options,
    vcpus: &[u32],
    types: &[Option<CpuType>],
) -> Vec<Swept> {
    let mut hashed = None;
    let mut rows = Vec::new();
    for cpu_type in types {
        for count in vcpus {
            let options = Options {
                vcpus: Some(*count),
                cpu_signature: cpu_type.map(CpuType::signature),
                ..options.clone()
            };
            let digest = match image.plan(&options) {
                Ok(plan) if !measures_vcpus(plan.platform) => return Vec::new(),
                Ok(plan) => digest(&plan, &mut hashed),
                Err(error) => Err(error.to_string()),
            };
            rows.push(Swept {
                vcpus: *count,
                cpu_type: *cpu_type,
                digest,
            });
        }
    }
    rows
}

fn measures_vcpus(platform: Platform) -> bool {
    matches!(platform, Platform::SevSnp | Platform::Sim)
}

fn digest(plan: &Plan, hashed: &mut Option<(Vec<Extent>, LaunchDigest)>) -> Result<Value, String> {
    let pages = match hashed {
        Some((extents, pages)) if alike(extents, &plan.extents) => *pages,
        _ => {
            let pages = plan.snp_pages().map_err(|error| error.to_string())?;
            *hashed = Some((plan.extents.clone(), pages));
            pages
        }
    };
    plan.snp_vcpus(pages).map_err(|error| error.to_string())
}

fn alike(a: &[Extent], b: &[Extent]) -> bool {
    let same = |(a, b): (&Extent, &Extent)| {
        let place = |it: &Extent| (it.gpa(), it.pages(), it.page_type());
        let contents = match (a.contents(), b.contents()) {
            (Contents::Bytes(a), Contents::Bytes(b)) => a == b,
            (Contents::Zeros, Contents::Zeros) => true,
            // Whether two files are one is not known; then they are hashed again.
            (Contents::Bytes(_) | Contents::File(_) | Contents::Zeros, _) => false,
        };
        place(a) == place(b) && contents
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}
