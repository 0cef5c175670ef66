//! Pages into a launch: from a stored image where the daemon keeps images, as bytes where it does not.
//!
//! ```text
//! payload ──push what is missing──▶ session, by reference ──▶ staged
//!    │              ▲                       ├── dropped or rotten since ──▶ push again, a few times
//!    │              └───────────────────────┘
//!    └── no images here, or no room for this one ──▶ session, bytes ──▶ staged
//! ```
//!
//! **Invariant:** a session that goes on has the name of the one before, so what that one counted is counted once.

use std::{io, pin::pin, time::Duration};

use tonic::Code;

use crate::{
    Client, LaunchRef, StagepagesError,
    images::{ImageName, LocalImage, PushError, PushOptions, ReadAt as _},
    plan::Payload,
    reason,
    session::{Options, Outcome, Part, Session},
    stage::{LengthError, Progress, StageEnd},
    v1::LaunchState,
};

/// How often an image that was dropped while it was staged is pushed again: whoever has less room than its launches take is better told.
const DROPPED: u32 = 3;
/// How often one that was found rotten is.
const CORRUPT: u32 = 1;
/// How often a launch is told that somebody still cares while an image is pushed.
const RENEW: Duration = Duration::from_secs(5);

/// What takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Bytes are read for their name.
    Hashing,
    /// Bytes are stored by the daemon.
    Pushing,
    /// Pages are installed.
    Staging,
}

/// Who is told how it goes. Tells nobody by default.
pub trait Audience {
    /// Something happened that is worth a line.
    fn notice(&self, _text: &str) {}
    /// This begins, with so many bytes or pages before it.
    fn begins(&self, _work: Work, _all: u64) {}
    /// So many bytes of it are done; can be told less after a loss.
    fn bytes(&self, _done: u64) {}
    /// So many pages of it are done.
    fn pages(&self, _done: Progress) {}
    /// What began has ended, well or not.
    fn ends(&self) {}
}

impl Audience for () {}

/// Why nothing can be said of how the pages stand.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Refused, or no answer.
    #[error(transparent)]
    Refused(#[from] StagepagesError),
    /// The contents could not be read.
    #[error("cannot read the contents: {0}")]
    Unreadable(io::Error),
    /// The contents could not be read a second time.
    #[error(transparent)]
    Changed(PushError),
    /// An extent that no call takes.
    #[error("an extent of the plan cannot be sent: {0}")]
    Extent(#[from] LengthError),
}

/// What is to be staged, and where.
#[derive(Debug)]
pub struct Job<'a, A, P> {
    /// Who is told.
    pub audience: &'a A,
    /// The daemon.
    pub client: &'a Client,
    /// The launch.
    pub launch: &'a LaunchRef,
    /// Of a lasting name, where there is a payload.
    pub options: Options,
    /// Of all parts.
    pub pages: u64,
    /// What of it an image can hold; none to send bytes.
    pub payload: Option<Payload>,
    /// The parts: by reference to that image, or as bytes.
    pub parts: P,
}

/// What came of it.
#[derive(Debug)]
pub struct Installed {
    /// The last session's, which has the counts of those before; calls and losses are of all.
    pub outcome: Outcome,
    /// The image that it was staged from.
    pub image: Option<ImageName>,
    /// Bytes of contents that travelled, of the image and with calls.
    pub sent_bytes: u64,
}

impl<A: Audience, P> Job<'_, A, P>
where
    P: FnMut(Option<ImageName>) -> Result<Vec<Part<'static>>, LengthError>,
{
    /// Does it.
    ///
    /// # Errors
    /// What is wrong before or between sessions. How a session ended is in its outcome.
    pub async fn run(mut self) -> Result<Installed, InstallError> {
        let mut sent_bytes = 0;
        let mut image = match self.payload.take() {
            Some(payload) => self.hashed(payload).await.map(Some)?,
            None => None,
        };
        if let Some(local) = &image
            && !self.push(local, &mut sent_bytes).await?
        {
            image = None;
        }
        let (mut calls, mut losses, mut again) = (0, 0, Again::default());
        loop {
            let name = image.as_ref().map(LocalImage::name);
            let parts = (self.parts)(name)?;
            let session = Session::open(self.client, self.launch, self.options.clone()).await?;
            let audience = self.audience;
            audience.begins(Work::Staging, self.pages);
            let mut outcome = session
                .stage(parts, |progress| audience.pages(progress))
                .await;
            audience.ends();
            sent_bytes += outcome.data_bytes;
            calls += outcome.calls;
            losses += outcome.losses;
            (outcome.calls, outcome.losses) = (calls, losses);
            let way = match (&image, &outcome.end) {
                (Some(_), StageEnd::Failed(error)) => again.after(error),
                _ => Way::Over,
            };
            let pushed = match (way, &image) {
                (Way::Over, _) | (Way::Push, None) => {
                    return Ok(Installed {
                        outcome,
                        image: name,
                        sent_bytes,
                    });
                }
                (Way::Bytes, _) => {
                    let text =
                        "this launch's host takes no stored images; sending the contents as bytes";
                    self.audience.notice(text);
                    false
                }
                (Way::Push, Some(local)) => {
                    let name = local.name();
                    let text = format!("{name} is not stored any more; pushing it again");
                    self.audience.notice(&text);
                    self.push(local, &mut sent_bytes).await?
                }
            };
            if !pushed {
                image = None;
            }
        }
    }

    async fn hashed(&self, payload: Payload) -> Result<LocalImage, InstallError> {
        self.audience.begins(Work::Hashing, payload.length());
        let hashing = LocalImage::of(payload, |done| self.audience.bytes(done));
        let image = self.renewing(hashing).await;
        self.audience.ends();
        image.map_err(InstallError::Unreadable)
    }

    /// Does what takes long and does not touch the launch, and keeps its lease meanwhile.
    async fn renewing<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                // If that fails, the session will say why.
                () = tokio::time::sleep(RENEW) => drop(self.client.renew_lease(self.launch).await),
            }
        }
    }

    /// Has the image stored; false where this daemon cannot, and the contents have to travel.
    async fn push(&self, image: &LocalImage, sent_bytes: &mut u64) -> Result<bool, InstallError> {
        let options = PushOptions {
            upload_id: None,
            retry: self.options.retry,
        };
        self.audience.begins(Work::Pushing, image.size());
        let pushing = self
            .client
            .push_image(image, &options, |done| self.audience.bytes(done));
        let pushed = self.renewing(pushing).await;
        self.audience.ends();
        match pushed {
            Ok(pushed) => {
                *sent_bytes += pushed.sent_bytes;
                Ok(true)
            }
            Err(PushError::Refused(error)) => match without_images(&error) {
                Some(why) => {
                    let text = format!("{why} ({}); sending the contents as bytes", error.what());
                    self.audience.notice(&text);
                    Ok(false)
                }
                None => Err(error.into()),
            },
            Err(error @ PushError::Unreadable(_)) => Err(InstallError::Changed(error)),
        }
    }
}

/// Why a launch has to do without this image, where it can.
fn without_images(error: &StagepagesError) -> Option<&'static str> {
    match (error.reason(), error.code()) {
        (Some(reason::UNSUPPORTED_OPERATION), _) | (None, Code::Unimplemented) => {
            Some("this daemon keeps no images")
        }
        (Some(reason::IMAGE_TOO_LARGE | reason::QUOTA_EXCEEDED | reason::NO_CAPACITY), _) => {
            Some("there is no room to store the image")
        }
        _ => None,
    }
}

/// What to do after a session by reference that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Over,
    Push,
    Bytes,
}

/// How often an image was pushed again.
#[derive(Debug, Default)]
struct Again {
    dropped: u32,
    corrupt: u32,
}

impl Again {
    fn after(&mut self, error: &StagepagesError) -> Way {
        let over = error.launch_state() == Some(LaunchState::Aborted);
        let (count, most) = match error.reason() {
            _ if over => return Way::Over,
            Some(reason::UNSUPPORTED_OPERATION) => return Way::Bytes,
            Some(reason::IMAGE_NOT_FOUND) => (&mut self.dropped, DROPPED),
            Some(reason::IMAGE_CORRUPT) => (&mut self.corrupt, CORRUPT),
            _ => return Way::Over,
        };
        if *count >= most {
            return Way::Over;
        }
        *count += 1;
        Way::Push
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::error::DOMAIN;

    fn refused(reason: &str, state: &str) -> StagepagesError {
        let metadata = [("launch_state".to_owned(), state.to_owned())];
        let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        Status::with_error_details(Code::Unknown, reason, details).into()
    }

    #[test]
    fn an_image_is_pushed_again_a_bounded_number_of_times() {
        for (reason, most) in [
            (reason::IMAGE_NOT_FOUND, DROPPED),
            (reason::IMAGE_CORRUPT, CORRUPT),
        ] {
            let mut again = Again::default();
            for _ in 0..most {
                assert_eq!(again.after(&refused(reason, "STAGING")), Way::Push);
            }
            assert_eq!(again.after(&refused(reason, "STAGING")), Way::Over);
        }
    }

    #[test]
    fn a_launch_that_is_over_is_left_alone_and_a_host_without_images_gets_bytes() {
        let after = |reason, state| Again::default().after(&refused(reason, state));
        assert_eq!(after(reason::IMAGE_CORRUPT, "ABORTED"), Way::Over);
        assert_eq!(after(reason::UNSUPPORTED_OPERATION, "CREATED"), Way::Bytes);
        assert_eq!(after(reason::KERNEL_REFUSED, "STAGING"), Way::Over);
    }

    #[test]
    fn only_the_lack_of_a_store_or_of_room_is_no_failure() {
        for (reason, without) in [
            (reason::UNSUPPORTED_OPERATION, true),
            (reason::IMAGE_TOO_LARGE, true),
            (reason::QUOTA_EXCEEDED, true),
            (reason::NO_CAPACITY, true),
            (reason::IMAGE_DIGEST_MISMATCH, false),
            (reason::DRAINING, false),
        ] {
            assert_eq!(without_images(&refused(reason, "")).is_some(), without);
        }
        let old: StagepagesError = Status::unimplemented("no such service").into();
        assert!(without_images(&old).is_some());
        let lost: StagepagesError = Status::unavailable("connection reset").into();
        assert!(without_images(&lost).is_none());
    }
}
