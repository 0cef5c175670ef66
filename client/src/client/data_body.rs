//! The body of a call whose requests carry bytes for the daemon, as gRPC has it, without a copy of these bytes.
//!
//! tonic would copy each message into a buffer of its own: with 2 MiB of data that costs more than to write them to the socket. Here the few bytes
//! before the data are encoded, and the data follow as they are.
//!
//! **Invariant:** what is sent is, byte for byte, a message that any decoder of protobuf reads as the request that was given; its data is the last field.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http_body::{Body, Frame};
use prost::{Message, encode_length_delimiter, length_delimiter_len};
use stagepages_proto::v1::{
    StagePagesStreamRequest, WriteImageRequest, write_image_request::Content,
};
use tokio::sync::mpsc;

/// Field 1 of StagePagesStreamRequest, `request`, and field 5 of StagePagesRequest and of WriteImageRequest, `data`: all of wire type 2, a length and as
/// many bytes.
const REQUEST_KEY: u8 = 1 << 3 | 2;
const DATA_KEY: u8 = 5 << 3 | 2;

/// Most bytes of a key and a length.
const MOST_KEY_BYTES: usize = 1 + 10;

/// A request that may carry data.
pub(super) trait Carrier: Send + 'static {
    /// The encoded message without its data, and the data.
    fn cut(self) -> (BytesMut, Option<Bytes>);
}

impl Carrier for StagePagesStreamRequest {
    fn cut(self) -> (BytesMut, Option<Bytes>) {
        let Some(mut request) = self.request else {
            return (BytesMut::new(), None);
        };
        // An empty one, which the daemon refuses, is sent nonetheless.
        let data = request.data.take();
        let fields = before(&request, data.as_ref());
        let mut head = BytesMut::with_capacity(MOST_KEY_BYTES + fields.len());
        let behind = data.as_ref().map_or(0, Bytes::len);
        put_key(REQUEST_KEY, fields.len() + behind, &mut head);
        head.unsplit(fields);
        (head, data)
    }
}

impl Carrier for WriteImageRequest {
    fn cut(mut self) -> (BytesMut, Option<Bytes>) {
        let data = match self.content.take() {
            Some(Content::Data(data)) => Some(data),
            zeros => {
                self.content = zeros;
                None
            }
        };
        (before(&self, data.as_ref()), data)
    }
}

/// What leaves the body that tonic makes, which is to be that of an empty stream, out for one that has `requests`. For one call.
pub(super) fn carrying<M: Carrier>(
    requests: mpsc::Receiver<M>,
) -> impl FnMut(Request<tonic::body::Body>) -> Request<tonic::body::Body> {
    let mut body = Some(DataBody::new(requests));
    move |request| match body.take() {
        Some(body) => request.map(|_empty| tonic::body::Body::new(body)),
        None => request,
    }
}

/// Requests as they come, each a length-prefixed message.
#[derive(Debug)]
struct DataBody<M> {
    requests: mpsc::Receiver<M>,
    /// The data of the message that has begun.
    data: Option<Bytes>,
}

impl<M> DataBody<M> {
    /// What comes from `requests`, to its end.
    fn new(requests: mpsc::Receiver<M>) -> Self {
        Self {
            requests,
            data: None,
        }
    }
}

impl<M: Carrier> Body for DataBody<M> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(message) = ready!(self.requests.poll_recv(cx)) else {
            return Poll::Ready(None);
        };
        let (head, data) = message.cut();
        let head = prefixed(data.as_ref().map_or(0, Bytes::len), head);
        self.data = data.filter(|data| !data.is_empty());
        Poll::Ready(Some(Ok(Frame::data(head))))
    }
}

/// The fields of `message`, and what comes before its data.
fn before(message: &impl Message, data: Option<&Bytes>) -> BytesMut {
    let mut fields = BytesMut::with_capacity(message.encoded_len() + MOST_KEY_BYTES);
    message.encode_raw(&mut fields);
    if let Some(data) = data {
        put_key(DATA_KEY, data.len(), &mut fields);
    }
    fields
}

/// gRPC's prefix before `head` and `behind` further bytes: no compression, and the length.
fn prefixed(behind: usize, head: BytesMut) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + head.len());
    bytes.put_u8(0);
    // No message comes near 4 GiB: a call has at most what the daemon takes at once.
    bytes.put_u32(u32::try_from(head.len() + behind).unwrap_or(u32::MAX));
    bytes.unsplit(head);
    bytes.freeze()
}

fn put_key(key: u8, length: usize, into: &mut BytesMut) {
    into.reserve(1 + length_delimiter_len(length));
    into.put_u8(key);
    // There is room.
    encode_length_delimiter(length, into).ok();
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use stagepages_proto::v1::{ImageSlice, StagePagesRequest};

    use super::*;

    /// What a decoder reads, and the frames that it was given.
    async fn sent<M: Carrier + Message + Default>(message: M) -> (M, Vec<Bytes>) {
        let (sender, requests) = mpsc::channel(1);
        sender.try_send(message).unwrap();
        drop(sender);
        let mut body = DataBody::new(requests);
        let mut frames = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            frames.push(frame.unwrap().into_data().unwrap());
        }
        let bytes = frames.concat();
        let (prefix, message) = bytes.split_at(5);
        assert_eq!(prefix[0], 0);
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), message.len());
        (M::decode(message).unwrap(), frames)
    }

    fn staged() -> StagePagesRequest {
        StagePagesRequest {
            name: "launches/a".to_owned(),
            uid: "0123".to_owned(),
            gpa: 1 << 40,
            page_type: 1,
            data: None,
            length: Some(4096),
            sequence: Some(0),
            request_id: "r".repeat(64),
            image: Some(ImageSlice::default()),
        }
    }

    fn written() -> WriteImageRequest {
        WriteImageRequest {
            name: "images/sha256:".to_owned() + &"7".repeat(64),
            size: 1 << 40,
            upload_id: "u".repeat(64),
            offset: 300,
            content: None,
        }
    }

    fn datas() -> impl Iterator<Item = Bytes> {
        [0, 1, 127, 2 << 20]
            .map(|bytes| vec![7; bytes].into())
            .into_iter()
    }

    #[tokio::test]
    async fn pages_arrive_as_they_were_given() {
        for data in datas().map(Some).chain([None]) {
            for request in [staged(), StagePagesRequest::default()] {
                let request = StagePagesRequest {
                    data: data.clone(),
                    ..request
                };
                let message = StagePagesStreamRequest {
                    request: Some(request),
                };
                assert_eq!(sent(message.clone()).await.0, message);
            }
        }
        let nothing = StagePagesStreamRequest::default();
        assert_eq!(sent(nothing.clone()).await.0, nothing);
    }

    #[tokio::test]
    async fn parts_of_images_arrive_as_they_were_given() {
        let zeros = [0, 1 << 40].map(|zeros| Some(Content::Zeros(zeros)));
        let contents = datas().map(|data| Some(Content::Data(data)));
        for content in contents.chain(zeros).chain([None]) {
            for request in [written(), WriteImageRequest::default()] {
                let message = WriteImageRequest {
                    content: content.clone(),
                    ..request
                };
                assert_eq!(sent(message.clone()).await.0, message);
            }
        }
    }

    #[tokio::test]
    async fn data_are_not_copied() {
        let data = Bytes::from(vec![7; 8192]);
        let request = StagePagesRequest {
            data: Some(data.clone()),
            ..staged()
        };
        let request = Some(request);
        let (_, pages) = sent(StagePagesStreamRequest { request }).await;
        let content = Some(Content::Data(data.clone()));
        let (_, part) = sent(WriteImageRequest {
            content,
            ..written()
        })
        .await;
        for frames in [pages, part] {
            assert_eq!(frames.len(), 2);
            assert_eq!(frames[1].as_ptr(), data.as_ptr());
        }
    }
}
