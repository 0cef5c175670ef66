//! A launch as a document.
//!
//! **Invariant:** what the text says is in the JSON too.

use std::fmt;

use serde::Serialize;
use stagepages_client::{
    LaunchRef,
    addr::{PAGE_BYTES, Region, Size},
    plain, v1,
    vcpu::Vcpu,
    words,
};

use crate::{
    json::{self, LaunchDocument, hex},
    settings,
    table::Table,
};

/// One launch, in full.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Shown<'a> {
    document: LaunchDocument,
    #[serde(skip)]
    launch: &'a v1::Launch,
}

impl<'a> Shown<'a> {
    /// This launch.
    pub(super) fn new(launch: &'a v1::Launch) -> Self {
        Self {
            document: LaunchDocument::from(launch),
            launch,
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let launch = self.launch;
        let mut facts = Table::bare();
        let mut fact = |name: &str, value: String| facts.row([name.into(), value]);
        fact("name", launch.name.clone());
        fact("uid", launch.uid.clone());
        fact("state", words::launch_state(launch.state).into());
        if let Some(cause) = &launch.abort {
            fact(
                "aborted",
                format!("{}: {}", words::abort_reason(cause.reason), cause.message),
            );
        }
        if let Some(cause) = &launch.stop {
            fact("stopped", stopped(cause));
        }
        fact("platform", platform(launch));
        for region in launch.spec.iter().flat_map(|spec| &spec.regions) {
            fact("memory", Region::from(region).to_string());
        }
        if let Some(spec) = &launch.spec {
            fact("vcpus", spec.vcpus.max(1).to_string());
            for state in &spec.vcpu_states {
                fact("vcpu", Vcpu::from(state).to_string());
            }
            for (name, value) in settings::facts(spec) {
                fact(name, value);
            }
        }
        let mut labels: Vec<_> = launch.spec.iter().flat_map(|spec| &spec.labels).collect();
        labels.sort_unstable();
        for (key, value) in labels {
            fact("label", format!("{key}={value}"));
        }
        let ordering = launch.spec.as_ref().map_or(0, |spec| spec.ordering);
        if ordering == i32::from(v1::OrderingMode::Sequenced) {
            let next = launch.next_sequence;
            fact(
                "ordering",
                format!("{}, next number {next}", words::ordering(ordering)),
            );
        }
        fact("installed", installed(launch));
        if !launch.launch_digest.is_empty() {
            fact("expected launch digest", expected(launch));
        }
        if let Some(time) = &launch.create_time {
            fact("created", time.to_string());
        }
        if let Some(time) = &launch.end_time {
            fact("ended", time.to_string());
        }
        if let Some(time) = &launch.start_time {
            fact("guest started", time.to_string());
        }
        if let Some(time) = launch.stop_time.as_ref().filter(|_| launch.stop.is_some()) {
            fact("guest stopped", time.to_string());
        }
        if let Some(time) = &launch.lease_expire_time {
            fact("lease until", time.to_string());
        }
        if let Some(place) = &launch.queue {
            let (before, pages) = (place.position, place.pages_ahead);
            let expected = json::expected(place).as_secs_f64();
            fact(
                "firmware's queue",
                format!(
                    "{before} launches with {pages} pages before it; staged in about {expected:.1} s"
                ),
            );
        }
        if let Some(time) = &launch.host_unresponsive_since {
            fact("host silent since", time.to_string());
        }
        fact(
            "launch host",
            if launch.resources_released {
                "gone, and its memory with it".into()
            } else {
                format!("pid {}", launch.host_pid)
            },
        );
        write!(f, "{facts}")
    }
}

/// A launch on one line, as it is watched.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Change<'a> {
    document: LaunchDocument,
    #[serde(skip)]
    launch: &'a v1::Launch,
}

impl<'a> Change<'a> {
    /// This launch, as it is now.
    pub(super) fn new(launch: &'a v1::Launch) -> Self {
        Self {
            document: LaunchDocument::from(launch),
            launch,
        }
    }
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = words::launch_state(self.launch.state);
        write!(f, "{state}  {}", installed(self.launch))?;
        match &self.launch.abort {
            Some(cause) => write!(
                f,
                "  {}: {}",
                words::abort_reason(cause.reason),
                plain(&cause.message)
            ),
            None => Ok(()),
        }?;
        match &self.launch.stop {
            Some(cause) => write!(f, "  {}", plain(&stopped(cause))),
            None => Ok(()),
        }
    }
}

/// Launches, one a line.
#[derive(Debug, Serialize)]
pub(super) struct Listed<'a> {
    #[serde(rename = "launches")]
    documents: Vec<LaunchDocument>,
    #[serde(skip)]
    launches: &'a [v1::Launch],
}

impl<'a> Listed<'a> {
    /// These launches.
    pub(super) fn new(launches: &'a [v1::Launch]) -> Self {
        Self {
            documents: launches.iter().map(LaunchDocument::from).collect(),
            launches,
        }
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["ID", "STATE", "PLATFORM", "INSTALLED", "CREATED"]);
        for launch in self.launches {
            table.row([
                LaunchRef::from(launch).id().into(),
                words::launch_state(launch.state).into(),
                platform(launch),
                installed(launch),
                launch
                    .create_time
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ]);
        }
        write!(f, "{table}")
    }
}

/// Why and how a guest stopped, on one line.
pub(super) fn stopped(cause: &v1::StopCause) -> String {
    let reason = words::stop_reason(cause.reason);
    let code = cause
        .exit_code
        .map(|code| format!(" {code:#x}"))
        .unwrap_or_default();
    format!("{reason}{code}: {}", cause.message)
}

fn platform(launch: &v1::Launch) -> String {
    let name = words::platform(launch.spec.as_ref().map_or(0, |spec| spec.platform));
    if launch.confidential {
        name.into()
    } else {
        format!("{name} (not confidential)")
    }
}

/// The digest that the launch would end in, and how much of it that covers while calls run.
fn expected(launch: &v1::Launch) -> String {
    let digest = hex(&launch.launch_digest);
    if launch.measured_pages == launch.installed_pages {
        return digest;
    }
    format!(
        "{digest}, so far of the first {} pages",
        launch.measured_pages
    )
}

fn installed(launch: &v1::Launch) -> String {
    format!(
        "{} pages, {}",
        launch.installed_pages,
        Size(launch.installed_pages.saturating_mul(PAGE_BYTES))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aborted_launch_shows_why() {
        let launch = v1::Launch {
            name: "launches/vm-1".into(),
            state: v1::LaunchState::Aborted.into(),
            abort: Some(v1::AbortCause {
                reason: v1::AbortReason::HostDied.into(),
                message: "killed by signal 9".into(),
                signal: 9,
                exit_code: 0,
            }),
            resources_released: true,
            ..Default::default()
        };
        let text = Shown::new(&launch).to_string();
        assert!(
            text.contains("aborted      HOST_DIED: killed by signal 9"),
            "{text}"
        );
        assert!(text.contains("gone, and its memory with it"), "{text}");
        let json = serde_json::to_value(Shown::new(&launch)).unwrap();
        assert_eq!(json["abort"]["signal"], 9);
        assert!(json["abort"]["exit_code"].is_null());
    }

    #[test]
    fn a_stopped_launch_shows_why_and_its_vcpus() {
        let launch = v1::Launch {
            state: v1::LaunchState::Stopped.into(),
            spec: Some(v1::LaunchSpec {
                vcpus: 2,
                vcpu_states: vec!["1=real:0x0:0x1000".parse::<Vcpu>().unwrap().into()],
                ..Default::default()
            }),
            stop: Some(v1::StopCause {
                reason: v1::StopReason::ExitCode.into(),
                message: "vCPU 1 wrote to port 0xf4".into(),
                vcpu: Some(1),
                exit_code: Some(0x2a),
                gpa: None,
            }),
            ..Default::default()
        };
        let text = Shown::new(&launch).to_string();
        for line in [
            "EXIT_CODE 0x2a: vCPU 1 wrote to port 0xf4",
            "vcpus        2",
            "vcpu         1=real:0x0:0x1000",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        assert!(
            Change::new(&launch).to_string().contains("EXIT_CODE 0x2a"),
            "{}",
            Change::new(&launch)
        );
        let json = serde_json::to_value(Shown::new(&launch)).unwrap();
        assert_eq!(
            json["stop"],
            serde_json::json!({
                "reason": "EXIT_CODE", "message": "vCPU 1 wrote to port 0xf4", "vcpu": 1, "exit_code": 42, "gpa": null
            })
        );
        assert_eq!(
            (&json["vcpus"], &json["vcpu_states"]),
            (
                &serde_json::json!(2),
                &serde_json::json!(["1=real:0x0:0x1000"])
            )
        );
    }

    #[test]
    fn a_list_of_none_is_a_heading_and_an_empty_array() {
        assert_eq!(
            Listed::new(&[]).to_string(),
            "ID  STATE  PLATFORM  INSTALLED  CREATED"
        );
        assert_eq!(
            serde_json::to_value(Listed::new(&[])).unwrap(),
            serde_json::json!({"launches": []})
        );
    }
}
