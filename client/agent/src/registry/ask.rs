//! One question to a registry, under the node's credentials where it wants to see some.
//!
//! ```text
//! GET ──▶ 401 Basic ───▶ GET with user and password
//!    └──▶ 401 Bearer ──▶ its realm: GET a token ──▶ GET with the token
//! ```
//!
//! **Invariant:** credentials go where the registry was named, and from TLS to nowhere without it; of an answer that is not wanted nothing is read.

use std::collections::BTreeMap;

use oci_client::Reference;
use reqwest::{RequestBuilder, Response, header::HeaderMap};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    access::Registries,
    challenge::{Challenge, challenge},
    credentials::Credentials,
    wrong,
};
use crate::fault::Fault;

/// The largest answer with a token.
const TOKEN: usize = 64 << 10;

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registries {
    /// GETs something of the repository: `manifests/DIGEST`, `blobs/DIGEST`. What is returned is a success, or 416.
    pub(super) async fn get(
        &self,
        reference: &Reference,
        what: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Fault> {
        let (registry, repository) = (reference.resolve_registry(), reference.repository());
        let scheme = self.scheme(registry);
        let url = format!("{scheme}://{registry}/v2/{repository}/{what}");
        let ask = || self.http.get(&url).headers(headers.clone());
        let mut answer = self.sent(reference, ask()).await?;
        if answer.status() == 401 {
            let wanted = { answer.headers().get_all("www-authenticate").iter() }
                .filter_map(|it| it.to_str().ok())
                .find_map(challenge);
            drop(answer);
            let credentials = self.credentials(registry);
            let refused = || wrong::unauthorized(reference, &credentials);
            let again = match (wanted, &credentials) {
                (Some(Challenge::Basic), Credentials::Login(user, password)) => {
                    ask().basic_auth(user, Some(password))
                }
                (Some(Challenge::Bearer { realm, service }), _) => {
                    let token = self.token(reference, &realm, service, &credentials).await?;
                    ask().bearer_auth(token)
                }
                (Some(Challenge::Basic) | None, _) => return Err(refused()),
            };
            answer = self.sent(reference, again).await?;
            if matches!(answer.status().as_u16(), 401 | 403) {
                return Err(refused());
            }
        }
        match answer.status().as_u16() {
            200 | 206 | 416 => Ok(answer),
            403 => Err(wrong::unauthorized(reference, &self.credentials(registry))),
            404 => Err(wrong::not_found(reference)),
            other => Err(wrong::unreachable(
                reference,
                &format!("it answers {other}"),
            )),
        }
    }

    /// A token that the realm gives out for pulling.
    async fn token(
        &self,
        reference: &Reference,
        realm: &str,
        service: Option<String>,
        credentials: &Credentials,
    ) -> Result<String, Fault> {
        let is_plain = self.scheme(reference.resolve_registry()) == "http";
        if !realm.starts_with("https://") && !is_plain {
            let told = "it sends for a token to where there is no TLS";
            return Err(wrong::unreachable(reference, told));
        }
        let mut query = BTreeMap::from([(
            "scope",
            format!("repository:{}:pull", reference.repository()),
        )]);
        query.extend(service.map(|service| ("service", service)));
        let mut url = reqwest::Url::parse(realm).map_err(|error| {
            wrong::unreachable(reference, &format!("its token realm is no URL: {error}"))
        })?;
        url.query_pairs_mut().extend_pairs(query);
        let mut request = self.http.get(url);
        if let Credentials::Login(user, password) = credentials {
            request = request.basic_auth(user, Some(password));
        }
        let answer = self.sent(reference, request).await?;
        match answer.status().as_u16() {
            200 => {}
            400 | 401 | 403 => return Err(wrong::unauthorized(reference, credentials)),
            other => {
                let told = format!("its token service answers {other}");
                return Err(wrong::unreachable(reference, &told));
            }
        }
        let body = self.body(reference, answer, TOKEN).await?;
        let token = serde_json::from_slice::<Token>(&body).ok();
        // Its own words could have the token in them.
        token
            .and_then(|it| it.token.or(it.access_token))
            .ok_or_else(|| wrong::unreachable(reference, "its token service gives no token"))
    }

    async fn sent(
        &self,
        reference: &Reference,
        request: RequestBuilder,
    ) -> Result<Response, Fault> {
        let answer = timeout(self.silence().saturating_mul(2), request.send())
            .await
            .map_err(|_late| wrong::silent(reference, self.silence()))?;
        answer.map_err(|error| wrong::broken(reference, error))
    }

    /// All of a small answer.
    pub(super) async fn body(
        &self,
        reference: &Reference,
        mut answer: Response,
        most: usize,
    ) -> Result<Vec<u8>, Fault> {
        // As long as for a few silences in a row: it is small.
        let all = self.silence().saturating_mul(4);
        let mut bytes = Vec::new();
        let read = async {
            while let Some(piece) = answer
                .chunk()
                .await
                .map_err(|error| wrong::broken(reference, error))?
            {
                if bytes.len() + piece.len() > most {
                    return Err(wrong::too_much(reference, most as u64));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(())
        };
        timeout(all, read)
            .await
            .map_err(|_late| wrong::silent(reference, all))??;
        Ok(bytes)
    }
}
