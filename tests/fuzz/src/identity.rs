//! ID blocks and keys.

use stagepages_client::id_block::{AUTH_BYTES, BLOCK_BYTES, IdAuth, IdBlock, Key, SignedId};

/// The first bytes are a block, the next its authentication, filled up with zeros; all of it is tried as PEM too.
pub fn id_block(bytes: &[u8]) {
    // Of any length, which mostly is a wrong one.
    assert_eq!(IdBlock::parse(bytes).is_ok(), bytes.len() == BLOCK_BYTES);
    if bytes.len() != AUTH_BYTES {
        assert!(IdAuth::parse(bytes).is_err());
    }
    if let Ok(text) = str::from_utf8(bytes)
        && let Ok(key) = Key::from_pem(text)
    {
        assert_eq!(format!("{key:?}"), "Key(..)");
    }
    let (block, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES));
    let (auth, _) = rest.split_at(rest.len().min(AUTH_BYTES));
    let (block, auth) = (filled(block, BLOCK_BYTES), filled(auth, AUTH_BYTES));
    let Ok(signed) = SignedId::parse(&block, &auth) else {
        return;
    };
    assert_eq!(signed.block.to_bytes(), block);
    assert_eq!(signed.auth.to_bytes(), auth);
    let without_author = signed.problems(false);
    let with_author = signed.problems(true);
    assert!(with_author.starts_with(&without_author));
    for problem in with_author {
        let bound = if problem.structure == "ID block" {
            BLOCK_BYTES
        } else {
            AUTH_BYTES
        };
        assert!(
            problem.offset.is_some_and(|at| at < bound as u64),
            "{problem}"
        );
    }
    assert_eq!(
        signed.author_key_digest().is_some(),
        signed.auth.has_author_key()
    );
    assert!(
        signed
            .disagreements(Some(&signed.block.launch_digest), Some(signed.block.policy))
            .is_empty()
    );
}

fn filled(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(length, 0);
    bytes
}
