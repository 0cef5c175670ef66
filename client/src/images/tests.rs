//! Pushing against a store in a page of code, which breaks off where it is told.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stagepages_proto::v1::{Image, WriteImageRequest, write_image_request::Content};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::{
    Bounds, ImageName, LocalImage, PushError, PushOptions, Pushed, ReadAt, Uplink, Written, push,
    runs::SHORTEST,
};
use crate::{StagepagesError, reason, session::RetryPolicy};

const BOUNDS: Bounds = Bounds {
    most: 128 << 10,
    stall: None,
    look: Duration::ZERO,
    looks: 3,
};

/// What goes wrong with one WriteImage, after so many of its requests.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Lost(usize),
    /// Another writer takes the upload over, and writes so many bytes at each look at it.
    Superseded {
        after: usize,
        headway: usize,
    },
    /// The next byte is another one than was told.
    Dropped,
    Refused(&'static str),
    /// Another upload brings the image meanwhile.
    Brought(usize),
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    known: bool,
    complete: bool,
    trouble: VecDeque<Trouble>,
    /// Bytes that another writer adds at each look.
    headway: usize,
    ids: Vec<String>,
    data: u64,
    writes: usize,
}

struct Store {
    whole: Vec<u8>,
    state: Mutex<State>,
}

fn refusal(reason: &str) -> StagepagesError {
    StagepagesError::refused_here(Code::Aborted, reason, "refused".into(), [])
}

impl Store {
    fn new(whole: &[u8], trouble: impl Into<VecDeque<Trouble>>) -> Self {
        let state = State {
            trouble: trouble.into(),
            ..State::default()
        };
        Self {
            whole: whole.to_vec(),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what is there, if all of it is.
    fn commit(&self, state: &mut State) -> Result<Image, StagepagesError> {
        if state.bytes != self.whole {
            return Err(refusal(reason::MALFORMED_REQUEST));
        }
        state.complete = true;
        Ok(self.described())
    }

    fn described(&self) -> Image {
        Image {
            name: ImageName::of_digest(Sha256::digest(&self.whole).into()).to_string(),
            size: self.whole.len() as u64,
            ..Image::default()
        }
    }
}

impl Uplink for Store {
    async fn written(&self, _name: ImageName, id: &str) -> Result<Written, StagepagesError> {
        let mut state = self.state();
        state.ids.push(id.to_owned());
        let end = (state.bytes.len() + state.headway).min(self.whole.len());
        state.bytes = self.whole[..end.max(state.bytes.len())].to_vec();
        if state.headway > 0 && state.bytes.len() == self.whole.len() {
            state.complete = true;
        }
        Ok(match (state.complete, state.known) {
            (true, _) => Written::Complete,
            (false, true) => Written::Partial(state.bytes.len() as u64),
            (false, false) => Written::Nothing,
        })
    }

    async fn write(
        &self,
        mut requests: mpsc::Receiver<WriteImageRequest>,
    ) -> Result<Image, StagepagesError> {
        let trouble = self.state().trouble.pop_front();
        self.state().writes += 1;
        self.state().headway = 0;
        let mut seen = 0;
        loop {
            match trouble {
                Some(Trouble::Lost(after)) if seen == after => {
                    return Err(Status::unavailable("connection reset").into());
                }
                Some(Trouble::Superseded { after, headway }) if seen == after => {
                    self.state().headway = headway;
                    return Err(refusal(reason::IMAGE_WRITE_SUPERSEDED));
                }
                Some(Trouble::Dropped) => {
                    self.state().bytes.clear();
                    return Err(refusal(reason::IMAGE_OFFSET));
                }
                Some(Trouble::Refused(reason)) => return Err(refusal(reason)),
                Some(Trouble::Brought(after)) if seen == after => {
                    self.state().complete = true;
                    return Ok(self.described());
                }
                _ => {}
            }
            let Some(request) = requests.recv().await else {
                if seen == 0 {
                    return Err(refusal(reason::MALFORMED_REQUEST));
                }
                return self.commit(&mut self.state());
            };
            let mut state = self.state();
            if seen == 0 {
                assert_eq!(request.size, self.whole.len() as u64);
                assert_eq!(request.name, self.described().name);
                assert_eq!(Some(&request.upload_id), state.ids.last());
            }
            assert_eq!(request.offset, state.bytes.len() as u64);
            state.known = true;
            seen += 1;
            match request.content {
                None => {}
                Some(Content::Data(data)) => {
                    assert!(data.len() as u64 <= BOUNDS.most);
                    state.data += data.len() as u64;
                    state.bytes.extend_from_slice(&data);
                }
                Some(Content::Zeros(zeros)) => {
                    let end = state.bytes.len() + usize::try_from(zeros).unwrap();
                    state.bytes.resize(end, 0);
                }
            }
        }
    }

    async fn image(&self, _name: ImageName) -> Result<Image, StagepagesError> {
        Ok(self.described())
    }
}

/// 1 MiB and a bit, with a run of zeros in it.
fn bytes() -> Vec<u8> {
    let mut bytes: Vec<u8> = (1..=250).cycle().take((1 << 20) + 77).collect();
    bytes[0x20000..0x20000 + 2 * SHORTEST].fill(0);
    bytes
}

fn options() -> PushOptions {
    PushOptions {
        upload_id: None,
        retry: RetryPolicy {
            attempts: 4,
            first: Duration::ZERO,
            longest: Duration::ZERO,
            ..RetryPolicy::default()
        },
    }
}

async fn pushed(store: &Store) -> Result<Pushed, PushError> {
    let image = LocalImage::of(Bytes::from(store.whole.clone()), |_| {}).await;
    push(store, &image.unwrap(), &options(), BOUNDS, |_| {}).await
}

#[tokio::test]
async fn everything_but_the_zeros_travels_once() {
    let store = Store::new(&bytes(), []);
    let (mut told, image) = (
        Vec::new(),
        LocalImage::of(Bytes::from(bytes()), |_| {}).await.unwrap(),
    );
    let end = push(&store, &image, &options(), BOUNDS, |done| told.push(done))
        .await
        .unwrap();
    let (size, zeros) = (bytes().len() as u64, 2 * SHORTEST as u64);
    assert_eq!((end.sent_bytes, end.zero_bytes), (size - zeros, zeros));
    assert_eq!((end.was_there, end.resumed_at), (false, 0));
    assert_eq!(store.state().data, size - zeros);
    assert!(store.state().complete && told.is_sorted(), "{told:?}");

    let again = pushed(&store).await.unwrap();
    assert_eq!((again.was_there, again.sent_bytes), (true, 0));
    assert_eq!(store.state().writes, 1);
}

#[tokio::test]
async fn what_is_lost_goes_on_at_the_next_byte_under_the_same_name() {
    let store = Store::new(
        &bytes(),
        [Trouble::Lost(0), Trouble::Lost(3), Trouble::Lost(1)],
    );
    assert!(!pushed(&store).await.unwrap().was_there);
    let state = store.state();
    assert!(state.complete && state.writes == 4);
    assert!(state.ids.iter().all(|id| *id == state.ids[0]));
    // Every byte was taken once; more than that may have been on its way.
    assert_eq!(state.data, (bytes().len() - 2 * SHORTEST) as u64);
}

#[tokio::test]
async fn a_later_process_goes_on_where_an_earlier_one_was_killed() {
    let store = Store::new(&bytes(), [Trouble::Lost(4)]);
    let image = LocalImage::of(Bytes::from(bytes()), |_| {}).await.unwrap();
    let once = PushOptions {
        retry: RetryPolicy::never(),
        ..options()
    };
    let killed = push(&store, &image, &once, BOUNDS, |_| {}).await;
    assert!(matches!(killed, Err(PushError::Refused(_))));
    let written = store.state().bytes.len() as u64;
    let end = pushed(&store).await.unwrap();
    assert_eq!((end.resumed_at, written > 0), (written, true));
    assert_eq!(
        end.sent_bytes + end.zero_bytes + written,
        bytes().len() as u64
    );
}

#[tokio::test]
async fn what_was_written_whole_and_not_committed_is_asked_for() {
    let one_request = &bytes()[..0x10000];
    let store = Store::new(one_request, [Trouble::Lost(1)]);
    let end = pushed(&store).await.unwrap();
    assert_eq!((end.sent_bytes, end.was_there), (0x10000, false));
    assert_eq!(store.state().writes, 2);
}

#[tokio::test]
async fn repeats_without_headway_end() {
    let store = Store::new(&bytes(), vec![Trouble::Lost(0); 100]);
    assert!(matches!(pushed(&store).await, Err(PushError::Refused(_))));
    assert_eq!(store.state().writes, 5, "one, and four repeats");
    // With headway they go on: each of these brings one request.
    let store = Store::new(&bytes(), vec![Trouble::Lost(1); 8]);
    assert!(!pushed(&store).await.unwrap().was_there);
}

#[tokio::test]
async fn another_writer_is_watched_and_not_disturbed() {
    let trouble = Trouble::Superseded {
        after: 1,
        headway: 100_000,
    };
    let store = Store::new(&bytes(), [trouble]);
    let end = pushed(&store).await.unwrap();
    assert_eq!(store.state().writes, 1, "the other one brought it");
    assert!(!end.was_there && store.state().complete);
}

#[tokio::test]
async fn another_writer_that_makes_no_headway_is_taken_over() {
    let trouble = Trouble::Superseded {
        after: 1,
        headway: 0,
    };
    let store = Store::new(&bytes(), [trouble]);
    assert!(!pushed(&store).await.unwrap().was_there);
    let state = store.state();
    assert_eq!(state.writes, 2);
    assert_eq!(state.ids.len(), 2 + usize::try_from(BOUNDS.looks).unwrap());
}

#[tokio::test]
async fn what_the_daemon_forgot_is_sent_again() {
    let store = Store::new(&bytes(), [Trouble::Lost(3), Trouble::Dropped]);
    assert!(!pushed(&store).await.unwrap().was_there && store.state().complete);
}

#[tokio::test]
async fn an_image_that_somebody_else_brings_is_there() {
    let store = Store::new(&bytes(), [Trouble::Brought(2)]);
    let end = pushed(&store).await.unwrap();
    assert!(!end.was_there && end.image.size == bytes().len() as u64);
}

#[tokio::test]
async fn a_refusal_that_stands_is_final() {
    for reason in [
        reason::QUOTA_EXCEEDED,
        reason::IMAGE_TOO_LARGE,
        reason::IMAGE_DIGEST_MISMATCH,
        reason::NO_CAPACITY,
    ] {
        let store = Store::new(&bytes(), [Trouble::Refused(reason)]);
        let refused = pushed(&store).await;
        assert!(
            matches!(&refused, Err(PushError::Refused(error)) if error.reason() == Some(reason)),
            "{refused:?}"
        );
        assert_eq!(store.state().writes, 1);
    }
}

#[tokio::test]
async fn a_source_that_fails_is_never_taken_for_one_that_ended() {
    /// Bytes that can be read to their end once.
    struct Once(Bytes, Mutex<bool>);
    impl ReadAt for Once {
        fn length(&self) -> u64 {
            self.0.length()
        }
        fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
            let mut read = self.1.lock().unwrap();
            if *read && at > 0x40000 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *read |= at + out.len() as u64 == self.length();
            self.0.read_at(at, out)
        }
    }
    let store = Store::new(&bytes(), []);
    let source = Once(Bytes::from(bytes()), Mutex::new(false));
    let image = LocalImage::of(source, |_| {}).await.unwrap();
    let end = push(&store, &image, &options(), BOUNDS, |_| {}).await;
    assert!(matches!(end, Err(PushError::Unreadable(_))), "{end:?}");
    assert!(!store.state().complete);
}
