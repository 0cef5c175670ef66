//! Images that are stored for the caller's tenant.

use maud::{Markup, html};

use super::{links, missing, words};
use crate::status_page::look::{IMAGES, Look, Overview};

pub(super) fn section(look: &Look, overview: &Overview) -> Markup {
    html! {
        section.card #images aria-labelledby="images-h" {
            h2 #images-h { "Images" }
            @match &overview.images {
                Err(why) => (missing(why)),
                Ok(answer) if answer.images.is_empty() => { p.empty { "None." } }
                Ok(answer) => {
                    div.scroll {
                        table {
                            caption.sr { "Stored images, by digest" }
                            thead {
                                tr {
                                    th scope="col" { "Digest" } th.n scope="col" { "Size" }
                                    th scope="col" { "Last used" } th scope="col" { "In use" }
                                }
                            }
                            tbody {
                                @for image in &answer.images {
                                    @let digest = image.name.trim_start_matches("images/");
                                    tr {
                                        th.digest scope="row" { code title=(digest) { (digest) } }
                                        td.n { (words::bytes(&format!("image:{digest}:size"), image.size)) }
                                        td { @if let Some(at) = &image.use_time { (words::relative(at, look.at)) } }
                                        td { @if image.in_use { "yes" } @else { "no" } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if let Ok(answer) = &overview.images {
                @let (first, next) = (overview.from_images.is_empty(), &answer.next_page_token);
                @if !first || !next.is_empty() {
                    p.pages {
                        @if !first { a href=(links::lists(look, overview, &overview.from_launches, "")) { "First images" } }
                        @if !next.is_empty() {
                            a rel="next" href=(links::lists(look, overview, &overview.from_launches, next)) { "Next " (IMAGES) }
                        }
                    }
                }
            }
        }
    }
}
