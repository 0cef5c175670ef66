//! The custom resources: `ConfidentialLaunch`, a launch for a pod, and `LaunchImage`, an image that nodes have at hand.
//!
//! | module      | one idea                                                             |
//! |-------------|----------------------------------------------------------------------|
//! | `artifact`  | a file that a launch is made of, named by digest                    |
//! | `settings`  | what an image is planned with                                        |
//! | `launch`    | what is wished of a `ConfidentialLaunch`                             |
//! | `status`    | what is said of one                                                  |
//! | `condition` | what holds and what does not, each with a reason and the way out     |
//! | `image`     | `LaunchImage`                                                        |
//! | `rule`      | the rules that an API server holds an object against                 |
//!
//! **Invariant:** each field is bounded, and each is either used or refused: what goes with one platform alone is no field of an object for another.

mod artifact;
mod condition;
mod image;
mod launch;
mod rule;
mod settings;
mod status;

pub(crate) use artifact::{Artifact, Format};
pub(crate) use condition::{Condition, Truth, bounded, set};
pub(crate) use image::{DigestOfVcpus, LaunchImage, LaunchImageStatus, NodeImage};
pub(crate) use launch::ConfidentialLaunch;
pub(crate) use settings::{Platform, Priority, Settings};
pub(crate) use status::{ConfidentialLaunchStatus, Queue, State};

/// The group of both.
pub(crate) const GROUP: &str = "stagepages.dev";
