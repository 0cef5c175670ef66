//! Where links lead.
//!
//! **Invariant:** who looks at a tenant's things stays there, until it asks for another's.

use super::detail::id;
use crate::{
    auth::Tenant,
    status_page::{
        look::{Look, Overview, Subject},
        request::Show,
    },
};

/// This page.
pub(super) fn this(look: &Look) -> String {
    match &look.subject {
        Subject::Overview(overview) => lists(
            look,
            overview,
            &overview.from_launches,
            &overview.from_images,
        ),
        Subject::Launch(detail) => launch(look, id(&detail.launch)),
    }
}

/// Its changing part.
pub(super) fn data(look: &Look) -> String {
    match &look.subject {
        Subject::Overview(_) => this(look).replacen('/', "/data", 1),
        Subject::Launch(_) => format!("/data{}", this(look)),
    }
}

/// The overview.
pub(super) fn home(look: &Look) -> String {
    of_tenant(look.named.as_ref())
}

/// The overview of a tenant's things; of one's own without a name.
pub(super) fn of_tenant(tenant: Option<&Tenant>) -> String {
    path("/", tenant, Vec::new())
}

/// One launch.
pub(super) fn launch(look: &Look, id: &str) -> String {
    path(&format!("/launches/{id}"), look.named.as_ref(), Vec::new())
}

/// The overview with its lists beginning there.
pub(super) fn lists(look: &Look, overview: &Overview, launches: &str, images: &str) -> String {
    showing(look, overview.show, launches, images)
}

/// The same, of other launches.
pub(super) fn showing(look: &Look, show: Show, launches: &str, images: &str) -> String {
    let mut query = Vec::new();
    if show != Show::All {
        query.push(("show", show.as_str()));
    }
    query.extend([("launches", launches), ("images", images)]);
    path("/", look.named.as_ref(), query)
}

fn path<'a>(path: &str, tenant: Option<&'a Tenant>, mut query: Vec<(&'a str, &'a str)>) -> String {
    query.insert(0, ("tenant", tenant.map_or("", Tenant::as_str)));
    let pairs = query.into_iter().filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(key, value)| format!("{key}={}", value.replace(':', "%3A")));
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", pairs.join("&"))
    }
}
