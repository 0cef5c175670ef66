//! Images that the daemon keeps: their names, and pushing what it lacks, so that launches stage it without its travelling again.
//!
//! ```text
//! ReadAt ──hash──▶ LocalImage ──FindMissingImages──▶ there ─────────────────────────────────────────▶ Pushed
//!                                      └──▶ missing ──QueryWrite──▶ WriteImage from that offset on ──▶ Pushed
//!                                                         ▲                │
//!                                                         └── lost, late, or superseded by another writer
//! ```
//!
//! | module     | one idea                                                     |
//! |------------|--------------------------------------------------------------|
//! | `name`     | images/sha256:…                                              |
//! | `local`    | bytes that can be read again, and their name                 |
//! | `runs`     | where zeros are, which never travel                          |
//! | `read`     | a thread that turns bytes into requests                      |
//! | `push`     | one upload, however often it breaks off                      |
//! | `upload_id` | the name under which it goes on                             |
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! use stagepages_client::{Client, Endpoint, images::{LocalImage, PushOptions}, plan::FileSlice};
//!
//! let client = Client::connect(&Endpoint::from_environment()?).await?;
//! let image = LocalImage::of(FileSlice::whole(std::fs::File::open("OVMF.fd")?)?, |_| {}).await?;
//! let pushed = client.push_image(&image, &PushOptions::default(), |_| {}).await?;
//! println!("{}: {} bytes travelled", image.name(), pushed.sent_bytes);
//! # Ok(()) }
//! ```
//!
//! **Invariant:** what was pushed is named by what was read when it was hashed; the daemon refuses anything else.

mod local;
mod name;
mod push;
mod read;
mod runs;
#[cfg(test)]
mod tests;
mod upload_id;

pub use local::{LocalImage, ReadAt};
pub use name::ImageName;
pub(crate) use push::{Bounds, Uplink, Written, push};
pub use push::{PushError, PushOptions, Pushed};
