//! What was refused of late, and why.

use maud::{Markup, html};

use super::words;
use crate::{
    audit::Refused,
    status_page::look::{Look, Overview},
};

pub(super) fn section(look: &Look, overview: &Overview) -> Markup {
    html! {
        section.card #refused aria-labelledby="refused-h" {
            h2 #refused-h { "Refused of late" }
            (table(look, &overview.refused, &format!("Refused calls {}, the newest first", words::whose(look))))
            @if let Some(strangers) = &overview.strangers {
                h3 { "Callers that the policy does not know" }
                (table(look, strangers, "Refused calls of callers that the policy does not know"))
            }
        }
    }
}

/// Refused calls, the newest first.
pub(super) fn table(look: &Look, refused: &[Refused], caption: &str) -> Markup {
    if refused.is_empty() {
        return html! { p.empty { "Nothing." } };
    }
    html! {
        div.scroll {
            table.refused {
                caption.sr { (caption) }
                thead {
                    tr {
                        th scope="col" { "Call" } th scope="col" { "Reason" } th scope="col" { "What was said" }
                        th scope="col" { "Who" } th scope="col" { "When" } th.n scope="col" { "Times" }
                    }
                }
                tbody {
                    @for one in refused {
                        tr {
                            th.call scope="row" {
                                (one.method)
                                @if !one.launch.is_empty() { " " span.note { (one.launch) } }
                            }
                            td { code.reason { (one.reason) } }
                            td.text { (one.text) }
                            td { code { (one.identity) } }
                            td { (words::relative(&one.at.into(), look.at)) }
                            td.n { (words::grouped(one.count)) }
                        }
                    }
                }
            }
        }
    }
}
