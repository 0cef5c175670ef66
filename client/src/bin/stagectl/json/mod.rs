//! The JSON documents. Their shape is stable: members may be added, none is renamed, removed or given another type.
//!
//! Addresses are strings in hex (`"0x1000"`), digests and hashes strings in hex without `0x`; sizes are numbers of bytes, and counts
//! numbers. Page types, states and reasons are the API's words (`"NORMAL"`, `"STAGING"`), platforms as on the command line
//! (`"sev-snp"`), vCPU states too (`"0=real:0x0:0x1000"`). Times are RFC 3339. What is not known or not there is `null`, never missing.
//!
//! | command                                    | document                        |
//! |--------------------------------------------|---------------------------------|
//! | `launch create`, `get`, `finish`, `abort`  | [`LaunchDocument`]              |
//! | `launch renew`, `set-vcpu`, `start`, `stop` | [`LaunchDocument`]             |
//! | `launch console`                           | in the command's file           |
//! | `launch watch`                             | [`LaunchDocument`], one a line  |
//! | `launch list`                              | `{"launches": [LaunchDocument]}`|
//! | `launch pages`, `result`, `verify`, `delete`, `rejected-cpuid` | in the command's file |
//! | `id-block create`, `check`                 | in `cmd/id_block/document.rs`   |
//! | `image push`, `list`, `get`, `rm`          | in `cmd/image`                  |
//! | `node`                                     | in the command's file           |
//! | `diff`                                     | in `cmd/diff/document.rs`       |
//! | `launch stage`                             | in `cmd/launch/stage/report.rs` |
//! | `plan`, `digest`, `stage`                  | in the command's file           |
//! | a failure                                  | [`ErrorDocument`]               |
//!
//! **Invariant:** never derives from the proto's messages, whose JSON form is another one (numbers as strings, base64).

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use stagepages_client::{
    StagepagesError,
    addr::{Gpa, Region},
    v1,
    vcpu::Vcpu,
    words,
};

pub(crate) mod settings;

pub(crate) use stagepages_client::hex::digits as hex;

use settings::{SevSnpDocument, TdxDocument};

/// `{"error": {…}}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorDocument {
    pub(crate) error: ErrorDetails,
}

/// What happened. `reason` and `code` are null if the error is none of the API's, `code` also if no call was refused.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorDetails {
    pub(crate) what: String,
    pub(crate) hint: String,
    pub(crate) reason: Option<String>,
    pub(crate) code: Option<String>,
    /// By which the call is found in the daemon's log.
    pub(crate) request: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) violations: Vec<Violation>,
    /// More lines for people of what the metadata says.
    #[serde(skip)]
    pub(crate) more: Vec<String>,
}

/// A field, precondition or quota that is wrong.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Violation {
    pub(crate) subject: String,
    pub(crate) description: String,
}

impl ErrorDocument {
    /// An error of this program's own.
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        let error = ErrorDetails {
            what: what.into(),
            hint: hint.into(),
            reason: None,
            code: None,
            request: None,
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            more: Vec::new(),
        };
        Self { error }
    }
}

impl From<&StagepagesError> for ErrorDocument {
    fn from(error: &StagepagesError) -> Self {
        let violations = error.violations().iter().map(|it| Violation {
            subject: it.subject.clone(),
            description: it.description.clone(),
        });
        let retry = error
            .retry_after()
            .map(|delay| format!("; the daemon asks to wait {delay:?} before a repeat"))
            .unwrap_or_default();
        Self {
            error: ErrorDetails {
                what: error.what(),
                hint: format!("{}{retry}", error.remedy()),
                reason: error.reason().map(str::to_owned),
                code: Some(code_word(error.code())),
                request: error.request().map(str::to_owned),
                metadata: error.metadata().clone(),
                violations: violations.collect(),
                more: error
                    .cpuid_differences()
                    .map(|words| words.trim_end_matches(';').to_owned())
                    .collect(),
            },
        }
    }
}

/// A launch.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LaunchDocument {
    name: String,
    uid: String,
    state: String,
    platform: String,
    confidential: bool,
    memory: Vec<RegionDocument>,
    labels: BTreeMap<String, String>,
    ordering: String,
    vcpus: u32,
    vcpu_states: Vec<String>,
    sev_snp: Option<SevSnpDocument>,
    tdx: Option<TdxDocument>,
    installed_pages: u64,
    next_sequence: Option<u64>,
    launch_digest: Option<String>,
    /// The digest covers these pages, the first ones.
    measured_pages: u64,
    create_time: Option<String>,
    end_time: Option<String>,
    lease_expire_time: Option<String>,
    start_time: Option<String>,
    stop_time: Option<String>,
    abort: Option<AbortDocument>,
    stop: Option<StopDocument>,
    host_unresponsive_since: Option<String>,
    resources_released: bool,
    host_pid: Option<u32>,
    /// While pages of it wait for the machine's firmware.
    queue: Option<QueueDocument>,
}

#[derive(Clone, Debug, Serialize)]
struct QueueDocument {
    position: u32,
    pages_ahead: u64,
    expected_seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct RegionDocument {
    gpa: String,
    size: u64,
}

#[derive(Clone, Debug, Serialize)]
struct AbortDocument {
    reason: String,
    message: String,
    signal: Option<i32>,
    exit_code: Option<i32>,
}

#[derive(Clone, Debug, Serialize)]
struct StopDocument {
    reason: String,
    message: String,
    vcpu: Option<u32>,
    exit_code: Option<u32>,
    gpa: Option<String>,
}

impl From<&v1::Launch> for LaunchDocument {
    fn from(launch: &v1::Launch) -> Self {
        let spec = launch.spec.as_ref();
        let regions = spec.map(|spec| spec.regions.as_slice()).unwrap_or_default();
        let ordering = spec.map_or(0, |spec| spec.ordering);
        let sequenced = ordering == i32::from(v1::OrderingMode::Sequenced);
        Self {
            name: launch.name.clone(),
            uid: launch.uid.clone(),
            state: words::launch_state(launch.state).into(),
            platform: words::platform(spec.map_or(0, |spec| spec.platform)).into(),
            confidential: launch.confidential,
            memory: regions
                .iter()
                .map(|region| Region::from(region).into())
                .collect(),
            labels: spec
                .map(|spec| spec.labels.clone().into_iter().collect())
                .unwrap_or_default(),
            ordering: words::ordering(ordering).into(),
            vcpus: spec.map_or(1, |spec| spec.vcpus.max(1)),
            vcpu_states: spec
                .iter()
                .flat_map(|spec| &spec.vcpu_states)
                .map(|state| Vcpu::from(state).to_string())
                .collect(),
            sev_snp: spec
                .and_then(|spec| spec.sev_snp.as_ref())
                .map(SevSnpDocument::from),
            tdx: spec
                .and_then(|spec| spec.tdx.as_ref())
                .map(TdxDocument::from),
            installed_pages: launch.installed_pages,
            next_sequence: sequenced.then_some(launch.next_sequence),
            launch_digest: (!launch.launch_digest.is_empty()).then(|| hex(&launch.launch_digest)),
            measured_pages: launch.measured_pages,
            create_time: launch.create_time.as_ref().map(ToString::to_string),
            end_time: launch.end_time.as_ref().map(ToString::to_string),
            lease_expire_time: launch.lease_expire_time.as_ref().map(ToString::to_string),
            start_time: launch.start_time.as_ref().map(ToString::to_string),
            stop_time: launch.stop_time.as_ref().map(ToString::to_string),
            abort: launch.abort.as_ref().map(AbortDocument::from),
            stop: launch.stop.as_ref().map(StopDocument::from),
            host_unresponsive_since: launch
                .host_unresponsive_since
                .as_ref()
                .map(ToString::to_string),
            resources_released: launch.resources_released,
            host_pid: (launch.host_pid != 0).then_some(launch.host_pid),
            queue: launch.queue.as_ref().map(QueueDocument::from),
        }
    }
}

impl From<&v1::QueuePlace> for QueueDocument {
    fn from(place: &v1::QueuePlace) -> Self {
        Self {
            position: place.position,
            pages_ahead: place.pages_ahead,
            expected_seconds: expected(place).as_secs_f64(),
        }
    }
}

/// When a launch that waits is expected to have its pages.
pub(crate) fn expected(place: &v1::QueuePlace) -> Duration {
    let time = place.expected_time;
    time.and_then(|time| Duration::try_from(time).ok())
        .unwrap_or_default()
}

impl From<Region> for RegionDocument {
    fn from(region: Region) -> Self {
        Self {
            gpa: region.gpa.to_string(),
            size: region.size,
        }
    }
}

impl From<&v1::AbortCause> for AbortDocument {
    fn from(cause: &v1::AbortCause) -> Self {
        let died = cause.reason() == v1::AbortReason::HostDied;
        Self {
            reason: words::abort_reason(cause.reason).into(),
            message: cause.message.clone(),
            signal: (cause.signal != 0).then_some(cause.signal),
            exit_code: (died && cause.signal == 0).then_some(cause.exit_code),
        }
    }
}

impl From<&v1::StopCause> for StopDocument {
    fn from(cause: &v1::StopCause) -> Self {
        Self {
            reason: words::stop_reason(cause.reason).into(),
            message: cause.message.clone(),
            vcpu: cause.vcpu,
            exit_code: cause.exit_code,
            gpa: cause.gpa.map(|gpa| Gpa::new(gpa).to_string()),
        }
    }
}

/// A gRPC code as the specification spells it: `INVALID_ARGUMENT`.
fn code_word(code: tonic::Code) -> String {
    let camel = format!("{code:?}");
    let words = camel.chars().enumerate().flat_map(|(nth, c)| {
        [
            (nth > 0 && c.is_uppercase()).then_some('_'),
            Some(c.to_ascii_uppercase()),
        ]
    });
    words.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelled_as_in_the_specification() {
        assert_eq!(
            code_word(tonic::Code::FailedPrecondition),
            "FAILED_PRECONDITION"
        );
        assert_eq!(code_word(tonic::Code::Ok), "OK");
    }

    #[test]
    fn a_launch_has_all_its_members_and_null_for_what_is_not_there() {
        let launch = v1::Launch {
            name: "launches/vm-1".into(),
            state: v1::LaunchState::Staging.into(),
            spec: Some(v1::LaunchSpec {
                platform: v1::Platform::Sim.into(),
                regions: vec![v1::MemoryRegion {
                    gpa: 0x1000,
                    size: 4096,
                }],
                ..Default::default()
            }),
            launch_digest: vec![0, 0xff].into(),
            create_time: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 0,
            }),
            ..Default::default()
        };
        let json = serde_json::to_value(LaunchDocument::from(&launch)).unwrap();
        assert_eq!(
            (json["state"].as_str(), json["platform"].as_str()),
            (Some("STAGING"), Some("sim"))
        );
        assert_eq!(
            json["memory"],
            serde_json::json!([{"gpa": "0x1000", "size": 4096}])
        );
        assert_eq!(
            (json["launch_digest"].as_str(), json["create_time"].as_str()),
            (Some("00ff"), Some("2023-11-14T22:13:20Z"))
        );
        assert!(
            json["abort"].is_null() && json["host_pid"].is_null() && json["end_time"].is_null()
        );
    }
}
