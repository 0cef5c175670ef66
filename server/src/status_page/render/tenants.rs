//! Whose things they are, for those who may look at others'.

use maud::{Markup, html};

use super::{links, words};
use crate::status_page::look::{Look, Overview};

/// That these are not one's own.
pub(super) fn named(look: &Look) -> Markup {
    html! {
        @if let Some(tenant) = &look.named {
            p.banner role="note" #named {
                "These are the launches and images of tenant " strong { (tenant) } ". "
                a href=(links::of_tenant(None)) { "Back to your own" }
            }
        }
    }
}

/// Whose launches there are.
pub(super) fn section(look: &Look, overview: &Overview) -> Markup {
    let Some(tenants) = &overview.tenants else {
        return html! {};
    };
    html! {
        section.card #tenants aria-labelledby="tenants-h" {
            h2 #tenants-h { "Tenants" }
            div.scroll {
                table {
                    caption.sr { "Tenants that have launches, yours first" }
                    thead {
                        tr { th scope="col" { "Tenant" } th.n scope="col" { "Under way" } th.n scope="col" { "Kept" } }
                    }
                    tbody {
                        @for (tenant, has) in &tenants.shown {
                            @let own = *tenant == tenants.own;
                            @let current = *tenant == look.caller.tenant;
                            tr {
                                th scope="row" {
                                    a href=(links::of_tenant((!own).then_some(tenant))) aria-current=[current.then_some("page")] { (tenant) }
                                    @if own { " " span.note { "yours" } }
                                }
                                td.n { (words::grouped(has.live_launches)) }
                                td.n { (words::grouped(has.launches)) }
                            }
                        }
                    }
                }
            }
            @if tenants.more > 0 {
                p.note { (words::grouped(tenants.more as u64)) " more have launches; name one in the address: ?tenant=NAME" }
            }
        }
    }
}
