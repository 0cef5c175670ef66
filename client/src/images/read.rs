//! A thread that reads an image and turns it into the requests of one WriteImage.
//!
//! **Invariant:** holds one block beside those that wait to be sent, and blocks that were sent are used again, unless the source is in memory: then it
//! holds none, and its own bytes are sent; a source that fails never looks like one that ended.

use std::io;

use bytes::Bytes;
use stagepages_proto::v1::{WriteImageRequest, write_image_request::Content};
use tokio::sync::{mpsc, watch};

use super::{
    local::LocalImage,
    runs::{Place, Run, cut},
};
use crate::buffers::Buffers;

const PAGE: u64 = 4096;

/// What was handed to the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Handed {
    /// Where the next request begins.
    pub(super) offset: u64,
    /// Bytes that travel.
    pub(super) sent: u64,
    /// Zeros that are told.
    pub(super) zeros: u64,
}

/// One WriteImage, from an offset on.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) image: LocalImage,
    pub(super) upload_id: String,
    pub(super) from: u64,
    /// Bytes of one request, at least a page.
    pub(super) most: u64,
}

/// The source failed. The channel is still open, so that the daemon is not told that all was sent.
pub(super) struct Unread {
    pub(super) error: io::Error,
    pub(super) open: mpsc::Sender<WriteImageRequest>,
}

impl Reading {
    /// Reads to the end, or until nobody takes the requests any more.
    pub(super) fn run(
        self,
        requests: mpsc::Sender<WriteImageRequest>,
        handed: &watch::Sender<Handed>,
    ) -> Result<(), Unread> {
        let buffers = Buffers::default();
        let mut at = self.from;
        let mut behind_zeros = false;
        if at >= self.image.size() {
            // All was written, and the daemon died before it had become an image: that is still to be asked for, by a stream that names it.
            drop(requests.blocking_send(self.request(at, None)));
        }
        while at < self.image.size() {
            let block = match self.block(at, &buffers) {
                Ok(block) => block,
                Err(error) => {
                    return Err(Unread {
                        error,
                        open: requests,
                    });
                }
            };
            let last = at + block.len() as u64 >= self.image.size();
            let runs = if at.is_multiple_of(PAGE) {
                cut(&block, Place { behind_zeros, last })
            } else {
                vec![Run::Data(0..block.len())]
            };
            for run in runs {
                let (content, length) = match run {
                    Run::Data(range) => {
                        let length = range.len() as u64;
                        (Content::Data(block.slice(range)), length)
                    }
                    Run::Zeros(length) => (Content::Zeros(length as u64), length as u64),
                };
                behind_zeros = matches!(content, Content::Zeros(_));
                let request = self.request(at, Some(content));
                let before = *handed.borrow();
                at += length;
                // First, for the answer to the last of them may be there as soon as it is sent.
                handed.send_modify(|it| {
                    it.offset = at;
                    let counted = if behind_zeros {
                        &mut it.zeros
                    } else {
                        &mut it.sent
                    };
                    *counted += length;
                });
                if requests.blocking_send(request).is_err() {
                    // The daemon has answered, or the connection is gone: whoever waits for it knows.
                    handed.send_replace(before);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The bytes from `at` on: to the next page only, if it is inside one.
    fn block(&self, at: u64, buffers: &Buffers) -> io::Result<Bytes> {
        let most = match at % PAGE {
            0 => self.most,
            inside => PAGE - inside,
        };
        let length = most.min(self.image.size() - at);
        let length = usize::try_from(length).map_err(io::Error::other)?;
        if let Some(block) = self.image.bytes().in_memory(at, length) {
            return Ok(block);
        }
        let mut block = buffers.take(length);
        self.image.bytes().read_at(at, block.as_mut())?;
        Ok(block.freeze())
    }

    fn request(&self, offset: u64, content: Option<Content>) -> WriteImageRequest {
        let mut request = WriteImageRequest {
            offset,
            content,
            ..WriteImageRequest::default()
        };
        if offset == self.from {
            request.name = self.image.name().to_string();
            request.size = self.image.size();
            request.upload_id.clone_from(&self.upload_id);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::ReadAt;

    /// Bytes that are read, wherever they are.
    struct Read(Bytes);

    impl ReadAt for Read {
        fn length(&self) -> u64 {
            self.0.length()
        }
        fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read_at(at, out)
        }
    }

    async fn reading(bytes: impl ReadAt + 'static) -> Reading {
        Reading {
            image: LocalImage::of(bytes, |_| {}).await.unwrap(),
            upload_id: "u".to_owned(),
            from: 0,
            most: 2 * PAGE,
        }
    }

    fn image() -> Bytes {
        (0..=250)
            .cycle()
            .take(5 * 4096 + 7)
            .collect::<Vec<u8>>()
            .into()
    }

    #[tokio::test]
    async fn what_is_in_memory_is_sent_as_it_is() {
        let (image, buffers) = (image(), Buffers::default());
        let reading = reading(image.clone()).await;
        for (at, length) in [(0, 8192), (4096, 8192), (100, 3996), (0x5000, 7)] {
            let block = reading.block(at, &buffers).unwrap();
            let from = usize::try_from(at).unwrap();
            let own = &image[from..from + length];
            assert_eq!((block.as_ptr(), block.len()), (own.as_ptr(), own.len()));
        }
        assert!(image.in_memory(0x5000, 8).is_none());
        assert!(image.in_memory(u64::MAX, 1).is_none());
    }

    #[tokio::test]
    async fn what_is_read_is_read_into_blocks_that_were_sent() {
        let (image, buffers) = (image(), Buffers::default());
        let reading = reading(Read(image.clone())).await;
        let first = reading.block(0, &buffers).unwrap();
        assert_eq!(first, image[..8192]);
        drop(first);
        assert_eq!(format!("{buffers:?}"), "Buffers(1 kept)");
        let next = reading.block(0x5000, &buffers).unwrap();
        assert_eq!(next, image[0x5000..]);
        assert_eq!(format!("{buffers:?}"), "Buffers(0 kept)");
    }
}
