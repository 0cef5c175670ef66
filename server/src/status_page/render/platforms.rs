//! Which platforms can be used, and what is missing for the others.

use maud::{Markup, html};
use stagepages_proto::v1;

use super::{missing, words};
use crate::status_page::look::Overview;

pub(super) fn section(overview: &Overview) -> Markup {
    html! {
        section.card #platforms aria-labelledby="platforms-h" {
            h2 #platforms-h { "Platforms" }
            @match &overview.node {
                Ok(node) => {
                    @for info in &node.platforms { (platform(info)) }
                }
                Err(why) => (missing(why)),
            }
        }
    }
}

fn platform(info: &v1::PlatformInfo) -> Markup {
    let name = words::platform(info.platform);
    let failed = info.checks.iter().filter(|check| !check.ok).count();
    html! {
        details.platform id={ "platform-" (name) } open[!info.available] {
            summary {
                h3 { (name) }
                @if info.available {
                    span.chip.good { "usable" }
                } @else {
                    span.chip.bad { (failed) " missing" }
                }
                span.note {
                    @if info.confidential { "confidential" } @else { "not confidential" }
                    @if info.runs_guests { ", runs guests" }
                    @if let Some(capacity) = info.capacity {
                        ", " (words::number(&format!("platform:{name}:capacity.in_use"), capacity.in_use)) " of "
                        (words::number(&format!("platform:{name}:capacity.total"), capacity.total)) " keys in use"
                    }
                    @if !info.host_program.is_empty() { ", hosted by " code { (info.host_program) } }
                }
            }
            div.scroll {
                table {
                    caption.sr { "Checks of " (name) }
                    thead { tr { th scope="col" { "Check" } th scope="col" { "Found" } th scope="col" { "What to do" } } }
                    tbody {
                        @for check in &info.checks {
                            tr.failed[!check.ok] {
                                th scope="row" {
                                    span.mark aria-hidden="true" { @if check.ok { "✓" } @else { "✗" } }
                                    span.sr { @if check.ok { "passed: " } @else { "failed: " } }
                                    (check.subject)
                                }
                                td { (check.found) }
                                td { @if !check.ok { (check.remedy) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
