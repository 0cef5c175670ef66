//! What an ID block says, by whom, and what is wrong with it.
//!
//! **Invariant:** shows public halves of keys only, as their digests.

use std::fmt;

use serde::Serialize;
use stagepages_client::{
    id_block::SignedId, image::ImageError, sev_snp::Policy, v1::sev_snp_settings::GuestPolicy,
};

use crate::{json::hex, table::Table};

/// The document of both commands. Digests and ids are hex, the policy is a number in hex.
#[derive(Debug, Serialize)]
pub(super) struct IdBlockDocument {
    launch_digest: String,
    policy: String,
    family_id: String,
    image_id: String,
    guest_svn: u32,
    version: u32,
    id_key_digest: String,
    /// Null without an author key.
    author_key_digest: Option<String>,
    /// Why firmware would refuse it; empty if it would not.
    problems: Vec<ProblemDocument>,
    #[serde(skip)]
    policy_words: String,
}

#[derive(Debug, Serialize)]
struct ProblemDocument {
    structure: String,
    /// In the structure's file, in hex; null if it is about all of it.
    offset: Option<String>,
    problem: String,
}

impl IdBlockDocument {
    /// Of a block, and what was found wrong with it.
    pub(super) fn new(signed: &SignedId, problems: &[ImageError]) -> Self {
        let block = &signed.block;
        let problem = |it: &ImageError| ProblemDocument {
            structure: it.structure.clone(),
            offset: it.offset.map(|at| format!("{at:#x}")),
            problem: it.problem.clone(),
        };
        Self {
            launch_digest: hex(&block.launch_digest),
            policy: format!("{:#x}", block.policy),
            family_id: hex(&block.family_id),
            image_id: hex(&block.image_id),
            guest_svn: block.guest_svn,
            version: block.version,
            id_key_digest: hex(&signed.id_key_digest()),
            author_key_digest: signed.author_key_digest().map(|it| hex(&it)),
            problems: problems.iter().map(problem).collect(),
            policy_words: Policy::from(GuestPolicy::PolicyNumber(block.policy)).to_string(),
        }
    }
}

impl fmt::Display for IdBlockDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::bare();
        let author = self.author_key_digest.as_deref().unwrap_or("none");
        for (name, value) in [
            ("launch digest", self.launch_digest.as_str()),
            ("policy", &self.policy_words),
            ("family id", &self.family_id),
            ("image id", &self.image_id),
            ("guest SVN", &self.guest_svn.to_string()),
            ("version", &self.version.to_string()),
            ("ID key digest", &self.id_key_digest),
            ("author key digest", author),
        ] {
            table.row([name.to_owned(), value.to_owned()]);
        }
        write!(f, "{table}")
    }
}
