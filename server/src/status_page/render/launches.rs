//! Launches: how far each is, and whose turn it is.
//!
//! **Invariant:** a bar always says of what it is a part.

use maud::{Markup, html};
use stagepages_kvm::PAGE_SIZE;
use stagepages_proto::v1;

use super::{detail::id, links, missing, words};
use crate::status_page::{
    look::{LAUNCHES, Look, Overview},
    request::Show,
};

pub(super) fn section(look: &Look, overview: &Overview) -> Markup {
    let launches = &overview.launches.launches;
    let next = &overview.launches.next_page_token;
    let first = overview.from_launches.is_empty();
    let tab = |show: Show, words: &str| {
        let current = overview.show == show;
        html! { a href=(links::showing(look, show, "", &overview.from_images)) aria-current=[current.then_some("page")] { (words) } }
    };
    html! {
        section.card #launches aria-labelledby="launches-h" {
            div.head {
                h2 #launches-h { "Launches" }
                nav.tabs aria-label="Which launches" {
                    (tab(Show::All, "All")) (tab(Show::Live, "Under way")) (tab(Show::Over, "Over"))
                }
            }
            @if launches.is_empty() {
                p.empty { @if first { "None." } @else { "No more." } }
            } @else {
                div.scroll {
                    table.launches {
                        caption.sr { "Launches, the oldest first" }
                        thead {
                            tr {
                                th scope="col" { "Launch" }
                                th scope="col" { "State" }
                                th scope="col" { "Platform" }
                                th.wide scope="col" { "Installed pages" }
                                th scope="col" { "Lease" }
                            }
                        }
                        tbody { @for launch in launches { (row(look, launch)) } }
                    }
                }
            }
            @if !next.is_empty() || !first {
                p.pages {
                    @if !first { a href=(links::lists(look, overview, "", &overview.from_images)) { "First launches" } }
                    @if !next.is_empty() {
                        span.note { "The " (LAUNCHES) " oldest from here on are shown; there are more." }
                        a rel="next" href=(links::lists(look, overview, next, &overview.from_images)) { "Next " (LAUNCHES) }
                    }
                }
            }
        }
    }
}

fn row(look: &Look, launch: &v1::Launch) -> Markup {
    let spec = launch.spec.as_ref();
    html! {
        tr {
            th scope="row" { a href=(links::launch(look, id(launch))) { (id(launch)) } }
            td { (state(launch)) }
            td { (words::platform(spec.map_or(0, |spec| spec.platform))) }
            td { (progress(launch)) }
            td { (lease(look, launch)) }
        }
    }
}

/// The state as a chip, and what is wrong beside it.
pub(super) fn state(launch: &v1::Launch) -> Markup {
    let state = words::state(launch.state);
    html! {
        span class={ "chip " (state) } { (state) }
        @if launch.host_unresponsive_since.is_some() {
            " " span.chip.bad { "host silent" }
        }
    }
}

/// Of how many pages the installed ones are a part, and what those are.
pub(super) fn denominator(launch: &v1::Launch) -> (u64, &'static str) {
    let Some(spec) = &launch.spec else {
        return (0, "");
    };
    if spec.planned_pages > 0 {
        (spec.planned_pages, "planned")
    } else {
        let pages = spec.regions.iter().map(|region| region.size / PAGE_SIZE);
        (pages.sum(), "in memory")
    }
}

/// How far it is.
pub(super) fn progress(launch: &v1::Launch) -> Markup {
    let (of, what) = denominator(launch);
    let installed = launch.installed_pages;
    let api = format!("launch:{}:installed_pages", id(launch));
    let label = format!("installed pages of {}", id(launch));
    html! {
        div.bar {
            progress max=(of.max(installed).max(1)) value=(installed) aria-label=(label) { }
            span.amount {
                (words::number(&api, installed)) span.of { " of " (words::grouped(of)) " " (what) }
            }
        }
    }
}

/// When it runs out, or why there is none.
pub(super) fn lease(look: &Look, launch: &v1::Launch) -> Markup {
    html! {
        @if let Some(lease) = &launch.lease_expire_time {
            "ends " (words::relative(lease, look.at))
        } @else {
            span.note { "none" }
        }
    }
}

/// Who waits for firmware, and how long.
pub(super) fn queue(look: &Look, overview: &Overview) -> Markup {
    let platforms = overview.node.as_ref().map(|node| node.platforms.as_slice());
    let queues = platforms
        .unwrap_or_default()
        .iter()
        .filter_map(|info| Some((info, info.queue?)));
    let queues: Vec<_> = queues.collect();
    html! {
        section.card #queue aria-labelledby="queue-h" {
            h2 #queue-h { "Queue for firmware" }
            @if queues.is_empty() {
                p.empty { "There is none: nobody decides whose pages go when (scheduler = \"off\")." }
            }
            @for (info, queue) in &queues { (platform_queue(info.platform, queue)) }
            @match &overview.waiting {
                Err(why) => (missing(why)),
                Ok(waiting) if waiting.is_empty() => { p.empty { "No launch " (words::whose(look)) " waits." } }
                Ok(waiting) => (places(look, waiting)),
            }
        }
    }
}

fn platform_queue(platform: i32, queue: &v1::PlatformQueue) -> Markup {
    let name = words::platform(platform);
    let api = |field: &str| format!("platform:{name}:queue.{field}");
    html! {
        p.queue {
            strong { (name) } ": "
            @if queue.launches == 0 {
                "nobody waits"
                span hidden { (words::number(&api("launches"), queue.launches)) (words::number(&api("pages"), queue.pages)) }
            } @else {
                (words::number(&api("launches"), queue.launches)) " waiting with "
                (words::number(&api("pages"), queue.pages)) " pages, all done in "
                (words::seconds(&api("expected_seconds"), queue.expected_time))
            }
            span.note { " · a page takes " (words::seconds(&api("page_seconds"), queue.page_time)) }
        }
    }
}

fn places(look: &Look, waiting: &[v1::Launch]) -> Markup {
    let shown = usize::try_from(LAUNCHES).unwrap_or(waiting.len());
    html! {
        div.scroll {
            table {
                caption.sr { "Launches " (words::whose(look)) " that wait, in their order" }
                thead {
                    tr {
                        th scope="col" { "Launch" } th scope="col" { "Platform" } th.n scope="col" { "Before it" }
                        th.n scope="col" { "Pages before it" } th.n scope="col" { "Done in" }
                    }
                }
                tbody {
                    @for launch in waiting.iter().take(shown) {
                        @if let Some(place) = &launch.queue {
                            @let api = |field: &str| format!("launch:{}:queue.{field}", id(launch));
                            tr {
                                th scope="row" { a href=(links::launch(look, id(launch))) { (id(launch)) } }
                                td { (words::platform(launch.spec.as_ref().map_or(0, |spec| spec.platform))) }
                                td.n { (words::number(&api("position"), place.position)) }
                                td.n { (words::number(&api("pages_ahead"), place.pages_ahead)) }
                                td.n { (words::seconds(&api("expected_seconds"), place.expected_time)) }
                            }
                        }
                    }
                }
            }
        }
        @if waiting.len() > shown { p.note { (waiting.len() - shown) " more wait behind these." } }
    }
}
