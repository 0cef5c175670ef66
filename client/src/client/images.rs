//! The methods of ImageService.
//!
//! **Invariant:** what one caller stored is never taken for what another has: the daemon answers each for itself.

use std::{slice, time::Duration};

use stagepages_proto::v1::{self, WriteImageRequest, image_service_client::ImageServiceClient};
use tokio::sync::mpsc;
use tonic::Code;
use tower::ServiceExt as _;

use super::{Client, MAX_ANSWER, data_body::carrying, lists::Tokens};
use crate::{
    StagepagesError,
    addr::PAGE_BYTES,
    images::{
        Bounds, ImageName, LocalImage, PushError, PushOptions, Pushed, Uplink, Written, push,
    },
    reason,
    session::{retry::Patience, run::patiently},
};

/// Names of one FindMissingImages.
const NAMES: usize = 1000;
/// Images of one ListImages.
const IMAGES_A_PAGE: i32 = 1000;
/// Bytes of one WriteImage request, whatever the daemon would take: 2 MiB.
const MOST_DATA: u64 = 2 << 20;
/// How often another writer of the same upload is looked at, and how often without headway before it is taken over: five seconds.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS: u32 = 20;

impl Client {
    /// Those of `names` that are not stored for this caller, in their order.
    ///
    /// # Errors
    /// None of its own.
    pub async fn find_missing_images(
        &self,
        names: &[ImageName],
    ) -> Result<Vec<ImageName>, StagepagesError> {
        let mut missing = Vec::new();
        for names in names.chunks(NAMES) {
            let request = v1::FindMissingImagesRequest {
                names: names.iter().map(ImageName::to_string).collect(),
            };
            let mut images = self.images.clone();
            let answer = images.find_missing_images(self.request(request)).await?;
            for name in answer.into_inner().names {
                let parsed = name.parse().map_err(|error| {
                    StagepagesError::bad_answer(format!("an image is missing: {error}"))
                })?;
                missing.push(parsed);
            }
        }
        Ok(missing)
    }

    /// One image's description.
    ///
    /// # Errors
    /// IMAGE_NOT_FOUND.
    pub async fn get_image(&self, name: ImageName) -> Result<v1::Image, StagepagesError> {
        let name = name.to_string();
        let request = self.request(v1::GetImageRequest { name });
        present((self.images.clone().get_image(request).await?.into_inner()).image)
    }

    /// All images of this caller, by digest.
    ///
    /// # Errors
    /// None of its own.
    pub async fn list_images(&self) -> Result<Vec<v1::Image>, StagepagesError> {
        let (mut all, mut tokens) = (Vec::new(), Tokens::default());
        while let Some(page_token) = tokens.next()? {
            let request = self.request(v1::ListImagesRequest {
                page_size: IMAGES_A_PAGE,
                page_token,
            });
            let answer = (self.images.clone().list_images(request).await?).into_inner();
            all.extend(answer.images);
            tokens.follow(answer.next_page_token);
        }
        Ok(all)
    }

    /// Gives up this caller's hold on an image.
    ///
    /// # Errors
    /// IMAGE_NOT_FOUND (also on a repeat), IMAGE_IN_USE.
    pub async fn delete_image(&self, name: ImageName) -> Result<(), StagepagesError> {
        let name = name.to_string();
        let request = self.request(v1::DeleteImageRequest { name });
        self.images.clone().delete_image(request).await?;
        Ok(())
    }

    /// Gives another tenant an image of this caller's, as if it had written it. Idempotent.
    ///
    /// # Errors
    /// IMAGE_NOT_FOUND, QUOTA_EXCEEDED (the other tenant's), MALFORMED_REQUEST (the tenant is none), PERMISSION.
    pub async fn grant_image(&self, name: ImageName, tenant: &str) -> Result<(), StagepagesError> {
        let request = self.request(v1::GrantImageRequest {
            name: name.to_string(),
            tenant: tenant.to_owned(),
        });
        self.images.clone().grant_image(request).await?;
        Ok(())
    }

    /// Has the daemon store an image, if it does not have it: sends what is missing of it, without its longer runs of zeros. Repeats what fails as
    /// [`PushOptions::retry`] says, and goes on where it was cut off. `progress` is told how many of the image's bytes are done, and can be told less
    /// after a loss.
    ///
    /// # Errors
    /// IMAGE_TOO_LARGE, IMAGE_DIGEST_MISMATCH (the bytes changed since they were hashed), QUOTA_EXCEEDED, NO_CAPACITY, UNSUPPORTED_OPERATION (the
    /// daemon keeps no images), MALFORMED_REQUEST (no bytes at all), no answer; or the bytes cannot be read.
    pub async fn push_image(
        &self,
        image: &LocalImage,
        options: &PushOptions,
        mut progress: impl FnMut(u64),
    ) -> Result<Pushed, PushError> {
        let name = image.name();
        if image.size() == 0 {
            let message = "an image has at least one byte, and this one has none";
            let (code, reason) = (Code::InvalidArgument, reason::MALFORMED_REQUEST);
            return Err(StagepagesError::refused_here(code, reason, message.into(), []).into());
        }
        let mut patience = Patience::new(options.retry);
        let asked = slice::from_ref(&name);
        let missing = patiently(&mut patience, || self.find_missing_images(asked)).await?;
        // Where that fails it was dropped in between, or the connection is lost: what follows asks again.
        if missing.is_empty()
            && let Ok(image) = self.get_image(name).await
        {
            progress(image.size);
            return Ok(Pushed {
                image,
                was_there: true,
                sent_bytes: 0,
                zero_bytes: 0,
                resumed_at: 0,
            });
        }
        let info = patiently(&mut patience, || self.node_info()).await?;
        let limit = info.limits.map_or(0, |limits| limits.max_data_bytes);
        let most = limit.min(MOST_DATA) / PAGE_BYTES * PAGE_BYTES;
        let bounds = Bounds {
            most: most.max(PAGE_BYTES),
            stall: self.timeout,
            look: LOOK,
            looks: LOOKS,
        };
        push(self, image, options, bounds, progress).await
    }
}

impl Uplink for Client {
    async fn written(&self, name: ImageName, upload_id: &str) -> Result<Written, StagepagesError> {
        let request = self.request(v1::QueryWriteRequest {
            name: name.to_string(),
            upload_id: upload_id.to_owned(),
        });
        match self.images.clone().query_write(request).await {
            Ok(answer) => Ok(match answer.into_inner() {
                answer if answer.complete => Written::Complete,
                answer => Written::Partial(answer.committed_offset),
            }),
            Err(status) => match StagepagesError::from(status) {
                error if error.reason() == Some(reason::IMAGE_NOT_FOUND) => Ok(Written::Nothing),
                error => Err(error),
            },
        }
    }

    async fn write(
        &self,
        requests: mpsc::Receiver<WriteImageRequest>,
    ) -> Result<v1::Image, StagepagesError> {
        // Without a deadline: it lasts as long as there is something to send.
        let channel = self.channel.clone().map_request(carrying(requests));
        let mut images = ImageServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        let answer = images
            .write_image(self.without_deadline(tokio_stream::empty()))
            .await?;
        present(answer.into_inner().image)
    }

    async fn image(&self, name: ImageName) -> Result<v1::Image, StagepagesError> {
        self.get_image(name).await
    }
}

fn present(image: Option<v1::Image>) -> Result<v1::Image, StagepagesError> {
    image.ok_or_else(|| StagepagesError::bad_answer("the answer lacks its image"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service pushes on tasks of a runtime with many threads.
    #[test]
    fn an_image_is_pushed_on_any_thread() {
        fn sent<T: Send>(_: &T) {}
        fn check(client: &Client, image: &LocalImage, options: &PushOptions) {
            sent(&client.push_image(image, options, |_| {}));
        }
        // That it compiles is what is asserted.
        let _: fn(&Client, &LocalImage, &PushOptions) = check;
    }
}
