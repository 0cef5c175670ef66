//! `stagepages.v1.ImageService`.
//!
//! The store blocks, so it is asked on threads that may; see `image_write` for how bytes come in.
//!
//! **Invariant:** whoever asks learns nothing of images that are not stored for them.

use std::{sync::Arc, time::Duration};

use stagepages_audit::Event;
use stagepages_images::{ImageDigest, ImageInfo, Store, StoreError, WriteState};
use stagepages_proto::v1::{self, image_service_server::ImageService};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::{image_error, image_write, launch_service::taken, reason::Reason, status::ApiError};
use crate::{
    auth::{BadTenant, Bounds, Policy, Tenant},
    daemon::on_disk,
    metrics::Metrics,
};

/// Names of one FindMissingImages, at most.
const MOST_NAMES: usize = 1000;
/// Images of one answer, unless asked for otherwise.
const USUAL: usize = 100;
/// Images of one answer, at most.
const MOST: usize = 1000;

/// The service.
#[derive(Debug, Clone)]
pub struct ImageApi {
    pub(super) store: Store,
    policy: watch::Receiver<Arc<Policy>>,
    /// How long a writer may pause between two messages.
    pub(super) patience: Duration,
    /// Counts calls in progress, for those who wait until there is none.
    pub(super) calls: TaskTracker,
    /// Where images are counted.
    pub(super) metrics: Metrics,
}

impl ImageApi {
    /// The service over a store.
    #[must_use]
    pub fn new(
        store: Store,
        policy: watch::Receiver<Arc<Policy>>,
        patience: Duration,
        calls: TaskTracker,
        metrics: Metrics,
    ) -> Self {
        Self {
            store,
            policy,
            patience,
            calls,
            metrics,
        }
    }

    /// What a tenant may take at this moment.
    pub(super) fn bounds(&self, tenant: &Tenant) -> Bounds {
        self.policy.borrow().bounds(tenant)
    }
}

/// Asks the store on a thread that may block.
pub(super) async fn blocking<R: Send + 'static>(
    store: &Store,
    ask: impl FnOnce(&Store) -> Result<R, StoreError> + Send + 'static,
) -> Result<R, ApiError> {
    blocking_told(store, ask, image_error::of).await
}

/// The same, with what becomes of the store's errors.
pub(super) async fn blocking_told<R: Send + 'static>(
    store: &Store,
    ask: impl FnOnce(&Store) -> Result<R, StoreError> + Send + 'static,
    told: impl FnOnce(&StoreError) -> ApiError,
) -> Result<R, ApiError> {
    let store = store.clone();
    match on_disk(move || ask(&store)).await {
        Ok(answer) => answer.map_err(|error| told(&error)),
        Err(died) => Err(ApiError::new(
            Reason::InternalError,
            format!("the image store: {died}"),
        )),
    }
}

/// The digest in a name of the form images/{digest}.
pub(super) fn digest(field: &str, name: &str) -> Result<ImageDigest, ApiError> {
    let wrong = |why: &str| {
        let text =
            format!("{name:?} is no image: {why}; write images/sha256: and 64 hexadecimal digits");
        ApiError::new(Reason::MalformedRequest, format!("{field} {text}")).field(field, &text)
    };
    let digest = name
        .strip_prefix("images/")
        .ok_or_else(|| wrong("it does not begin with images/"))?;
    digest
        .parse()
        .map_err(|error: stagepages_images::ParseDigestError| wrong(&error.to_string()))
}

/// An image's name.
pub(super) fn name(digest: ImageDigest) -> String {
    format!("images/{digest}")
}

/// An image as the API shows it.
pub(super) fn image(info: &ImageInfo) -> v1::Image {
    v1::Image {
        name: name(info.digest),
        size: info.size,
        use_time: Some(info.last_used.into()),
        in_use: info.pins > 0,
    }
}

impl ImageApi {
    async fn find_missing(
        &self,
        owner: Tenant,
        request: v1::FindMissingImagesRequest,
    ) -> Result<v1::FindMissingImagesResponse, ApiError> {
        if request.names.len() > MOST_NAMES {
            let text = format!(
                "{} of them; ask for at most {MOST_NAMES} at a time",
                request.names.len()
            );
            return Err(
                ApiError::new(Reason::MalformedRequest, format!("names: {text}"))
                    .field("names", &text),
            );
        }
        let digests: Vec<_> = (request.names.iter().enumerate())
            .map(|(nth, name)| digest(&format!("names[{nth}]"), name))
            .collect::<Result<_, _>>()?;
        let asked = digests.len();
        let missing = blocking(&self.store, move |store| {
            store.find_missing(owner.as_str(), &digests)
        });
        let missing = missing.await?;
        let hits = asked.saturating_sub(missing.len());
        self.metrics.images().looked_up(hits, missing.len());
        let names = missing.into_iter().map(name).collect();
        Ok(v1::FindMissingImagesResponse { names })
    }

    async fn query(
        &self,
        owner: Tenant,
        request: v1::QueryWriteRequest,
    ) -> Result<v1::QueryWriteResponse, ApiError> {
        let digest = digest("name", &request.name)?;
        let state = blocking(&self.store, move |store| {
            store.query(owner.as_str(), digest, &request.upload_id)
        });
        let (committed_offset, complete) = match state.await? {
            WriteState::Complete { size } => (size, true),
            WriteState::Partial { offset } => (offset, false),
            WriteState::Unknown => {
                let text = format!(
                    "nothing is known of this upload of {}; begin it at offset 0",
                    name(digest)
                );
                return Err(ApiError::new(Reason::ImageNotFound, text).meta("image", name(digest)));
            }
        };
        Ok(v1::QueryWriteResponse {
            committed_offset,
            complete,
        })
    }

    async fn get(
        &self,
        owner: Tenant,
        request: v1::GetImageRequest,
    ) -> Result<v1::GetImageResponse, ApiError> {
        let digest = digest("name", &request.name)?;
        let info = blocking(&self.store, move |store| store.get(owner.as_str(), digest)).await?;
        Ok(v1::GetImageResponse {
            image: Some(image(&info)),
        })
    }

    async fn list(
        &self,
        owner: Tenant,
        request: v1::ListImagesRequest,
    ) -> Result<v1::ListImagesResponse, ApiError> {
        let malformed = |field: &str, text: &str| {
            ApiError::new(Reason::MalformedRequest, format!("{field}: {text}")).field(field, text)
        };
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse().map_err(|_foreign| {
                malformed("page_token", "is not one that ListImages returned")
            })?),
        };
        let size = match usize::try_from(request.page_size) {
            Ok(0) => USUAL,
            Ok(size) => size.min(MOST),
            Err(_) => return Err(malformed("page_size", "is negative")),
        };
        let page = blocking(&self.store, move |store| {
            store.list(owner.as_str(), after, size)
        })
        .await?;
        Ok(v1::ListImagesResponse {
            images: page.images.iter().map(image).collect(),
            next_page_token: page.next.map(|next| next.to_string()).unwrap_or_default(),
        })
    }

    async fn grant(
        &self,
        owner: Tenant,
        request: v1::GrantImageRequest,
    ) -> Result<v1::GrantImageResponse, ApiError> {
        let digest = digest("name", &request.name)?;
        let other: Tenant = request.tenant.parse().map_err(|error: BadTenant| {
            let text = error.to_string();
            ApiError::new(Reason::MalformedRequest, format!("tenant: {text}"))
                .field("tenant", &text)
        })?;
        let (to, bounds) = (other.clone(), self.bounds(&other));
        let most = bounds.own.image_bytes;
        let give = move |store: &Store| {
            // What the caller has not, it cannot give.
            store.get(owner.as_str(), digest)?;
            store.grant(to.as_str(), digest, most)
        };
        let told = |error: &StoreError| image_error::of_giver(error, &bounds);
        blocking_told(&self.store, give, told).await?;
        crate::audit::granted(digest, &other);
        tracing::info!(image = %digest, to = %other, "image granted");
        Ok(v1::GrantImageResponse {})
    }

    async fn delete(
        &self,
        owner: Tenant,
        request: v1::DeleteImageRequest,
    ) -> Result<v1::DeleteImageResponse, ApiError> {
        let digest = digest("name", &request.name)?;
        blocking(&self.store, move |store| {
            store.delete(owner.as_str(), digest)
        })
        .await?;
        crate::audit::image(Event::ImageDeleted, digest, None);
        tracing::info!(image = %digest, "image deleted");
        Ok(v1::DeleteImageResponse {})
    }
}

#[tonic::async_trait]
impl ImageService for ImageApi {
    async fn find_missing_images(
        &self,
        request: Request<v1::FindMissingImagesRequest>,
    ) -> Result<Response<v1::FindMissingImagesResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(
            self.find_missing(caller.tenant, request).await?,
        ))
    }

    async fn write_image(
        &self,
        request: Request<Streaming<v1::WriteImageRequest>>,
    ) -> Result<Response<v1::WriteImageResponse>, Status> {
        let _call = self.calls.token();
        let (caller, requests) = taken(request)?;
        Ok(Response::new(
            image_write::serve(self, caller.tenant, requests).await?,
        ))
    }

    async fn query_write(
        &self,
        request: Request<v1::QueryWriteRequest>,
    ) -> Result<Response<v1::QueryWriteResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.query(caller.tenant, request).await?))
    }

    async fn get_image(
        &self,
        request: Request<v1::GetImageRequest>,
    ) -> Result<Response<v1::GetImageResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.get(caller.tenant, request).await?))
    }

    async fn list_images(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.list(caller.tenant, request).await?))
    }

    async fn grant_image(
        &self,
        request: Request<v1::GrantImageRequest>,
    ) -> Result<Response<v1::GrantImageResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.grant(caller.tenant, request).await?))
    }

    async fn delete_image(
        &self,
        request: Request<v1::DeleteImageRequest>,
    ) -> Result<Response<v1::DeleteImageResponse>, Status> {
        let (caller, request) = taken(request)?;
        Ok(Response::new(self.delete(caller.tenant, request).await?))
    }
}
