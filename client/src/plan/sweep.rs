//! The digests of one image for several numbers and types of vCPUs: a fleet has more than one shape.
//!
//! **Invariant:** a row is what [`Plan::digest`] gives for a plan made with its number and type, names no type that no vCPU has, and pages that are the same are hashed once.

use stagepages_digest::{Value, snp::LaunchDigest};

use super::{Contents, Extent, Plan, registers};
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
    /// Of which type; `None` where no vCPU begins with its signature, for the image says how they begin: then it is the same for every type.
    pub cpu_type: Option<CpuType>,
    /// What a launch of that shape ends in, or why there is none.
    pub digest: Result<Value, String>,
}

/// The digests for each number of vCPUs and each type, types first. What is measured without vCPUs has no rows, and what is the same for
/// every type one for each number.
#[must_use]
pub fn sweep(image: &Image, options: &Options, vcpus: &[u32], types: &[CpuType]) -> Vec<Swept> {
    let mut hashed = None;
    let mut rows = Vec::new();
    for cpu_type in types {
        for count in vcpus {
            let options = Options {
                vcpus: Some(*count),
                cpu_signature: Some(cpu_type.signature()),
                ..options.clone()
            };
            let (cpu_type, digest) = match image.plan(&options) {
                Ok(plan) if !measures_vcpus(plan.platform) => return Vec::new(),
                Ok(plan) => {
                    let cpu_type = Some(*cpu_type).filter(|it| begins_as(&plan, *it));
                    if cpu_type.is_none() && rows.iter().any(|row| is_for_any(row, *count)) {
                        continue;
                    }
                    (cpu_type, digest(&plan, &mut hashed))
                }
                Err(error) => (Some(*cpu_type), Err(error.to_string())),
            };
            rows.push(Swept {
                vcpus: *count,
                cpu_type,
                digest,
            });
        }
    }
    rows
}

/// Whether any vCPU has the type's signature in RDX.
fn begins_as(plan: &Plan, cpu_type: CpuType) -> bool {
    let signature = u64::from(cpu_type.signature());
    let mut all = plan.vcpus.iter().filter_map(registers);
    all.any(|it| it.general.rdx == signature)
}

fn is_for_any(row: &Swept, vcpus: u32) -> bool {
    row.vcpus == vcpus && row.cpu_type.is_none()
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
            // Each plan opens its files anew.
            (Contents::File(a), Contents::File(b)) => a.is_same(b),
            (Contents::Zeros, Contents::Zeros) => true,
            (Contents::Bytes(_) | Contents::File(_) | Contents::Zeros, _) => false,
        };
        place(a) == place(b) && contents
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Option<&str> = Some("EPYC-v4");
    const MILAN: Option<&str> = Some("EPYC-Milan");

    fn swept(vcpus: &str) -> Vec<Swept> {
        let text = format!(
            "version = 1\nplatform = 'sev-snp'\nmemory = ['0x0+1M']\n{vcpus}\n[[extent]]\ngpa = 0\ntype = 'zero'\nlength = 4096\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("launch.toml");
        std::fs::write(&path, text).unwrap();
        let image = Image::open(&path, None).unwrap();
        let types = [V4, MILAN].map(|name| name.unwrap().parse().unwrap());
        sweep(&image, &Options::default(), &[1, 2], &types)
    }

    fn labels(rows: &[Swept]) -> Vec<(u32, Option<String>)> {
        let label = |row: &Swept| (row.vcpus, row.cpu_type.map(|it| it.to_string()));
        rows.iter().map(label).collect()
    }

    fn named<const N: usize>(rows: [(u32, Option<&str>); N]) -> Vec<(u32, Option<String>)> {
        let row = |(vcpus, name): (_, Option<&str>)| (vcpus, name.map(str::to_owned));
        rows.map(row).into()
    }

    #[test]
    fn a_type_that_no_vcpu_has_labels_no_row() {
        let reset = swept("");
        assert_eq!(
            labels(&reset),
            named([(1, V4), (2, V4), (1, MILAN), (2, MILAN)])
        );
        assert_ne!(reset[0].digest, reset[2].digest);
        // The image says how vCPU 0 begins: alone it is the same for every type.
        let first = swept("vcpus = ['0=long:0:0x1000']");
        assert_eq!(labels(&first), named([(1, None), (2, V4), (2, MILAN)]));
        assert_ne!(first[1].digest, first[2].digest);
    }

    #[test]
    fn what_cannot_be_planned_is_told_under_the_type_that_was_asked_for() {
        let both = swept("vcpus = ['0=long:0:0x1000', '1=long:0:0x1000']");
        assert_eq!(labels(&both), named([(1, V4), (2, None), (1, MILAN)]));
        let is_planned: Vec<_> = both.iter().map(|row| row.digest.is_ok()).collect();
        assert_eq!(is_planned, [false, true, false]);
    }
}
