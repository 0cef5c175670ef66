//! The client of stagepages: launches, and staging whole images into them with every page counted.
//!
//! | module       | one idea                                                                       |
//! |--------------|--------------------------------------------------------------------------------|
//! | [`addr`]     | guest-physical addresses, sizes and regions, as people type them                |
//! | [`cpu_type`] | the vCPU type of an SEV-SNP guest, as people type it                       |
//! | [`cpuid_page`] | what firmware would have otherwise in a CPUID page                            |
//! | [`credentials`] | what a client proves itself by over TCP                                      |
//! | [`diff`]     | where what is installed and what was planned part, and all that differs         |
//! | [`endpoint`] | where the daemon listens                                                        |
//! | [`Client`]   | one method per RPC                                                              |
//! | [`console`]  | what a guest writes, followed over lost connections                             |
//! | [`error`]    | a refusal with its stable reason, its metadata, and what to do                  |
//! | [`id_block`] | the signed identity of an SEV-SNP guest: made, and judged as firmware would     |
//! | [`image`]    | the images that people have, each turned into a plan                            |
//! | [`images`]   | images that the daemon keeps: names, and pushing what is missing                |
//! | [`install`]  | pages from a stored image where the daemon keeps images, as bytes where it does not |
//! | [`picture`]  | a guest's memory as a picture, for terminals and for tickets                    |
//! | [`plan`]     | what of an image is staged where and in which order, and the digest it ends in  |
//! | [`reason`]   | the reasons, what each leaves behind, and the way out of each                   |
//! | [`session`]  | a plan staged however often something is lost on the way, every page counted once |
//! | [`sev_snp`]  | the guest policy of SEV-SNP, as people type it                                  |
//! | [`stage`]    | a source of any length, cut into single calls, none of them tried twice           |
//! | [`tdx`]      | CPUID leaves of TDX, as people type them                                        |
//! | [`vcpu`]     | how a vCPU begins, as people type it                                            |
//! | [`words`]    | the API's enum values as words                                                  |
//!
//! ```no_run
//! # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
//! use stagepages_client::{Client, Endpoint, LaunchRef, addr::Gpa, stage::{Source, Stager}, v1::PageType};
//!
//! let client = Client::connect(&Endpoint::from_environment()?).await?;
//! let stager = Stager::open(&client, &LaunchRef::from("vm-1")).await?;
//! let image = tokio::fs::File::open("OVMF.fd").await?;
//! let bytes = image.metadata().await?.len();
//! let report = stager.stage(Gpa::new(0xffc0_0000), PageType::Normal, Source::data(image, bytes)?, |_| {}).await;
//! println!("{} pages installed", report.installed_pages);
//! # Ok(()) }
//! ```
//!
//! **Invariant:** this crate never repeats a call that installs pages unless it is exactly-once, and never reports a count that the
//! daemon did not give.
#![forbid(unsafe_code)]

pub mod addr;
mod buffers;
mod causes;
mod client;
mod connect;
pub mod console;
pub mod cpu_type;
pub mod cpuid_page;
pub mod credentials;
pub mod diff;
pub mod endpoint;
pub mod error;
pub mod hex;
pub mod id_block;
pub mod image;
pub mod images;
pub mod install;
mod launch_ref;
pub mod picture;
mod plain;
pub mod plan;
pub mod reason;
mod server_name;
pub mod session;
pub mod sev_snp;
pub mod stage;
pub mod tdx;
mod tls;
pub mod vcpu;
pub mod words;

pub use causes::with_causes;
pub use client::{CallName, Client, FinishArgs, InstalledPages, LaunchList, Watch};
pub use connect::ConnectError;
pub use credentials::Credentials;
pub use endpoint::Endpoint;
pub use error::StagepagesError;
pub use launch_ref::LaunchRef;
pub use plain::plain;
pub use stagepages_proto::v1;
