//! ImageService as one person sees it.
//!
//! **Invariant:** no retries and no corrections.

use bytes::Bytes;
use stagepages_proto::v1::{
    self, image_service_client::ImageServiceClient, write_image_request::Content,
};
use stagepages_tests::{Api, Contents, Extent, PAGE, eventually, page};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::{self as stream, wrappers::ReceiverStream};
use tonic::{Status, transport::Channel};

use crate::{
    calls::image_name,
    town::{Town, person},
};

/// An image to be.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
}

/// A person's connection.
pub(crate) struct Desk {
    pub(crate) api: Api,
    pub(crate) images: ImageServiceClient<Channel>,
}

/// A write that goes on until it is let go.
pub(crate) struct Open {
    requests: mpsc::Sender<v1::WriteImageRequest>,
    call: JoinHandle<Result<(), Status>>,
}

impl Picture {
    /// As no other seed's.
    pub(crate) fn of_pages(seed: u64, pages: u64) -> Self {
        let bytes = Contents::new(seed).pages(pages);
        Self {
            name: image_name(&bytes),
            bytes,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// A request that carries `pages` of its pages from `first` on.
    pub(crate) fn part(&self, upload_id: &str, first: u64, pages: u64) -> v1::WriteImageRequest {
        let at = |page: u64| usize::try_from(page * PAGE).unwrap();
        let bytes = self.bytes.slice(at(first)..at(first + pages));
        v1::WriteImageRequest {
            name: self.name.clone(),
            size: self.size(),
            upload_id: upload_id.to_owned(),
            offset: first * PAGE,
            content: (!bytes.is_empty()).then_some(Content::Data(bytes)),
        }
    }

    /// The call that stages all of it from frame 0 on.
    pub(crate) fn slice(&self, launch: &str) -> v1::StagePagesRequest {
        let request = Extent::length(page(0), v1::PageType::Normal, PAGE).request(launch);
        v1::StagePagesRequest {
            length: None,
            image: Some(v1::ImageSlice {
                name: self.name.clone(),
                offset: 0,
                length: self.size(),
            }),
            ..request
        }
    }
}

impl Desk {
    /// Of the tenant's person who may do everything.
    pub(crate) async fn of(town: &Town, tenant: &str) -> Self {
        let api = town.api(person(tenant, "admin")).await;
        let images = ImageServiceClient::new(api.channel.clone());
        Self { api, images }
    }

    /// One call of WriteImage that sends this and ends.
    pub(crate) async fn send(&self, request: v1::WriteImageRequest) -> Result<(), Status> {
        let mut images = self.images.clone();
        images.write_image(stream::iter([request])).await.map(drop)
    }

    /// Writes all of it.
    pub(crate) async fn put(&self, picture: &Picture) {
        let all = picture.size() / PAGE;
        self.send(picture.part("put", 0, all)).await.unwrap();
    }

    /// Sends its first page, and holds the write open.
    pub(crate) async fn open(&self, picture: &Picture) -> Open {
        let (requests, sent) = mpsc::channel(1);
        requests.send(picture.part("open", 0, 1)).await.unwrap();
        let mut images = self.images.clone();
        let sent = ReceiverStream::new(sent);
        let call = tokio::spawn(async move { images.write_image(sent).await.map(drop) });
        eventually("a write under way", async || {
            let state = self.query(picture, "open").await.ok()?;
            (state.committed_offset == PAGE).then_some(())
        })
        .await;
        Open { requests, call }
    }

    pub(crate) async fn missing(&self, pictures: &[&Picture]) -> Result<Vec<String>, Status> {
        let names = pictures.iter().map(|picture| picture.name.clone());
        let names = names.collect();
        let request = v1::FindMissingImagesRequest { names };
        let answer = self.images.clone().find_missing_images(request).await?;
        Ok(answer.into_inner().names)
    }

    pub(crate) async fn has(&self, picture: &Picture) -> bool {
        self.missing(&[picture]).await.unwrap().is_empty()
    }

    pub(crate) async fn query(
        &self,
        picture: &Picture,
        upload_id: &str,
    ) -> Result<v1::QueryWriteResponse, Status> {
        let request = v1::QueryWriteRequest {
            name: picture.name.clone(),
            upload_id: upload_id.to_owned(),
        };
        let answer = self.images.clone().query_write(request).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn get(&self, picture: &Picture) -> Result<v1::Image, Status> {
        let name = picture.name.clone();
        let request = v1::GetImageRequest { name };
        let answer = self.images.clone().get_image(request).await?;
        Ok(answer.into_inner().image.unwrap())
    }

    pub(crate) async fn list(&self) -> Vec<v1::Image> {
        let request = v1::ListImagesRequest::default();
        let answer = self.images.clone().list_images(request).await;
        answer.unwrap().into_inner().images
    }

    pub(crate) async fn grant(&self, picture: &Picture, tenant: &str) -> Result<(), Status> {
        let request = v1::GrantImageRequest {
            name: picture.name.clone(),
            tenant: tenant.to_owned(),
        };
        self.images.clone().grant_image(request).await.map(drop)
    }

    pub(crate) async fn delete(&self, picture: &Picture) -> Result<(), Status> {
        let name = picture.name.clone();
        let request = v1::DeleteImageRequest { name };
        self.images.clone().delete_image(request).await.map(drop)
    }

    /// Stages all of it into a launch of this name.
    pub(crate) async fn stage(&self, launch: &str, picture: &Picture) -> Result<u64, Status> {
        let answer = self.api.stage_request(picture.slice(launch)).await?;
        Ok(answer.installed_pages)
    }
}

impl Open {
    /// Lets it go, unfinished. What it is told.
    pub(crate) async fn leave(self) -> Result<(), Status> {
        drop(self.requests);
        self.call.await.unwrap()
    }
}
