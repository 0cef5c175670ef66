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
            @if failed > 0 { (remedies(name, &info.checks)) }
            ul.passed aria-label={ "What " (name) " has" } {
                @for check in info.checks.iter().filter(|check| check.ok) {
                    li { span.mark aria-hidden="true" { "✓" } (check.subject) span.note { ": " (check.found) } }
                }
            }
        }
    }
}

fn remedies(name: &str, checks: &[v1::Check]) -> Markup {
    html! {
        div.scroll {
            table {
                caption.sr { "What " (name) " lacks" }
                thead { tr { th scope="col" { "Missing" } th scope="col" { "Found" } th scope="col" { "What to do" } } }
                tbody {
                    @for check in checks.iter().filter(|check| !check.ok) {
                        tr {
                            th scope="row" { span.mark.no aria-hidden="true" { "✗" } (check.subject) }
                            td { (check.found) }
                            td { (check.remedy) }
                        }
                    }
                }
            }
        }
    }
}
