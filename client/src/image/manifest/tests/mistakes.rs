//! Manifests with mistakes, and what is said of them.

use proptest::prelude::*;

use super::*;

#[test]
fn nothing_but_regular_files_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        directory.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("/dev/zero", directory.path().join("link")).unwrap();
    for name in ["fifo", "link", "/dev/zero", ".", "absent"] {
        let text = format!("{SMALL}type='normal'\nfile='{name}'");
        let error = planned(&text, directory.path(), &Options::default());
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("manifest line 7")
                && error.contains(name)
                && error.contains("regular file"),
            "{error}"
        );
    }
}
#[test]
fn mistakes_in_an_extent_are_named_with_line_and_key() {
    for (rest, says) in [
        (
            "type='normal'",
            "manifest line 4 at offset 0x31: `extent[0]`: no contents",
        ),
        ("type='normal'\nfile='page'\nhex='00'", "both contents"),
        ("type='normal'\nhex='00'\nlength=1", "leave `length` out"),
        ("type='normal'\nlength=4096\noffset=1", "`offset`"),
        ("type='normal'\nlength=5000", "pad = true"),
        ("type='normal'\nlength=0", "nothing"),
        ("type='normal'\nlength='17G'", "more than 0x400000000"),
        (
            "type='normal'\nhex='0'",
            "line 7 at offset 0x56: `0` is not the beginning of bytes in hex",
        ),
        ("type='normal'\nhex=''", "hex digits"),
        ("type='normal'\nhex=12", "a text in quotes"),
        (
            "type='normal'\nfile='odd'",
            "0x1388 bytes are no whole pages",
        ),
        ("type='normal'\nfile='page'\noffset=1", "pad = true"),
        (
            "type='normal'\nfile='page'\noffset=4096",
            "manifest line 7 at offset 0x57: `extent[0].file`: 0x0 bytes from offset 0x1000",
        ),
        (
            "type='normal'\nfile='page'\nlength='8K'",
            "0x2000 bytes from offset 0x0 of page, which has 0x1000",
        ),
        (
            "type='normal'\nfile='page'\noffset='16777215T'\nlength='4K'",
            "of page",
        ),
        ("type='zero'\nfile='page'", "give `length` alone"),
        ("type='secrets'", "no length"),
        ("type='cpuid'\nlength=4096", "one page of contents"),
        ("type='cpuid'\nfile='odd'", "a CPUID page has 0x1000 bytes"),
        (
            "type='vmsa'",
            "line 6 at offset 0x49: unknown variant `vmsa`",
        ),
        (
            "type='zero'\nlength=-1",
            "line 7 at offset 0x57: `-1` is not a size",
        ),
        ("type='zero'\nlength=4096\nsize=1", "unknown field `size`"),
        ("length=4096", "missing field `type`"),
        (
            "type='zero'\nlength=4096\n[[extent]]\ngpa='0xfffffffffffff000'\ntype='zero'\nlength=4096",
            "line 8 at offset 0x5c: `extent[1]`",
        ),
        (
            "type='zero'\nlength=4096\n[sev_snp]\npolicy='smtt'",
            "`smtt` is not a guest policy",
        ),
        (
            "type='zero'\nlength=4096\n[sev_snp]\nid_block='page'",
            "give `id_auth` too",
        ),
        (
            "type='zero'\nlength=4096\n[sev_snp]\nid_block='page'\nid_auth='page'",
            "`sev_snp.id_block`: page has 0x1000 bytes; give one of 0x60",
        ),
        (
            "type='zero'\nlength=4096\n[sev_snp]\nhost_data='00'",
            "64 hex digits",
        ),
        (
            "type='zero'\nlength=4096\n[tdx]\nmrowner='00'",
            "96 hex digits",
        ),
    ] {
        let error = refused(&format!("{SMALL}{rest}"));
        assert!(
            error.starts_with("test.img: ") && error.contains(says),
            "{says}: {error}"
        );
    }
}
#[test]
fn mistakes_elsewhere_are_named_too() {
    let good = format!("{SMALL}type='zero'\nlength=4096\n");
    for (from, to, says) in [
        (
            "version = 1",
            "version = 2",
            "manifest line 1 at offset 0xa: `version`",
        ),
        ("version = 1", "", "missing field `version`"),
        ("'kvm'", "'sev'", "unknown variant `sev`"),
        (
            "'0x0+1M'",
            "'1M'",
            "line 3 at offset 0x27: `1M` is not a memory region",
        ),
        ("memory", "memmory", "unknown field `memmory`"),
        (
            "version = 1",
            "version = 1\nvcpus=['0=reset','0=reset']",
            "vCPU 0 has a state already",
        ),
        (
            "version = 1",
            "version = 1\nvcpus=['64=reset']",
            "at most 64",
        ),
        (
            "version = 1",
            "version = 1\nvcpus=['0=wide']",
            "line 2 at offset 0x13: `0=wide` is not a vCPU's state",
        ),
        (
            "version = 1",
            "version = 1\nvcpu_count=65",
            "line 2 at offset 0x17: `vcpu_count`",
        ),
        ("version = 1", "version = 1\nvcpu_count=0", "`vcpu_count`"),
        (
            "version = 1",
            "version = 1\nvcpu_count=1\nvcpus=['1=reset']",
            "2 or more",
        ),
        (
            "version = 1",
            "version = 1\nexpected_digest='00'",
            "96 hex digits",
        ),
        ("version = 1", "version = ", "manifest line 1 at offset"),
        ("[[extent]]", "[[extent", "manifest line 4 at offset"),
    ] {
        let error = refused(&good.replace(from, to));
        assert!(error.contains(says), "{says}: {error}");
    }
    let error = refused(&format!("{good}#{}", " ".repeat(1 << 20)));
    assert!(error.contains("0x100000 are read"), "{error}");
    let input = testing::input(b"version = 1\n\xff".to_vec());
    let error = load(&input, Path::new("."), &Options::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("manifest at offset 0xc: no UTF-8"),
        "{error}"
    );
}
#[test]
fn more_regions_than_a_launch_can_have_are_refused() {
    let with = |count: u64| {
        let regions = (0..count).map(|nth| format!("'{:#x}+4K'", nth << 13));
        let regions = regions.collect::<Vec<_>>().join(",");
        SMALL.replace("'0x0+1M'", &regions) + "type='zero'\nlength=4096"
    };
    let most = planned(&with(1024), Path::new("."), &Options::default()).unwrap();
    assert_eq!(most.memory.len(), 1024);
    let error = refused(&with(1025));
    assert!(
        error.contains("manifest line 3 at offset 0x26") && error.contains("1025 memory regions"),
        "{error}"
    );
}
#[test]
fn control_characters_do_not_reach_the_terminal() {
    for text in [
        "\"\\u001b[2J\" = 1",
        "version = 1\nplatform = \"\\u001b[2J\"",
    ] {
        let error = refused(text);
        assert!(!error.contains('\x1b'), "{error:?}");
    }
    let error = refused(&format!("{SMALL}type='normal'\nfile=\"\\u001b[2J\""));
    assert!(!error.contains('\x1b'), "{error:?}");
}
#[test]
fn more_files_than_are_kept_open_are_refused() {
    let names: Vec<_> = (0..257).map(|at| format!("f{at}")).collect();
    let named: Vec<_> = names.iter().map(|it| (it.as_str(), 4096)).collect();
    let directory = files(&named);
    let mut text = SMALL.rsplit_once("[[extent]]").unwrap().0.to_owned();
    for name in &names {
        text += &format!("[[extent]]\ngpa=0\ntype='normal'\nfile='{name}'\n");
    }
    let error = planned(&text, directory.path(), &Options::default()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("`extent[256].file`") && error.contains("256 different files"),
        "{error}"
    );
    let one = text.replace("f256", "f0");
    assert_eq!(
        planned(&one, directory.path(), &Options::default())
            .unwrap()
            .pages(),
        257
    );
}
#[test]
fn a_manifest_that_is_cut_off_anywhere_is_refused_or_planned_and_never_more() {
    let directory = files(&[("tables.bin", 0x3000)]);
    let example = examples()[0];
    for end in (0..example.len()).filter(|end| example.is_char_boundary(*end)) {
        if let Ok(plan) = planned(&example[..end], directory.path(), &Options::default()) {
            assert!(plan.pages() <= 3 + 256 + 16, "{end}");
        }
    }
}
proptest! {
    #[test]
    fn whatever_is_flipped_nothing_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        second in any::<bool>(),
    ) {
        let mut text = if second {
            format!("{SMALL}type='zero'\nlength=4096\n{}", examples()[1])
        } else {
            examples()[0].to_owned()
        }
        .into_bytes();
        for (at, value) in flips {
            let at = at.index(text.len());
            text[at] = value;
        }
        let nowhere = PathBuf::from("/proc/self/no-such-directory");
        if let Ok(plan) = load(&testing::input(text), &nowhere, &Options::default()) {
            prop_assert!(plan.extents.iter().all(|it| it.gpa() < it.end()));
        }
    }
}

#[test]
fn depth_is_bounded() {
    for deep in ["[", "{a=", "a."] {
        let text = format!("version = {}", deep.repeat(100_000));
        let error = refused(&text);
        assert!(error.contains("manifest line 1"), "{error}");
    }
}
