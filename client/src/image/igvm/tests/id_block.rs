//! ID blocks are put where firmware reads them, and judged with every plan.

use igvm::{IgvmDirectiveHeader as Directive, IgvmFile};
use igvm_defs::{
    IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY as Key, IGVM_VHS_SNP_ID_BLOCK_SIGNATURE as Signature,
};

use super::made::{SNP, bytes, codes, file, page, plan, planned, save_area, snp_context};
use crate::{
    id_block::{self, SignedId, VERSION},
    image::Options,
    plan::{Plan, Severity},
    v1::Platform,
};

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

/// The header, signed by nobody.
fn header(ld: [u8; 48], author_key_enabled: u8) -> Directive {
    Directive::SnpIdBlock {
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
    }
}

fn image(block: Directive) -> IgvmFile {
    let directives = vec![
        page(SNP, 0x1000, &[1; 4096]),
        snp_context(0, save_area(0)),
        block,
    ];
    file(SNP, directives)
}

fn with_block(ld: [u8; 48], author_key_enabled: u8) -> Plan {
    planned(&image(header(ld, author_key_enabled)))
}

/// The header, with a signature that is good but for what `change` does to it.
fn with_good_block(digest: [u8; 48], change: impl Fn(&mut Signature)) -> Plan {
    let pem = include_str!("../../../id_block/testdata/id-key.pem");
    let block = id_block::IdBlock {
        launch_digest: digest,
        family_id: [0xfa; 16],
        image_id: [0x1d; 16],
        version: VERSION,
        guest_svn: 0x55,
        policy: 0x3_0000,
    };
    let auth = SignedId::sign(block, &id_block::Key::from_pem(pem).unwrap(), None).auth;
    let mut header = header(digest, 0);
    let Directive::SnpIdBlock {
        id_key_signature: signature,
        id_public_key: key,
        ..
    } = &mut header
    else {
        panic!("{header:?}");
    };
    (signature.r_comp, signature.s_comp) = (auth.block_signature.r, auth.block_signature.s);
    (key.qx, key.qy) = (auth.id_key.qx, auth.id_key.qy);
    change(signature);
    planned(&image(header))
}

fn errors(plan: &Plan) -> Vec<(&'static str, String)> {
    let found = plan.check().into_iter();
    found
        .filter(|it| it.severity == Severity::Error)
        .map(|it| (it.code, it.message))
        .collect()
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
fn a_digest_that_the_launch_does_not_end_in_is_one_error_with_both() {
    let wrong = with_good_block([7; 48], |_| ());
    let found = errors(&wrong);
    let [("ID_BLOCK_DIGEST", message)] = found.as_slice() else {
        panic!("{found:?}");
    };
    let right = wrong.digest().unwrap().unwrap();
    let hex: String = right.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(message.contains(&hex) && message.contains(&"07".repeat(48)));
    assert_eq!(errors(&with_good_block(right, |_| ())), []);
}

#[test]
fn a_flipped_byte_of_a_signature_is_an_error() {
    let right = with_block([7; 48], 0).digest().unwrap().unwrap();
    let flipped = with_good_block(right, |signature| signature.s_comp[3] ^= 1);
    let found = errors(&flipped);
    let [("ID_BLOCK_SIGNATURE", message)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(message.contains("BAD_SIGNATURE"), "{message}");
}

#[test]
fn sim_leaves_it_out_and_says_so() {
    let options = Options {
        platform: Some(Platform::Sim),
        ..Options::default()
    };
    let plan = plan(bytes(&image(header([7; 48], 0))), &options).unwrap();
    assert_eq!(
        (codes(&plan).as_slice(), plan.finish),
        (&["ID_BLOCK_ON_SIM"][..], None)
    );
}
