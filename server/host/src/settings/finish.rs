//! What the end of staging is given.

use stagepages_digest::DIGEST_BYTES;

use super::{exactly, wrong};
use crate::{launch::Refusal, protocol};

/// Bytes of an ID block (AMD 56860, "Structure of the ID Block").
const ID_BLOCK: usize = 96;
/// Bytes of the ID authentication information.
const ID_AUTH: usize = 4096;

/// The arguments of FinishLaunch; a repeat has to bring equal ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinishArgs {
    /// The digest that the caller expects; empty for no check.
    pub expected: Vec<u8>,
    /// What firmware is given, on `sev-snp`; unset for the default of each.
    pub snp: Option<SnpFinish>,
}

/// What SNP_LAUNCH_FINISH is given beside the vCPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnpFinish {
    /// The signed identity of the guest.
    pub id_block: Option<Box<IdBlock>>,
    /// Data of the host's own in every report.
    pub host_data: [u8; 32],
    /// No reports by the chip's own key.
    pub vcek_disabled: bool,
}

/// An ID block and what authenticates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdBlock {
    /// The block.
    pub block: [u8; ID_BLOCK],
    /// Its signature and keys.
    pub auth: [u8; ID_AUTH],
    /// `auth` has an author key that firmware is to check.
    pub author_key: bool,
}

impl FinishArgs {
    /// Only a digest that is expected, or nothing.
    #[must_use]
    pub fn expecting(digest: &[u8]) -> Self {
        Self {
            expected: digest.to_vec(),
            snp: None,
        }
    }

    /// Takes the message.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field that has the wrong length or lacks its counterpart.
    pub fn new(finish: &protocol::Finish) -> Result<Self, Refusal> {
        Ok(Self {
            expected: finish.expected_digest.clone(),
            snp: finish.sev_snp.as_ref().map(SnpFinish::new).transpose()?,
        })
    }
}

impl SnpFinish {
    fn new(given: &protocol::SevSnpFinish) -> Result<Self, Refusal> {
        let id_block = match (&given.id_block[..], &given.id_auth[..]) {
            ([], []) if given.author_key => {
                return Err(wrong(
                    "sev_snp.author_key",
                    "is set without id_block and id_auth; give both, or leave it unset",
                ));
            }
            ([], []) => None,
            ([], _) => {
                return Err(wrong(
                    "sev_snp.id_auth",
                    "authenticates an id_block, and there is none; give both or neither",
                ));
            }
            (_, []) => {
                return Err(wrong(
                    "sev_snp.id_auth",
                    "is required with id_block; give both or neither",
                ));
            }
            (block, auth) => Some(Box::new(IdBlock {
                block: exactly("sev_snp.id_block", block)?,
                auth: exactly("sev_snp.id_auth", auth)?,
                author_key: given.author_key,
            })),
        };
        Ok(Self {
            id_block,
            host_data: exactly("sev_snp.host_data", &given.host_data)?,
            vcek_disabled: given.vcek_disabled,
        })
    }
}

impl IdBlock {
    /// The launch digest that the block was signed for: its first field (AMD 56860, "Structure of the ID Block").
    #[must_use]
    pub fn launch_digest(&self) -> &[u8] {
        self.block.get(..DIGEST_BYTES).unwrap_or_default()
    }

    /// The guest policy that the block was signed for: its last field (AMD 56860, "Structure of the ID Block", offset 0x58).
    #[must_use]
    pub fn policy(&self) -> u64 {
        self.block
            .last_chunk()
            .map_or(0, |policy| u64::from_le_bytes(*policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> protocol::SevSnpFinish {
        protocol::SevSnpFinish {
            id_block: vec![1; ID_BLOCK],
            id_auth: vec![2; ID_AUTH],
            author_key: true,
            host_data: vec![3; 32],
            vcek_disabled: true,
        }
    }

    fn field(given: protocol::SevSnpFinish) -> String {
        let finish = protocol::Finish {
            expected_digest: Vec::new(),
            sev_snp: Some(given),
        };
        FinishArgs::new(&finish).unwrap_err().field
    }

    #[test]
    fn everything_given_is_taken() {
        let finish = protocol::Finish {
            expected_digest: vec![9; 48],
            sev_snp: Some(given()),
        };
        let args = FinishArgs::new(&finish).unwrap();
        let snp = args.snp.unwrap();
        let id = snp.id_block.unwrap();
        assert_eq!(
            (id.block, id.auth, id.author_key),
            ([1; 96], [2; 4096], true)
        );
        assert_eq!(id.policy(), 0x0101_0101_0101_0101);
        assert_eq!(id.launch_digest(), [1; 48]);
        assert_eq!((snp.host_data, snp.vcek_disabled), ([3; 32], true));
        assert_eq!(args.expected, [9; 48]);
        let default = protocol::SevSnpFinish::default();
        assert_eq!(SnpFinish::new(&default).unwrap(), SnpFinish::default());
    }

    #[test]
    fn a_wrong_length_and_a_missing_counterpart_are_named() {
        type Change = fn(&mut protocol::SevSnpFinish);
        let cases: [(&str, Change); 6] = [
            ("sev_snp.id_block", |f| f.id_block.truncate(95)),
            ("sev_snp.id_auth", |f| f.id_auth.push(0)),
            ("sev_snp.id_auth", |f| f.id_auth.clear()),
            ("sev_snp.id_auth", |f| f.id_block.clear()),
            ("sev_snp.host_data", |f| f.host_data.truncate(31)),
            ("sev_snp.author_key", |f| {
                f.id_block.clear();
                f.id_auth.clear();
            }),
        ];
        for (want, change) in cases {
            let mut bad = given();
            change(&mut bad);
            assert_eq!(field(bad), want);
        }
    }
}
