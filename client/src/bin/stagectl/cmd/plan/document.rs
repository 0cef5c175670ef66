//! A plan as a document.
//!
//! JSON: `{"image", "format", "platform", "memory": [{"gpa", "size"}], "pages", "extents": [{"order", "gpa", "pages", "page_type", "source", "name"}],
//! "vcpus": ["0=…"], "sev_snp", "tdx", "id_block", "findings": [{"severity", "code", "gpa", "offset", "message"}], "times": [{"platform", "seconds",
//! "assumption"}], "digest", "sweep": [{"vcpus", "vcpu_type", "digest", "error"}], "svg"}`. `source` is `bytes`, `file` or `none`, `severity` is `note`, `warning`
//! or `error`; settings are as in a launch's document, `digest` is null where nothing is measured, and with no rows in `sweep` where an error but one of the
//! digest or the ID block keeps any launch from its end; `svg` is null where no picture was drawn into a file, `vcpu_type` where no vCPU has one: then the row
//! is the same for every type.
//!
//! **Invariant:** what the text says is in the JSON too.

use serde::Serialize;
use stagepages_client::{
    plan::{Contents, Estimate, Extent, Finding, Plan, Swept},
    vcpu::Vcpu,
    words,
};

use crate::{
    json::{
        RegionDocument, hex,
        settings::{SevSnpDocument, TdxDocument},
    },
    picture::Drawn,
};

#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) image: String,
    pub(super) format: String,
    pub(super) platform: String,
    pub(super) memory: Vec<RegionDocument>,
    pub(super) pages: u64,
    pub(super) extents: Vec<ExtentDocument>,
    pub(super) vcpus: Vec<String>,
    sev_snp: Option<SevSnpDocument>,
    tdx: Option<TdxDocument>,
    pub(super) id_block: bool,
    pub(super) findings: Vec<FindingDocument>,
    pub(super) times: Vec<TimeDocument>,
    pub(super) digest: Option<String>,
    pub(super) sweep: Vec<SweepDocument>,
    pub(super) svg: Option<String>,
    /// The picture, for people.
    #[serde(skip)]
    pub(super) map: Option<String>,
    /// The same, for people.
    #[serde(skip)]
    pub(super) spec: stagepages_client::v1::LaunchSpec,
    #[serde(skip)]
    pub(super) regions: Vec<stagepages_client::addr::Region>,
}

#[derive(Debug, Serialize)]
pub(super) struct ExtentDocument {
    pub(super) order: usize,
    pub(super) gpa: String,
    pub(super) pages: u64,
    pub(super) page_type: String,
    pub(super) source: &'static str,
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct FindingDocument {
    severity: String,
    code: &'static str,
    gpa: Option<String>,
    offset: Option<String>,
    message: String,
    #[serde(skip)]
    pub(super) text: String,
}

#[derive(Debug, Serialize)]
pub(super) struct TimeDocument {
    pub(super) platform: String,
    pub(super) seconds: f64,
    pub(super) assumption: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct SweepDocument {
    pub(super) vcpus: u32,
    pub(super) vcpu_type: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) error: Option<String>,
}

impl Document {
    pub(super) fn new(
        image: &str,
        plan: &Plan,
        findings: Vec<Finding>,
        digest: Option<[u8; 48]>,
        sweep: Vec<Swept>,
        drawn: Drawn,
    ) -> Self {
        Self {
            image: image.to_owned(),
            format: plan.format.clone(),
            platform: words::platform(plan.platform.into()).into(),
            memory: { plan.memory.iter() }
                .map(|&region| RegionDocument::from(region))
                .collect(),
            pages: plan.pages(),
            extents: { plan.extents.iter().enumerate() }
                .map(ExtentDocument::from)
                .collect(),
            vcpus: { plan.vcpus.iter() }
                .map(|state| Vcpu::from(state).to_string())
                .collect(),
            sev_snp: plan.sev_snp.as_ref().map(SevSnpDocument::from),
            tdx: plan.tdx.as_ref().map(TdxDocument::from),
            id_block: plan
                .finish
                .as_ref()
                .is_some_and(|it| !it.id_block.is_empty()),
            findings: findings.into_iter().map(FindingDocument::from).collect(),
            times: plan.times().into_iter().map(TimeDocument::from).collect(),
            digest: digest.map(|digest| hex(&digest)),
            sweep: sweep.into_iter().map(SweepDocument::from).collect(),
            svg: drawn.svg,
            map: drawn.map,
            spec: plan.spec(),
            regions: plan.memory.clone(),
        }
    }
}

impl From<(usize, &Extent)> for ExtentDocument {
    fn from((order, extent): (usize, &Extent)) -> Self {
        Self {
            order,
            gpa: extent.gpa().to_string(),
            pages: extent.pages(),
            page_type: words::page_type(extent.page_type().into()).into(),
            source: match extent.contents() {
                Contents::Bytes(_) => "bytes",
                Contents::File(_) => "file",
                Contents::Zeros => "none",
            },
            name: extent.name().to_owned(),
        }
    }
}

impl From<Finding> for FindingDocument {
    fn from(finding: Finding) -> Self {
        Self {
            text: finding.to_string(),
            severity: finding.severity.to_string(),
            code: finding.code,
            gpa: finding.gpa.map(|gpa| gpa.to_string()),
            offset: finding.offset.map(|offset| format!("{offset:#x}")),
            message: finding.message,
        }
    }
}

impl From<Estimate> for TimeDocument {
    fn from(estimate: Estimate) -> Self {
        Self {
            platform: words::platform(estimate.platform.into()).into(),
            seconds: estimate.time.as_secs_f64(),
            assumption: estimate.assumption,
        }
    }
}

impl From<Swept> for SweepDocument {
    fn from(row: Swept) -> Self {
        let (digest, error) = match row.digest {
            Ok(digest) => (Some(hex(&digest)), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            vcpus: row.vcpus,
            vcpu_type: row.cpu_type.map(|it| it.to_string()),
            digest,
            error,
        }
    }
}
