//! HTML. Whatever comes from a caller is escaped by maud, whoever writes it here; markup that is not is only that of the files beside this one.
//!
//! Numbers that the API has are `<data>` elements: their `value` is the number, and `data-api` where `stagectl --output json` has it.
//!
//! **Invariant:** without scripts nothing is missing but that the page renews itself in place.

mod detail;
mod images;
mod launches;
mod links;
mod map;
mod node;
mod platforms;
mod refused;
mod tenants;
mod words;

use std::fmt;

use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

use super::{
    look::{Look, Overview, Subject},
    request::Refusal,
};

/// Looks of the page.
const STYLE: &str = include_str!("style.css");
/// What renews it in place.
const SCRIPT: &str = include_str!("live.js");

/// What allows one style and one script to one page. Hex digits.
#[derive(Debug)]
pub(super) struct Nonce(String);

impl Nonce {
    /// A new one. Without random numbers it allows nothing: style and script are left out, and the page can be read.
    pub(super) fn new() -> Self {
        let mut random = [0; 16];
        let filled = getrandom::fill(&mut random).is_ok();
        Self(if filled {
            crate::rpc::convert::hex(&random)
        } else {
            "none".to_owned()
        })
    }

    fn is_usable(&self) -> bool {
        self.0 != "none"
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Render for Nonce {
    fn render(&self) -> Markup {
        html! { (self.0) }
    }
}

/// The whole page.
pub(super) fn document(look: &Look, nonce: &Nonce) -> Markup {
    let title = match &look.subject {
        Subject::Overview(_) => format!("stagepages on {}", look.host),
        Subject::Launch(detail) => format!(
            "{} · stagepages on {}",
            detail::id(&detail.launch),
            look.host
        ),
    };
    let data = links::data(look);
    let body = html! {
        header.top {
            p.brand { a href=(links::home(look)) { "stagepages" } span.host { (look.host) } }
            p.live {
                span #live-state role="status" { }
                " "
                a.button href=(links::this(look)) { "Refresh" }
            }
        }
        main #live data-from=(data) { (fragment(look)) }
    };
    shell(&title, &body, nonce, true)
}

/// The part that changes.
pub(super) fn fragment(look: &Look) -> Markup {
    html! {
        @match &look.subject {
            Subject::Overview(overview) => (overview_of(look, overview)),
            Subject::Launch(detail) => (detail::render(look, detail)),
        }
        (node::footer(look))
    }
}

/// A page that says why there is none.
pub(super) fn refusal(refusal: &Refusal, nonce: &Nonce) -> Markup {
    let heading = match refusal.status.as_u16() {
        403 => "This is not yours to see",
        404 => "There is no such page",
        405 => "This page is read-only",
        429 | 503 => "Not now",
        _ => "This request is not understood",
    };
    let body = html! {
        header.top { p.brand { a href="/" { "stagepages" } } }
        main {
            section.card {
                h1 { (heading) }
                p #reason { (refusal.text) }
                p.note { "HTTP " (refusal.status.as_u16()) }
            }
        }
    };
    shell(heading, &body, nonce, false)
}

fn shell(title: &str, body: &Markup, nonce: &Nonce, live: bool) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                // An icon in the page itself would need a rule that lets images in.
                @if nonce.is_usable() { style nonce=(nonce) { (PreEscaped(STYLE)) } }
                @if live { noscript { meta http-equiv="refresh" content="5"; } }
            }
            body {
                (body)
                @if live && nonce.is_usable() { script nonce=(nonce) { (PreEscaped(SCRIPT)) } }
            }
        }
    }
}

fn overview_of(look: &Look, overview: &Overview) -> Markup {
    html! {
        h1.sr { "Status of stagepages on " (look.host) }
        (tenants::named(look))
        (node::summary(look, overview))
        (launches::section(look, overview))
        (tenants::section(look, overview))
        (launches::queue(look, overview))
        (platforms::section(overview))
        (images::section(look, overview))
        (refused::section(look, overview))
        (node::limits(overview))
    }
}

/// A part that is not there.
fn missing(why: &str) -> Markup {
    html! { p.missing role="note" { (why) } }
}
