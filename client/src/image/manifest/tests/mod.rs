use std::{fs, io::Write as _, path::PathBuf};

use tempfile::TempDir;

use super::*;
use crate::{
    addr::Gpa,
    id_block::{IdBlock, Key, SignedId, VERSION},
    image::testing,
    plan::Contents,
    v1::{PageType, vcpu_state::State},
    vcpu::Vcpu,
};

mod mistakes;
mod settings;

const DOCUMENT: &str = include_str!("../../../../../deploy/MANIFEST.md");

/// A manifest with one extent, whose table ends the text.
const SMALL: &str = "version = 1\nplatform = 'kvm'\nmemory = ['0x0+1M']\n[[extent]]\ngpa = 0\n";

fn planned(text: &str, base: &Path, options: &Options) -> Result<Plan, ImageError> {
    load(&testing::input(text.as_bytes().to_vec()), base, options)
}
fn files(named: &[(&str, usize)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, length) in named {
        fs::write(directory.path().join(name), vec![7; *length]).unwrap();
    }
    directory
}
fn examples() -> Vec<&'static str> {
    let blocks = DOCUMENT.split("```toml\n").skip(1);
    blocks.map(|it| it.split_once("```").unwrap().0).collect()
}
fn refused(text: &str) -> String {
    let directory = files(&[("page", 4096), ("odd", 5000)]);
    let error = planned(text, directory.path(), &Options::default()).unwrap_err();
    error.to_string()
}
#[test]
fn the_example_of_the_guide_is_planned_as_the_guide_says() {
    let directory = files(&[
        ("tables.bin", 0x3000),
        ("payload.bin", 0x12000),
        ("cpuid.bin", 0x1000),
        ("id-block.bin", 96),
        ("id-auth.bin", 4096),
    ]);
    let plan = planned(examples()[0], directory.path(), &Options::default()).unwrap();
    testing::assert_sound(&plan);
    let extents = plan.extents.iter();
    let extents: Vec<_> = extents
        .map(|it| (it.name(), it.gpa().bytes(), it.pages(), it.page_type()))
        .collect();
    assert_eq!(
        extents,
        [
            ("page tables", 0x1000, 3, PageType::Normal),
            ("kernel", 0x10_0000, 16, PageType::Normal),
            ("parameters", 0x7000, 1, PageType::Unmeasured),
            ("zeros", 0x20_0000, 256, PageType::Zero),
            ("secrets", 0x80_d000, 1, PageType::Secrets),
            ("cpuid.bin", 0x80_e000, 1, PageType::Cpuid),
        ]
    );
    let states = plan.vcpus.iter().map(|it| Vcpu::from(it).to_string());
    let states: Vec<_> = states.collect();
    assert_eq!(states, ["0=long:0x100000:0x1000,rsi=0x7000", "1=reset"]);
    let policy = plan.sev_snp.as_ref().unwrap().guest_policy.unwrap();
    assert_eq!(crate::sev_snp::Policy::from(policy).number(), 0x3_0137);
    let finish = plan.finish.as_ref().unwrap();
    assert_eq!((finish.id_block.len(), finish.id_auth.len()), (96, 4096));
    assert_eq!(
        (plan.platform, &plan.tdx, plan.memory.len()),
        (Platform::SevSnp, &None, 2)
    );
    assert!(plan.findings.is_empty() && plan.digest().unwrap().is_some());
}
#[test]
fn a_flipped_byte_of_a_signature_is_an_error_of_the_plan() {
    let directory = files(&[("block", 96), ("auth", 4096)]);
    let text = format!(
        "{}type='zero'\nlength=4096\n[sev_snp]\nid_block='block'\nid_auth='auth'",
        SMALL.replace("kvm", "sev-snp")
    );
    let plan = || planned(&text, directory.path(), &Options::default()).unwrap();
    let block = IdBlock {
        launch_digest: plan().digest().unwrap().unwrap(),
        family_id: [0; 16],
        image_id: [0; 16],
        version: VERSION,
        guest_svn: 0,
        policy: plan().guest_policy(),
    };
    let pem = include_str!("../../../id_block/testdata/id-key.pem");
    let signed = SignedId::sign(block, &Key::from_pem(pem).unwrap(), None);
    let mut auth = signed.auth.to_bytes();
    fs::write(directory.path().join("block"), signed.block.to_bytes()).unwrap();
    let errors = |auth: &[u8]| {
        fs::write(directory.path().join("auth"), auth).unwrap();
        let judgement = plan().judge();
        judgement.errors().map(|it| it.code).collect::<Vec<_>>()
    };
    assert_eq!(errors(&auth), [""; 0]);
    auth[0x40] ^= 1;
    assert_eq!(errors(&auth), ["ID_BLOCK_SIGNATURE"]);
}
#[test]
fn the_registers_of_the_guide_reach_their_fields() {
    let text = format!("{SMALL}type='zero'\nlength=4096\n{}", examples()[1]);
    let plan = planned(&text, Path::new("."), &Options::default()).unwrap();
    let Some(State::Registers(registers)) = plan.vcpus[0].state else {
        panic!("{:?}", plan.vcpus);
    };
    assert_eq!(
        (registers.rip, registers.cr0, registers.rflags),
        (0x10_0000, 0x11, 2)
    );
    assert_eq!(registers.general.unwrap().rsi, 0x7000);
    let cs = registers.cs.unwrap();
    assert_eq!(
        (cs.selector, cs.attributes, cs.limit),
        (0x10, 0xc09b, u32::MAX)
    );
    assert_eq!(registers.gdtr.unwrap().limit, 0x1f);
    assert_eq!((registers.ds, registers.pat), (None, None));
}
#[test]
fn settings_of_tdx_reach_their_fields() {
    let id = "ab".repeat(48);
    let text = format!(
        "{}type='normal'\nhex='00'\npad=true\n[tdx]\nattributes=0x10000000\nxfam=7\nmrowner='{id}'\ncpuid=['0x80000008:0x300000:0:0:0']",
        SMALL.replace("kvm", "tdx")
    );
    let plan = planned(&text, Path::new("."), &Options::default()).unwrap();
    let tdx = plan.tdx.unwrap();
    assert_eq!((tdx.attributes, tdx.xfam), (Some(0x1000_0000), Some(7)));
    assert_eq!((&tdx.mrowner[..], tdx.mrowner.len()), (&[0xab; 48][..], 48));
    assert_eq!(
        (tdx.cpuid[0].function, tdx.mrconfigid.len()),
        (0x8000_0008, 0)
    );
}
#[test]
fn contents_of_a_file_stay_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = fs::File::create(directory.path().join("sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all(b"begin").unwrap();
    let text = format!("{SMALL}type='normal'\nfile='sparse'\noffset='1M'\nlength='64G'");
    let plan = planned(&text, directory.path(), &Options::default()).unwrap();
    let extent = &plan.extents[0];
    assert!(matches!(extent.contents(), Contents::File(slice) if slice.length() == 64 << 30));
    assert_eq!((extent.pages(), extent.name()), (16 << 20, "sparse"));
    // A hole costs nothing to claim, and as much as anything to measure.
    let more = "\n[[extent]]\ngpa=0\ntype='unmeasured'\nfile='sparse'\nlength='4K'";
    let error = planned(&(text + more), directory.path(), &Options::default()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("manifest line 10 at offset 0x79: `extent[1]`: up to here contents from files are 0x1000001000 bytes, more than 0x1000000000"),
        "{error}"
    );
}
#[test]
fn wishes_and_the_manifest_have_to_agree() {
    let reset = format!("{SMALL}type='normal'\nlength=4096");
    let nowhere = reset.replace("platform = 'kvm'\n", "");
    let with = |text: &str, options: &Options| planned(text, Path::new("."), options);
    let on = |platform| Options {
        platform: Some(platform),
        ..Options::default()
    };
    assert_eq!(
        with(&nowhere, &on(Platform::Tdx)).unwrap().platform,
        Platform::Tdx
    );
    let error = with(&nowhere, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("names no platform"), "{error}");
    let error = with(&reset, &on(Platform::Sim)).unwrap_err().to_string();
    assert!(
        error.contains("manifest line 2 at offset 0x17: `platform`"),
        "{error}"
    );
    let more = Options {
        vcpus: Some(3),
        cpu_signature: Some(0xa2_0f10),
        memory: vec!["0x0+2M".parse().unwrap()],
        ..on(Platform::SevSnp)
    };
    let plan = with(&nowhere, &more).unwrap();
    assert_eq!((plan.vcpus.len(), plan.memory[0].size), (3, 2 << 20));
    let mut expected = stagepages_digest::vmsa::Registers::reset();
    expected.general.rdx = 0xa2_0f10;
    assert_eq!(crate::plan::registers(&plan.vcpus[2]), Some(expected));
    let kernel = Options {
        kernel: Some(testing::input(b"x".to_vec())),
        ..Options::default()
    };
    let error = with(&reset, &kernel).unwrap_err().to_string();
    assert!(error.contains("test.img: kernel"), "{error}");
}
#[test]
fn a_cpuid_page_may_come_from_who_plans() {
    let text = format!("{}type='cpuid'", SMALL.replace("kvm", "sev-snp"));
    let plan = planned(&text, Path::new("."), &Options::default()).unwrap();
    assert_eq!(
        (plan.pages(), plan.findings[0].code),
        (1, "CPUID_PAGE_EMPTY")
    );
    let options = Options {
        cpuid_page: Some(vec![5; 100].into()),
        ..Options::default()
    };
    let plan = planned(&text, Path::new("."), &options).unwrap();
    assert!(plan.findings.is_empty());
    assert!(matches!(plan.extents[0].contents(), Contents::Bytes(bytes) if bytes.len() == 100));
}
#[test]
fn an_expected_digest_is_held_against_the_plans() {
    let text = format!("{}type='normal'\nlength=4096", SMALL.replace("kvm", "sim"));
    let mut plan = planned(&text, Path::new("."), &Options::default()).unwrap();
    let digest = plan.digest().unwrap().unwrap();
    assert_eq!(plan.unexpected(Some(digest)), None);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("expected_digest = '{hex}'\n{text}");
    plan = planned(&text, Path::new("."), &Options::default()).unwrap();
    assert_eq!(
        (plan.expected_digest, plan.unexpected(Some(digest))),
        (Some(digest), None)
    );
    let finding = plan.unexpected(Some([0; 48])).unwrap();
    assert_eq!(
        (finding.code, finding.message.contains(&hex)),
        ("DIGEST_MISMATCH", true)
    );
    assert!(plan.unexpected(None).is_some());
}
#[test]
fn it_is_told_by_its_name_or_its_first_line() {
    assert!(recognises("a/launch.TOML", b"anything"));
    assert!(recognises("launch", b"# of mine\n\n  version=1\n"));
    assert!(!recognises("launch", b"conversion = 1\n"));
    assert!(!recognises("launch.bin", b"\x7fELF version = 1"));
    assert!(!recognises("launch", b""));
}
#[test]
fn addresses_are_left_to_the_checks_of_every_plan() {
    let text = format!(
        "{SMALL}type='zero'\nlength=8192\n[[extent]]\ngpa=0x1001\ntype='zero'\nlength=4096"
    );
    let plan = planned(&text, Path::new("."), &Options::default()).unwrap();
    assert_eq!(plan.extents[1].gpa(), Gpa::new(0x1001));
}
