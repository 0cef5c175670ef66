//! What is asked for, and whether a browser was made to ask by somebody else's page.
//!
//! Who reads this page reaches it at `localhost` or an address, mostly through a forwarded port. A name that somebody else owns may lead to the same port (DNS
//! rebinding), and then that one's scripts would read it: so a request for any other name is not answered, except over TLS, where the name is one that the
//! certificate proves.
//!
//! **Invariant:** what leaves here is a place that exists, for a host that cannot be somebody else's.

use std::net::IpAddr;

use http::{HeaderMap, Request, StatusCode, Version, header, uri::Authority};

use crate::auth::Tenant;

/// The longest query, in bytes.
const MAX_QUERY: usize = 1024;

/// Which launches are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Show {
    /// Those that are not over.
    Live,
    /// Those that are.
    Over,
    /// All.
    #[default]
    All,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) place: Place,
    /// Whose things, if not those of whoever asks.
    pub(super) tenant: Option<Tenant>,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Everything.
    Overview {
        /// Which launches.
        show: Show,
        /// Where the list of launches goes on.
        launches: String,
        /// Where the list of images goes on.
        images: String,
    },
    /// One launch, by its id as it was asked for.
    Launch(String),
}

/// How much of it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A whole page.
    Document,
    /// Its changing part, for the script of a page that is there.
    Fragment,
}

/// Why a request is not answered as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }
}

impl Show {
    /// As queries write it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Over => "over",
            Self::All => "all",
        }
    }
}

impl Form {
    pub(super) fn of(request: &Request<()>) -> Self {
        if request.uri().path().starts_with("/data") {
            Self::Fragment
        } else {
            Self::Document
        }
    }
}

/// What a request asks for.
pub(super) fn check(request: &Request<()>, over_tls: bool) -> Result<Asked, Refusal> {
    host(request, over_tls)?;
    same_origin(request.headers())?;
    asked(request.uri().path(), request.uri().query().unwrap_or(""))
}

fn host(request: &Request<()>, over_tls: bool) -> Result<(), Refusal> {
    let wrong = |text: &str| Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, text));
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return if request.version() == Version::HTTP_10 {
            Ok(())
        } else {
            wrong("a request has one Host header")
        };
    };
    let authority: Option<Authority> = host.to_str().ok().and_then(|text| text.parse().ok());
    let Some(authority) = authority.filter(|it| !it.as_str().contains('@')) else {
        return wrong("the Host header is no host");
    };
    let name = authority.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if over_tls || name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok() {
        Ok(())
    } else {
        wrong(
            "this page is served for localhost and for addresses, so that no other site's name leads here; open it as http://localhost:PORT/",
        )
    }
}

/// A page of somebody else's may link to this one, and no more.
fn same_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    let get = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let host = get("host").unwrap_or("");
    let origin = get("origin").is_none_or(|origin| {
        let rest = origin.split_once("://").map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
    });
    let site = match get("sec-fetch-site") {
        Some("cross-site" | "same-site") => get("sec-fetch-mode") == Some("navigate"),
        Some(_) | None => true,
    };
    if origin && site {
        Ok(())
    } else {
        let text = "a page of another site asked for this one";
        Err(Refusal::new(StatusCode::FORBIDDEN, text))
    }
}

fn asked(path: &str, query: &str) -> Result<Asked, Refusal> {
    let path = path.strip_prefix("/data").unwrap_or(path);
    let id = path.strip_prefix("/launches/");
    let id = id.filter(|id| !id.is_empty() && !id.contains('/'));
    if id.is_none() && !matches!(path, "" | "/") {
        let text = "there are / and /launches/ID";
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    }
    let wrong = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, text);
    if query.len() > MAX_QUERY {
        return Err(wrong("the query is too long"));
    }
    let (mut show, mut launches, mut images) = (Show::All, String::new(), String::new());
    let mut tenant = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace("%3A", ":").replace("%3a", ":");
        match (key, value.as_str()) {
            ("tenant", _) if tenant.is_some() => {
                return Err(wrong("tenant= is there twice; name one tenant"));
            }
            ("tenant", name) => {
                let named = name.parse::<Tenant>();
                tenant = Some(named.map_err(|error| wrong(&format!("tenant={name}: {error}")))?);
            }
            ("show", "all") if id.is_none() => show = Show::All,
            ("show", "live") if id.is_none() => show = Show::Live,
            ("show", "over") if id.is_none() => show = Show::Over,
            ("launches", _) if id.is_none() => launches = value,
            ("images", _) if id.is_none() => images = value,
            _ if id.is_some() => {
                return Err(wrong("the query of a launch has tenant=NAME and no more"));
            }
            _ => {
                return Err(wrong(
                    "the query has show=all|live|over, tenant=NAME, and launches= and images= of this page's links",
                ));
            }
        }
    }
    let place = match id {
        Some(id) => Place::Launch(id.to_owned()),
        None => Place::Overview {
            show,
            launches,
            images,
        },
    };
    Ok(Asked { place, tenant })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, headers: &[(&str, &str)]) -> Result<Asked, StatusCode> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap(), false).map_err(|refusal| refusal.status)
    }

    #[test]
    fn only_hosts_that_nobody_else_owns_are_answered() {
        for good in [
            "localhost:8080",
            "LOCALHOST",
            "127.0.0.1:1",
            "[::1]:80",
            "192.0.2.1",
        ] {
            assert!(ask("/", &[("host", good)]).is_ok(), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example:80",
            "a@localhost",
            "",
            "127.0.0.1.x",
        ] {
            assert_eq!(
                ask("/", &[("host", bad)]),
                Err(StatusCode::MISDIRECTED_REQUEST),
                "{bad}"
            );
        }
        assert_eq!(ask("/", &[]), Err(StatusCode::MISDIRECTED_REQUEST));
        assert_eq!(
            ask("/", &[("host", "localhost"), ("host", "localhost")]),
            Err(StatusCode::MISDIRECTED_REQUEST)
        );
    }

    #[test]
    fn pages_of_other_sites_may_link_here_and_no_more() {
        let host = ("host", "localhost:80");
        ask("/", &[host, ("origin", "http://localhost:80")]).unwrap();
        for origin in ["http://evil.example", "null", "http://localhost:81"] {
            assert_eq!(
                ask("/", &[host, ("origin", origin)]),
                Err(StatusCode::FORBIDDEN)
            );
        }
        let cross = ("sec-fetch-site", "cross-site");
        ask("/", &[host, cross, ("sec-fetch-mode", "navigate")]).unwrap();
        assert_eq!(ask("/", &[host, cross]), Err(StatusCode::FORBIDDEN));
    }

    #[test]
    fn places_are_those_that_are_linked() {
        let at = |path| ask(path, &[("host", "localhost")]);
        let place = |path| at(path).map(|asked| asked.place);
        let launch = Ok(Place::Launch("a-1".to_owned()));
        assert_eq!(place("/launches/a-1"), launch);
        assert_eq!(place("/data/launches/a-1"), launch);
        let Ok(Place::Overview { show, images, .. }) = place("/data?show=live&images=sha256%3Aab")
        else {
            panic!("no overview");
        };
        assert_eq!((show, images.as_str()), (Show::Live, "sha256:ab"));
        for missing in ["/launches/", "/launches/a/b", "/favicon.ico", "/database"] {
            assert_eq!(at(missing), Err(StatusCode::NOT_FOUND), "{missing}");
        }
        for wrong in ["/?x=1", "/launches/a-1?show=all"] {
            assert_eq!(at(wrong), Err(StatusCode::BAD_REQUEST), "{wrong}");
        }
    }

    #[test]
    fn a_tenant_is_one_that_there_can_be_and_is_named_once() {
        let tenant = |path: &str| {
            let asked = ask(path, &[("host", "localhost")])?;
            Ok(asked.tenant.map(|tenant| tenant.to_string()))
        };
        assert_eq!(tenant("/"), Ok(None));
        for path in ["/", "/data", "/launches/a-1", "/data/launches/a-1"] {
            let device = Ok(Some("device:sim-0".to_owned()));
            assert_eq!(tenant(&format!("{path}?tenant=device%3Asim-0")), device);
            for wrong in ["A", "", "device:x", "a&tenant=a", "%20"] {
                let path = format!("{path}?tenant={wrong}");
                assert_eq!(tenant(&path), Err(StatusCode::BAD_REQUEST), "{path}");
            }
        }
    }
}
