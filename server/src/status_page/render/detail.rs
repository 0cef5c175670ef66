//! One launch.

use maud::{Markup, html};
use stagepages_proto::v1;

use super::{launches, links, map, refused, tenants, words};
use crate::{
    rpc::convert::hex,
    status_page::look::{Detail, Look},
};

/// Its id.
pub(super) fn id(launch: &v1::Launch) -> &str {
    launch.name.trim_start_matches("launches/")
}

pub(super) fn render(look: &Look, detail: &Detail) -> Markup {
    let launch = &detail.launch;
    html! {
        (tenants::named(look))
        p.back { a href=(links::home(look)) { "← All launches" } }
        section.card.one #launch aria-labelledby="launch-h" {
            div.head { h1 #launch-h { (id(launch)) } (launches::state(launch)) }
            (launches::progress(launch))
            @if let Some(abort) = &launch.abort {
                p.missing role="note" { (reason(abort.reason().as_str_name(), "ABORT_REASON_")) ": " (abort.message) }
            }
            @if let Some(stop) = &launch.stop {
                p.missing role="note" { (reason(stop.reason().as_str_name(), "STOP_REASON_")) ": " (stop.message) }
            }
            @if let Some(since) = &launch.host_unresponsive_since {
                p.missing role="note" {
                    "The launch host gives no sign of life since " (words::moment(since)) "; AbortLaunch ends it."
                }
            }
            (facts(look, launch))
        }
        (map::section(detail))
        section.card #refused aria-labelledby="refused-h" {
            h2 #refused-h { "Refused of late, about this launch" }
            (refused::table(look, &detail.refused, "Refused calls about this launch, the newest first"))
        }
    }
}

fn facts(look: &Look, launch: &v1::Launch) -> Markup {
    let spec = launch.spec.clone().unwrap_or_default();
    let api = |field: &str| format!("launch:{}:{field}", id(launch));
    let mut labels: Vec<_> = spec.labels.iter().collect();
    labels.sort();
    let row = |what: &str, value: Markup| html! { div { dt { (what) } dd { (value) } } };
    let time = |what: &str, at: &Option<prost_types::Timestamp>| {
        html! { @if let Some(at) = at { (row(what, words::moment(at))) } }
    };
    html! {
        dl.facts {
            (row("Platform", html! { (words::platform(spec.platform)) @if launch.confidential { ", confidential" } }))
            @if let Some(place) = &launch.queue {
                (row("Queue", html! {
                    (words::number(&api("queue.position"), place.position)) " before it with "
                    (words::number(&api("queue.pages_ahead"), place.pages_ahead)) " pages; done in "
                    (words::seconds(&api("queue.expected_seconds"), place.expected_time))
                }))
            }
            (row("Lease", launches::lease(look, launch)))
            (row("vCPUs", words::number(&api("vcpus"), spec.vcpus.max(1))))
            (row("Measured pages", words::number(&api("measured_pages"), launch.measured_pages)))
            @if !launch.launch_digest.is_empty() {
                (row("Launch digest", html! { code.digest #digest { (hex(&launch.launch_digest)) } }))
            }
            (time("Created", &launch.create_time))
            (time("Ended staging", &launch.end_time))
            (time("Started", &launch.start_time))
            (time("Stopped", &launch.stop_time))
            @if launch.host_pid != 0 { (row("Launch host", html! { "process " (launch.host_pid) })) }
            (row("Memory", html! { @if launch.resources_released { "released" } @else { "held" } }))
            (row("uid", html! { code { (launch.uid) } }))
            @for (key, value) in labels { (row("Label", html! { code { (key) "=" (value) } })) }
        }
    }
}

/// As words, without what all of them begin with.
fn reason(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix)
        .replace('_', " ")
        .to_lowercase()
}
