//! ID blocks are put where firmware reads them, and held against the digest.

use igvm::IgvmDirectiveHeader as Directive;
use igvm_defs::{
    IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY as Key, IGVM_VHS_SNP_ID_BLOCK_SIGNATURE as Signature,
};

use super::made::{SNP, codes, file, page, planned, save_area, snp_context};
use crate::plan::{Plan, Severity};

fn signature(fill: u8) -> Box<Signature> {
    Box::new(Signature {
        r_comp: [fill; 72],
        s_comp: [fill + 1; 72],
    })
}

fn key(fill: u8) -> Box<Key> {
    Box::new(Key {
        curve: 2,
        reserved: 0,
        qx: [fill; 72],
        qy: [fill + 1; 72],
    })
}

fn with_block(ld: [u8; 48], author_key_enabled: u8) -> Plan {
    let block = Directive::SnpIdBlock {
        compatibility_mask: SNP,
        author_key_enabled,
        reserved: [0; 3],
        ld,
        family_id: [0xfa; 16],
        image_id: [0x1d; 16],
        version: 1,
        guest_svn: 0x55,
        id_key_algorithm: 1,
        author_key_algorithm: 1,
        id_key_signature: signature(0x10),
        id_public_key: key(0x20),
        author_key_signature: signature(0x30),
        author_public_key: key(0x40),
    };
    planned(&file(
        SNP,
        vec![
            page(SNP, 0x1000, &[1; 4096]),
            snp_context(0, save_area(0)),
            block,
        ],
    ))
}

#[test]
fn its_parts_are_where_firmware_reads_them() {
    let finish = with_block([7; 48], 1).finish.unwrap();
    assert!(finish.author_key && finish.host_data.is_empty() && !finish.vcek_disabled);
    // kernel.md section 8.1.
    let block: Vec<u8> = [
        &[7; 48][..],
        &[0xfa; 16],
        &[0x1d; 16],
        &[1, 0, 0, 0],
        &[0x55, 0, 0, 0],
        &[0, 0, 3, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(finish.id_block, block);
    let signature = |fill: u8| [vec![fill; 72], vec![fill + 1; 72], vec![0; 512 - 144]].concat();
    let key = |fill: u8| {
        [
            vec![2, 0, 0, 0],
            vec![fill; 72],
            vec![fill + 1; 72],
            vec![0; 1028 - 148],
        ]
        .concat()
    };
    let auth = [
        vec![1, 0, 0, 0, 1, 0, 0, 0],
        vec![0; 56],
        signature(0x10),
        key(0x20),
        vec![0; 60],
        signature(0x30),
        key(0x40),
        vec![0; 892],
    ]
    .concat();
    assert_eq!(auth.len(), 4096);
    assert!(finish.id_auth == auth);
}

#[test]
fn an_author_key_that_is_not_used_is_left_out() {
    let finish = with_block([7; 48], 0).finish.unwrap();
    assert!(!finish.author_key);
    assert!(
        finish.id_auth[4..8] == [0; 4] && finish.id_auth[0x680..].iter().all(|byte| *byte == 0)
    );
}

#[test]
fn a_digest_that_the_launch_does_not_end_in_is_an_error_with_both() {
    let wrong = with_block([7; 48], 0);
    assert_eq!(codes(&wrong), ["ID_BLOCK_DIGEST"]);
    assert_eq!(wrong.findings[0].severity, Severity::Error);
    let right = wrong.digest().unwrap().unwrap();
    let hex: String = right.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(wrong.findings[0].message.contains(&hex));
    assert_eq!(codes(&with_block(right, 0)), [] as [&str; 0]);
}
