//! The body of a StagePagesStream, as gRPC has it, without a copy of the pages.
//!
//! tonic would copy each message into a buffer of its own: with pages of 2 MiB that costs more than to write them to the socket. Here the few bytes
//! before the pages are encoded, and the pages follow as they are.
//!
//! **Invariant:** what is sent is, byte for byte, a message that any decoder of protobuf reads as the request that was given; its data is the last field.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame};
use prost::{Message, encode_length_delimiter, length_delimiter_len};
use stagepages_proto::v1::{StagePagesRequest, StagePagesStreamRequest};
use tokio::sync::mpsc;

/// Field 1 of StagePagesStreamRequest, `request`, and field 5 of StagePagesRequest, `data`: both of wire type 2, a length and as many bytes.
const REQUEST_KEY: u8 = 1 << 3 | 2;
const DATA_KEY: u8 = 5 << 3 | 2;

/// Most bytes of a length.
const MOST_LENGTH_BYTES: usize = 10;

/// Requests as they come, each a length-prefixed message.
#[derive(Debug)]
pub(super) struct PageBody {
    requests: mpsc::Receiver<StagePagesStreamRequest>,
    /// The pages of the message that has begun.
    data: Option<Bytes>,
}

impl PageBody {
    /// What comes from `requests`, to its end.
    pub(super) fn new(requests: mpsc::Receiver<StagePagesStreamRequest>) -> Self {
        Self {
            requests,
            data: None,
        }
    }
}

impl Body for PageBody {
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
        let (head, data) = cut(message);
        self.data = data;
        Poll::Ready(Some(Ok(Frame::data(head))))
    }
}

/// A message as the bytes before its data, and its data.
fn cut(message: StagePagesStreamRequest) -> (Bytes, Option<Bytes>) {
    let Some(mut request) = message.request else {
        return (prefixed(0, BytesMut::new()), None);
    };
    // An empty one, which the daemon refuses, is sent nonetheless.
    let data = request.data.take();
    let mut fields = BytesMut::with_capacity(request.encoded_len() + 1 + MOST_LENGTH_BYTES);
    encode(&request, &mut fields);
    if let Some(data) = &data {
        fields.put_u8(DATA_KEY);
        put_length(data.len(), &mut fields);
    }
    let behind = data.as_ref().map_or(0, Bytes::len);
    let length = fields.len() + behind;
    let mut head = BytesMut::with_capacity(1 + MOST_LENGTH_BYTES + fields.len());
    head.put_u8(REQUEST_KEY);
    put_length(length, &mut head);
    head.unsplit(fields);
    (prefixed(behind, head), data.filter(|data| !data.is_empty()))
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

fn encode(request: &StagePagesRequest, into: &mut BytesMut) {
    request.encode_raw(into);
}

fn put_length(length: usize, into: &mut BytesMut) {
    into.reserve(length_delimiter_len(length));
    // There is room.
    encode_length_delimiter(length, into).ok();
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use stagepages_proto::v1::ImageSlice;

    use super::*;

    /// What a decoder reads, and the frames that it was given.
    async fn sent(message: StagePagesStreamRequest) -> (StagePagesStreamRequest, Vec<Bytes>) {
        let (sender, requests) = mpsc::channel(1);
        sender.send(message).await.unwrap();
        drop(sender);
        let mut body = PageBody::new(requests);
        let mut frames = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            frames.push(frame.unwrap().into_data().unwrap());
        }
        let bytes = frames.concat();
        let (prefix, message) = bytes.split_at(5);
        assert_eq!(prefix[0], 0);
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), message.len());
        (StagePagesStreamRequest::decode(message).unwrap(), frames)
    }

    fn request() -> StagePagesRequest {
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

    #[tokio::test]
    async fn a_message_arrives_as_it_was_given() {
        let datas = [None, Some(0), Some(1), Some(127), Some(2 << 20)];
        for data in datas.map(|bytes| bytes.map(|bytes| Bytes::from(vec![7; bytes]))) {
            for request in [request(), StagePagesRequest::default()] {
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
    async fn pages_are_not_copied() {
        let data = Bytes::from(vec![7; 8192]);
        let request = StagePagesRequest {
            data: Some(data.clone()),
            ..request()
        };
        let (_, frames) = sent(StagePagesStreamRequest {
            request: Some(request),
        })
        .await;
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1].as_ptr(), data.as_ptr());
    }
}
