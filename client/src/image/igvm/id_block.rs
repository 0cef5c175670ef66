//! An image's own ID block: what the launch must end in, signed, put into the layout that firmware reads.
//!
//! ```text
//! ID block (96):  digest 0, family id 0x30, image id 0x40, version 0x50, guest SVN 0x54, policy 0x58
//! ID auth (4096): algorithms 0 and 4, ID block's signature 0x40, ID key 0x240, ID key's signature 0x680, author key 0x880
//! ```
//!
//! AMD 56860, at SNP_LAUNCH_FINISH. A file has neither reserved bytes nor the policy, which is the launch's.
//!
//! **Invariant:** nothing is signed or checked here, only put in place.

use igvm_defs::{
    IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY as Key,
    IGVM_VHS_SNP_ID_BLOCK_SIGNATURE as Signature,
};

use super::{super::ImageError, notes::Notes, walk::Raw};
use crate::{
    plan::{Plan, Severity},
    v1::{Platform, SevSnpFinish},
};

const BLOCK_BYTES: usize = 96;
const AUTH_BYTES: usize = 4096;
const DIGEST_BYTES: usize = 48;

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
        let mut block = vec![0; BLOCK_BYTES];
        put(&mut block, 0, &it.ld);
        put(&mut block, 0x30, &it.family_id);
        put(&mut block, 0x40, &it.image_id);
        put(&mut block, 0x50, &it.version.to_le_bytes());
        put(&mut block, 0x54, &it.guest_svn.to_le_bytes());
        put(&mut block, 0x58, &policy.to_le_bytes());
        let author_key = it.author_key_enabled == 1;
        let mut auth = vec![0; AUTH_BYTES];
        put(&mut auth, 0, &it.id_key_algorithm.to_le_bytes());
        put_signature(&mut auth, 0x40, &it.id_key_signature);
        put_key(&mut auth, 0x240, &it.id_public_key);
        if author_key {
            put(&mut auth, 4, &it.author_key_algorithm.to_le_bytes());
            put_signature(&mut auth, 0x680, &it.author_key_signature);
            put_key(&mut auth, 0x880, &it.author_public_key);
        }
        SevSnpFinish {
            id_block: block.into(),
            id_auth: auth.into(),
            author_key,
            ..SevSnpFinish::default()
        }
    }

    /// Tells a digest that the launch will not end in: firmware would refuse to finish it.
    ///
    /// # Errors
    /// The plan has no digest, which no plan of this loader has on SEV-SNP.
    pub(super) fn check(&self, plan: &Plan, notes: &mut Notes) -> Result<(), ImageError> {
        let foretold = plan.digest().map_err(|error| {
            ImageError::whole(
                "IGVM file",
                format!("its digest cannot be computed: {error}"),
            )
        })?;
        if let Some(digest) = foretold.filter(|digest| *digest != self.header.ld) {
            notes.once(Severity::Error, "ID_BLOCK_DIGEST", self.offset, || {
                format!(
                    "the image's ID block is for the digest {}, and the launch would end in {}, so that firmware would refuse to finish it; other findings say where they part: sign an ID block for the latter",
                    hex(&self.header.ld),
                    hex(&digest)
                )
            });
        }
        if plan.platform == Platform::Sim {
            notes.once(Severity::Note, "ID_BLOCK_ON_SIM", self.offset, || {
                "the image has an ID block, which sim does not take; it is left out".to_owned()
            });
        }
        Ok(())
    }
}

fn put_signature(auth: &mut [u8], at: usize, signature: &Signature) {
    put(auth, at, &signature.r_comp);
    put(auth, at + 72, &signature.s_comp);
}

/// Without the reserved word behind the curve, which firmware's layout has not.
fn put_key(auth: &mut [u8], at: usize, key: &Key) {
    put(auth, at, &key.curve.to_le_bytes());
    put(auth, at + 4, &key.qx);
    put(auth, at + 76, &key.qy);
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    to.iter_mut()
        .skip(at)
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
}

fn hex(digest: &[u8; DIGEST_BYTES]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
