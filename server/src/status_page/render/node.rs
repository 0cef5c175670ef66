//! The daemon itself: how full it is, since when it serves, what it allows.

use maud::{Markup, html};
use stagepages_proto::v1;

use super::{missing, words};
use crate::status_page::look::{Look, Overview};

/// What has to be seen first.
pub(super) fn summary(look: &Look, overview: &Overview) -> Markup {
    let node = match &overview.node {
        Ok(node) => node,
        Err(why) => return missing(why),
    };
    let (usage, limits) = (
        node.usage.unwrap_or_default(),
        node.limits.unwrap_or_default(),
    );
    let usable = node.platforms.iter().filter(|info| info.available);
    let usable: Vec<_> = usable.map(|info| words::platform(info.platform)).collect();
    html! {
        @if usage.draining {
            p.banner role="alert" {
                strong { "Draining." }
                " The daemon is shutting down: no launches are created, calls in progress finish."
            }
        }
        @if usage.launches_full {
            p.banner role="alert" {
                strong { "Full." }
                " There are as many launches as this daemon keeps; delete ended ones."
            }
        }
        dl.tiles {
            div {
                dt { "Launches under way" }
                dd { (words::number("node:usage.live_launches", usage.live_launches)) }
                dd.note {
                    (words::number("node:usage.launches", usage.launches)) " " (words::whose(look)) " are kept, ended ones included; "
                    (words::number("node:limits.max_launches", limits.max_launches)) " of all are allowed"
                }
            }
            div {
                dt { "Platforms to use" }
                dd { (usable.len()) span.of { " of " (node.platforms.len()) } }
                dd.note { @if usable.is_empty() { "none; what is missing is below" } @else { (usable.join(", ")) } }
            }
            div {
                dt { "Images" }
                dd { (words::bytes("node:usage.image_bytes", usage.image_bytes)) }
                dd.note {
                    (words::number("node:usage.images", usage.images)) " " (words::whose(look)) "; "
                    (words::bytes("node:limits.image_quota_bytes", limits.image_quota_bytes)) " hold those of all"
                }
            }
            div {
                dt { "Up for" }
                dd { (words::length(std::time::Duration::from_secs(look.uptime.as_secs()))) }
                dd.note {
                    "daemon number " span #epoch { (look.epoch) } " here; version " span #version { (node.version) }
                }
            }
        }
    }
}

/// What the daemon allows.
pub(super) fn limits(overview: &Overview) -> Markup {
    let limits = match &overview.node {
        Ok(node) => node.limits.unwrap_or_default(),
        Err(_said) => return html! {},
    };
    let row =
        |what: &str, value: Markup| html! { tr { th scope="row" { (what) } td.n { (value) } } };
    let number = |what: &str, name: &str, value: u64| {
        row(what, words::number(&format!("node:limits.{name}"), value))
    };
    let bytes = |what: &str, name: &str, value: u64| {
        row(what, words::bytes(&format!("node:limits.{name}"), value))
    };
    let v1::Limits {
        max_message_bytes,
        max_data_bytes,
        ..
    } = limits;
    html! {
        section.card #limits {
            details #limits-all {
                summary { h2 { "Limits" } }
                div.scroll {
                    table {
                        caption.sr { "What this daemon allows" }
                        thead { tr { th scope="col" { "Limit" } th.n scope="col" { "Value" } } }
                        tbody {
                            (number("Launches, ended ones included", "max_launches", limits.max_launches.into()))
                            (number("Launches that may wait for one firmware", "max_queued_launches", limits.max_queued_launches.into()))
                            (bytes("Memory of one launch", "max_memory_bytes", limits.max_memory_bytes))
                            (number("Memory regions of one launch", "max_regions", limits.max_regions.into()))
                            (number("vCPUs of one launch", "max_vcpus", limits.max_vcpus.into()))
                            (number("StagePages calls of one launch at one time", "max_pending_calls", limits.max_pending_calls.into()))
                            (bytes("One message", "max_message_bytes", max_message_bytes))
                            (bytes("Data of one call", "max_data_bytes", max_data_bytes))
                            (bytes("Slice of an image in one call", "max_slice_bytes", limits.max_slice_bytes))
                            (bytes("Under way from all peers together", "receive_budget_bytes", limits.receive_budget_bytes))
                            (bytes("Largest image", "max_image_bytes", limits.max_image_bytes))
                            (bytes("All images", "image_quota_bytes", limits.image_quota_bytes))
                            (number("Pages that are installed without looking up", "chunk_pages", limits.chunk_pages.into()))
                        }
                    }
                }
            }
        }
    }
}

/// Who looks, and when that was.
pub(super) fn footer(look: &Look) -> Markup {
    html! {
        footer {
            p {
                "Seen " (words::moment(&look.at.into())) " as " code { (look.caller.identity) }
                " of tenant " code { (look.caller.tenant) } " (" (look.caller.roles) "). "
                "Launches and images are this tenant's, as the API shows them."
            }
        }
    }
}
