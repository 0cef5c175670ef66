//! ImageService as a client sees it, and images to write.
//!
//! **Invariant:** no retries and no corrections.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stagepages_proto::v1::PageType;
use stagepages_proto::v1::{
    DeleteImageRequest, FindMissingImagesRequest, GetImageRequest, Image, ImageSlice,
    QueryWriteRequest, QueryWriteResponse, StagePagesRequest, StagePagesResponse,
    WriteImageRequest, image_service_client::ImageServiceClient, write_image_request::Content,
};
use stagepages_tests::{Bench, Contents, Extent, PAGE, page};
use tonic::{Status, transport::Channel};

/// Bytes of one message.
pub(crate) const MESSAGE: usize = 1 << 20;

/// An image to be.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) bytes: Bytes,
    pub(crate) name: String,
}

impl Subject {
    /// Random pages.
    pub(crate) fn random(seed: u64, pages: u64) -> Self {
        Self::of(Contents::new(seed).pages(pages))
    }

    pub(crate) fn of(bytes: Bytes) -> Self {
        Self {
            name: name(&bytes),
            bytes,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The requests that write it, from this offset on.
    pub(crate) fn requests(&self, upload_id: &str, from: u64) -> Vec<WriteImageRequest> {
        let first = WriteImageRequest {
            name: self.name.clone(),
            size: self.size(),
            upload_id: upload_id.to_owned(),
            offset: from,
            content: None,
        };
        let from = usize::try_from(from).unwrap();
        let parts = self.bytes[from..].chunks(MESSAGE).enumerate();
        let parts = parts.map(|(nth, part)| WriteImageRequest {
            offset: (from + nth * MESSAGE) as u64,
            content: Some(Content::Data(self.bytes.slice_ref(part))),
            ..WriteImageRequest::default()
        });
        std::iter::once(first).chain(parts).collect()
    }
}

/// A number of bytes, as an index.
pub(crate) fn at(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

pub(crate) fn name(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("images/sha256:{hex}")
}

/// The service.
pub(crate) struct Desk {
    pub(crate) client: ImageServiceClient<Channel>,
}

impl Desk {
    pub(crate) fn new(bench: &Bench) -> Self {
        Self {
            client: ImageServiceClient::new(bench.api.channel.clone()),
        }
    }

    pub(crate) async fn write(&self, requests: Vec<WriteImageRequest>) -> Result<Image, Status> {
        let mut client = self.client.clone().max_encoding_message_size(usize::MAX);
        let answer = client.write_image(tokio_stream::iter(requests)).await?;
        Ok(answer.into_inner().image.unwrap())
    }

    /// Writes all of it.
    pub(crate) async fn put(&self, subject: &Subject) -> Image {
        self.write(subject.requests("put", 0)).await.unwrap()
    }

    pub(crate) async fn missing(&self, subject: &Subject) -> bool {
        let names = vec![subject.name.clone()];
        let request = FindMissingImagesRequest { names };
        let answer = self.client.clone().find_missing_images(request).await;
        !answer.unwrap().into_inner().names.is_empty()
    }

    pub(crate) async fn query(
        &self,
        subject: &Subject,
        upload_id: &str,
    ) -> Result<QueryWriteResponse, Status> {
        let request = QueryWriteRequest {
            name: subject.name.clone(),
            upload_id: upload_id.to_owned(),
        };
        let answer = self.client.clone().query_write(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Image, Status> {
        let name = name.to_owned();
        let answer = self
            .client
            .clone()
            .get_image(GetImageRequest { name })
            .await?;
        Ok(answer.into_inner().image.unwrap())
    }

    pub(crate) async fn delete(&self, subject: &Subject) -> Result<(), Status> {
        let name = subject.name.clone();
        let request = DeleteImageRequest { name };
        self.client.clone().delete_image(request).await.map(drop)
    }
}

/// A StagePages call for part of an image.
pub(crate) fn slice(
    launch: &str,
    first: u64,
    subject: &Subject,
    offset: u64,
    length: u64,
) -> StagePagesRequest {
    let request = Extent::length(page(first), PageType::Normal, PAGE).request(launch);
    StagePagesRequest {
        length: None,
        image: Some(ImageSlice {
            name: subject.name.clone(),
            offset,
            length,
        }),
        ..request
    }
}

/// Stages the whole of it from frame 0 on.
pub(crate) async fn stage(
    bench: &Bench,
    launch: &str,
    subject: &Subject,
) -> Result<StagePagesResponse, Status> {
    let request = slice(launch, 0, subject, 0, subject.size());
    bench.api.stage_request(request).await
}

/// Where the daemon keeps the bytes.
pub(crate) fn blob(bench: &Bench, subject: &Subject) -> std::path::PathBuf {
    let hex = subject.name.strip_prefix("images/sha256:").unwrap();
    bench.daemon.dir().join("state/images/blobs").join(hex)
}
