//! What a launch needs to know of its pod.
//!
//! **Invariant:** a pod is told by its uid; another one of the same name is another.

use k8s_openapi::api::core::v1::Pod;

use crate::resources::{GROUP, Platform};

/// Whether it has ended, so that its devices are free.
pub(super) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether it is being deleted: another of its name may come, here or elsewhere.
pub(super) fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Why it has, in kubelet's words and in parentheses, where kubelet says so: it was not admitted, or was evicted.
pub(super) fn why(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let reason = status.and_then(|it| it.reason.as_deref());
    let message = status.and_then(|it| it.message.as_deref());
    match (reason, message) {
        (Some(reason), Some(message)) => format!(" ({reason}: {message})"),
        (Some(said), None) | (None, Some(said)) => format!(" ({said})"),
        (None, None) => String::new(),
    }
}

/// Whether one of its containers requests a device of the platform.
pub(super) fn requests(pod: &Pod, platform: Platform) -> bool {
    let resource = format!("{GROUP}/{}", platform.word());
    let spec = pod.spec.as_ref();
    let containers = spec.into_iter().flat_map(|it| {
        it.containers
            .iter()
            .chain(it.init_containers.iter().flatten())
    });
    let mut limits = containers.filter_map(|it| it.resources.as_ref()?.limits.as_ref());
    limits.any(|it| it.contains_key(&resource))
}

/// Its uid.
pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(text: &str) -> Pod {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_device_is_requested_by_any_container() {
        let of = |platform: &str| {
            pod(&format!(
                r#"{{"spec": {{"containers": [{{"name": "a"}}, {{"name": "b", "resources": {{"limits": {{"stagepages.dev/{platform}": "1"}}}}}}]}}}}"#
            ))
        };
        assert!(requests(&of("kvm"), Platform::Kvm));
        assert!(!requests(&of("kvm"), Platform::Sim));
        assert!(!requests(&pod("{}"), Platform::Sim));
    }

    #[test]
    fn a_pod_is_over_when_it_says_so() {
        for (phase, over) in [
            ("Pending", false),
            ("Running", false),
            ("Failed", true),
            ("Succeeded", true),
        ] {
            assert_eq!(
                is_over(&pod(&format!(r#"{{"status": {{"phase": "{phase}"}}}}"#))),
                over
            );
        }
        assert!(!is_over(&pod("{}")));
    }
}
