//! An image's own ID block: what the launch must end in, signed, as firmware reads it.
//!
//! A file has neither reserved bytes nor the policy, which is the launch's.
//!
//! **Invariant:** nothing is signed or judged here, only put in place; the checks of every plan judge what comes of it.

use igvm_defs::{
    IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY as Key,
    IGVM_VHS_SNP_ID_BLOCK_SIGNATURE as Signed,
};

use super::{super::ImageError, notes::Notes, walk::Raw};
use crate::{
    id_block::{IdAuth, IdBlock as Block, PublicKey, Signature},
    plan::Severity,
    v1::{Platform, SevSnpFinish},
};

/// One, as a file has it.
#[derive(Debug)]
pub(super) struct IdBlock {
    header: Box<IGVM_VHS_SNP_ID_BLOCK>,
    /// Where it is in the file.
    offset: u64,
}

impl IdBlock {
    /// # Errors
    /// The author key is neither there nor not there.
    pub(super) fn new(raw: &Raw<'_>, header: IGVM_VHS_SNP_ID_BLOCK) -> Result<Self, ImageError> {
        if header.author_key_enabled > 1 || header.reserved != [0; 3] {
            return Err(raw.wrong(format!(
                "the author key is {:#x}, which is neither used (1) nor unused (0), or a reserved byte is set; make the file anew",
                header.author_key_enabled
            )));
        }
        Ok(Self {
            header: Box::new(header),
            offset: raw.offset,
        })
    }

    /// What FinishLaunch is given for a launch with this guest policy.
    pub(super) fn finish(&self, policy: u64) -> SevSnpFinish {
        let it = &self.header;
        let block = Block {
            launch_digest: it.ld,
            family_id: it.family_id,
            image_id: it.image_id,
            version: it.version,
            guest_svn: it.guest_svn,
            policy,
        };
        let mut auth = IdAuth {
            id_key_algorithm: it.id_key_algorithm,
            author_key_algorithm: 0,
            block_signature: signature(&it.id_key_signature),
            id_key: key(&it.id_public_key),
            id_key_signature: Signature::default(),
            author_key: PublicKey::default(),
        };
        let author_key = it.author_key_enabled == 1;
        if author_key {
            auth.author_key_algorithm = it.author_key_algorithm;
            auth.id_key_signature = signature(&it.author_key_signature);
            auth.author_key = key(&it.author_public_key);
        }
        SevSnpFinish {
            id_block: block.to_bytes().into(),
            id_auth: auth.to_bytes().into(),
            author_key,
            ..SevSnpFinish::default()
        }
    }

    /// Tells where no platform takes it.
    pub(super) fn note_left_out(&self, platform: Platform, notes: &mut Notes) {
        if platform == Platform::Sim {
            notes.once(Severity::Note, "ID_BLOCK_ON_SIM", self.offset, || {
                "the image has an ID block, which sim does not take; it is left out".to_owned()
            });
        }
    }
}

fn signature(of: &Signed) -> Signature {
    Signature {
        r: of.r_comp,
        s: of.s_comp,
    }
}

/// Without the reserved word behind the curve, which firmware's layout has not.
fn key(of: &Key) -> PublicKey {
    PublicKey {
        curve: of.curve,
        qx: of.qx,
        qy: of.qy,
    }
}
