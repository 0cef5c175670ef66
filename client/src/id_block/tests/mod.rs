//! ID blocks against those of two other programs, and every way in which one can be wrong.

use super::*;

mod keys;
mod others;
mod reasons;

const ID_KEY: &str = include_str!("../testdata/id-key.pem");
const AUTHOR_KEY: &str = include_str!("../testdata/author-key.pem");

/// Block and authentication, and what they were made of.
const OF_SEV_CRATE: (&[u8], &[u8]) = (
    include_bytes!("../testdata/sev-crate.block"),
    include_bytes!("../testdata/sev-crate.auth"),
);
const OF_SEV_SNP_MEASURE: (&[u8], &[u8]) = (
    include_bytes!("../testdata/sev-snp-measure.block"),
    include_bytes!("../testdata/sev-snp-measure.auth"),
);

/// As both programs print them.
const ID_KEY_DIGEST: &str = "52be9aaa8c28caecac869a12dc8ad8cd714aa2efa305ca8bb9a333fc7f2afc2559061e8f845891fb3d3591c75be3cb8b";
const AUTHOR_KEY_DIGEST: &str = "9e6114520333a1249f2097b9f5e10dd8ec63104f37a408638a95a53ba639666e5af5cf7059f8a72d53b5f62de57ea916";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keys() -> (Key, Key) {
    (
        Key::from_pem(ID_KEY).unwrap(),
        Key::from_pem(AUTHOR_KEY).unwrap(),
    )
}

/// What the `sev` crate was told.
fn block() -> IdBlock {
    IdBlock {
        launch_digest: [0xa5; 48],
        family_id: [0xfa; 16],
        image_id: [0x1a; 16],
        version: VERSION,
        guest_svn: 7,
        policy: 0xb_0000,
    }
}

fn signed() -> SignedId {
    let (id_key, author_key) = keys();
    SignedId::sign(block(), &id_key, Some(&author_key))
}
