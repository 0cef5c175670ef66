//! Pictures of memory that people have, and of memory that nobody should.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    Area, Drawing, Style,
    layout::{Layout, Line},
    svg, text,
};
use crate::{
    addr::{Gpa, Region},
    v1::PageType,
};

const PLAIN: Style = Style {
    width: 100,
    colour: false,
};

fn area(gpa: u64, pages: u64, page_type: PageType, name: &str) -> Area {
    Area {
        gpa: Gpa::new(gpa),
        pages,
        page_type,
        name: name.to_owned(),
    }
}

fn drawing(memory: &[(u64, u64)], areas: Vec<Area>) -> Drawing {
    let region = |(gpa, size): &(u64, u64)| Region {
        gpa: Gpa::new(*gpa),
        size: *size,
    };
    Drawing {
        title: "launches/vm-1".into(),
        memory: memory.iter().map(region).collect(),
        areas,
    }
}

/// The shape of an OVMF with SEV metadata, in a terabyte.
fn ovmf() -> Drawing {
    drawing(
        &[(0, 1 << 40)],
        vec![
            area(0xffc0_0000, 1024, PageType::Normal, "firmware"),
            area(0x80_0000, 9, PageType::Zero, "SEC memory"),
            area(0x80_a000, 1, PageType::Zero, "SEC memory"),
            area(0x80_d000, 1, PageType::Secrets, "secrets"),
            area(0x80_e000, 1, PageType::Cpuid, "cpuid"),
            area(0x81_0000, 16, PageType::Unmeasured, ""),
        ],
    )
}

#[test]
fn a_terabyte_with_three_pages_is_three_rows() {
    let pages = vec![
        area(0x1000, 1, PageType::Normal, "first"),
        area(0x80_0000_0000, 1, PageType::Secrets, ""),
        area((1 << 40) - 4096, 1, PageType::Cpuid, ""),
    ];
    let told = text(&drawing(&[(0, 1 << 40)], pages), PLAIN);
    let wanted = format!(
        "launches/vm-1: 3 pages, 12K of 1T; a character is 4K\n\
         \n\
         0x0+1T\n\
         \x20          0x0  .N{dots62}  first\n\
         \x20               511.9G without pages\n\
         \x20 0x8000000000  S{dots63}\n\
         \x20               511.9G without pages\n\
         \x20 0xfffffc0000  {dots63}C\n\
         \n\
         N  NORMAL      1 page\n\
         S  SECRETS     1 page\n\
         C  CPUID       1 page\n\
         .  no page",
        dots62 = ".".repeat(62),
        dots63 = ".".repeat(63),
    );
    assert_eq!(told, wanted);
}

#[test]
fn a_rare_page_is_seen_in_any_crowd() {
    let mut areas = vec![area(0, 1 << 18, PageType::Normal, "")];
    areas.push(area(0x1234_5000, 1, PageType::Cpuid, ""));
    let told = text(&drawing(&[(0, 1 << 30)], areas), PLAIN);
    let row = told
        .lines()
        .find(|line| line.contains('c') && line.contains("NN"))
        .unwrap();
    assert_eq!(row.matches('c').count(), 1, "{told}");
    assert!(
        told.contains("a character is 512K") && told.contains("a small letter"),
        "{told}"
    );
}

#[test]
fn a_region_ends_where_it_ends_and_what_is_outside_is_told() {
    let areas = vec![
        area(0x3000, 2, PageType::Zero, ""),
        area(0x10_0000, 1, PageType::Normal, "stray"),
    ];
    let told = text(&drawing(&[(0x2000, 0x4000)], areas), PLAIN);
    assert!(told.contains("0x2000+16K\n    0x2000    .ZZ.\n"), "{told}");
    assert!(
        told.contains("0x100000+4K outside the guest's memory\n  0x100000  N "),
        "{told}"
    );
}

#[test]
fn colours_are_asked_for_and_end_where_they_began() {
    let style = Style {
        colour: true,
        ..PLAIN
    };
    let (plain, colourful) = (text(&ovmf(), PLAIN), text(&ovmf(), style));
    assert!(!plain.contains('\x1b') && colourful.contains("\x1b[38;5;"));
    let mut stripped = String::new();
    for part in colourful.split("\x1b[") {
        stripped.push_str(
            part.split_once('m')
                .filter(|(sgr, _)| sgr.starts_with(['0', '3']))
                .map_or(part, |it| it.1),
        );
    }
    assert_eq!(stripped.replace(' ', ""), plain.replace(' ', ""));
    for line in colourful.lines() {
        let last = line.rsplit("\x1b[").next().unwrap();
        assert!(!line.contains('\x1b') || last.starts_with("0m"), "{line:?}");
    }
}

#[test]
fn names_stay_in_the_width_and_drive_no_terminal() {
    let long = "\x1b[2J".to_owned() + &"x".repeat(300);
    let told = text(
        &drawing(&[(0, 1 << 20)], vec![area(0, 1, PageType::Normal, &long)]),
        PLAIN,
    );
    assert!(
        told.contains("\\u{1b}[2J") && told.contains("xx..") && !told.contains('\x1b'),
        "{told}"
    );
    assert!(
        told.lines().all(|line| line.chars().count() <= 100),
        "{told}"
    );
    let narrow = Style { width: 40, ..PLAIN };
    assert!(
        !text(&ovmf(), narrow).contains("secrets"),
        "no room for names"
    );
}

#[test]
fn a_file_is_well_formed_whatever_names_are() {
    let mut names = ovmf();
    names.title = "</title><script>alert(1)</script> & \"quotes\" \0\u{ffff}".into();
    names.areas[0].name = "]]></svg><!-- ' \u{b}".into();
    let file = svg(&names);
    let document = roxmltree::Document::parse(&file).unwrap();
    assert!(
        document
            .descendants()
            .all(|node| !node.has_tag_name("script"))
    );
    let title = document
        .descendants()
        .find(|node| node.tag_name().name() == "title")
        .unwrap();
    assert!(
        title
            .text()
            .unwrap()
            .contains("</title><script>alert(1)</script> & \"quotes\"")
    );
    for outside in ["href", "url(", "@import", "http://", "https://"] {
        let uses = file.replace("http://www.w3.org/2000/svg", "");
        assert!(!uses.contains(outside), "{outside}");
    }
}

#[test]
fn a_file_tells_each_area_in_a_tooltip_and_is_the_same_every_time() {
    let file = svg(&ovmf());
    assert_eq!(file, svg(&ovmf()));
    for told in [
        "1024 pages NORMAL at 0xffc00000: firmware",
        "1 page SECRETS at 0x80d000: secrets",
        "1 page CPUID at 0x80e000: cpuid",
        "16 pages UNMEASURED at 0x810000",
    ] {
        assert!(
            file.contains(&format!("<title>{told}</title>")),
            "{told}: {file}"
        );
    }
}

#[test]
fn crowds_and_claims_make_small_files() {
    let types = [PageType::Normal, PageType::Zero, PageType::Unmeasured];
    let crowd: Vec<_> = (0..30_000_u64)
        .map(|nth| {
            area(
                nth * 0x9000 + 0x1000,
                1,
                types[usize::try_from(nth % 3).unwrap()],
                "crowd",
            )
        })
        .collect();
    assert!(svg(&drawing(&[(0, 1 << 40)], crowd)).len() < 2 << 20);
    let stray = (0..30_000_u64).map(|nth| area(nth << 20, 1, PageType::Zero, ""));
    let stray = drawing(&[(1 << 30, 1 << 20), (3 << 30, 1 << 20)], stray.collect());
    let told = text(&stray, PLAIN);
    assert_eq!(
        told.matches("outside").count(),
        3,
        "one for each hole: {told}"
    );
    assert!(told.lines().count() < 60, "{told}");
    let claims = drawing(
        &[(0, u64::MAX), (0x1000, u64::MAX)],
        vec![
            area(u64::MAX - 0xfff, u64::MAX, PageType::Normal, ""),
            area(0, u64::MAX, PageType::Unspecified, ""),
            area(5, 0, PageType::Zero, "nothing"),
        ],
    );
    assert!(svg(&claims).len() < 1 << 20 && text(&claims, PLAIN).contains("X  unknown"));
    let nothing = drawing(&[], Vec::new());
    assert!(text(&nothing, PLAIN).contains("0 pages, 0 of 0"));
    roxmltree::Document::parse(&svg(&nothing)).unwrap();
}

fn areas() -> impl Strategy<Value = Vec<Area>> {
    let page_type = prop::sample::select(super::palette::TYPES.to_vec());
    let one = (0_u64..1 << 28, 0_u32..20, page_type)
        .prop_map(|(gfn, size, page_type)| area(gfn << 12, 1 << size, page_type, "n"));
    prop::collection::vec(one, 0..20)
}

proptest! {
    #[test]
    fn all_that_is_staged_is_in_some_row(areas in areas(), regions in prop::collection::vec((0_u64..1 << 28, 1_u64..1 << 20), 0..4)) {
        let memory: Vec<_> = regions.into_iter().map(|(gfn, pages)| (gfn << 12, pages << 12)).collect();
        let drawing = drawing(&memory, areas);
        let layout = Layout::of(&drawing, 32);
        let mut lines = 0;
        for band in &layout.bands {
            lines += band.lines.len();
            let rows: Vec<u64> = band.lines.iter().filter_map(|line| match line {
                Line::Row(start) => Some(*start),
                Line::Empty(_) => None,
            }).collect();
            prop_assert!(rows.is_sorted_by(|a, b| a < b));
            for (start, end) in drawing.areas.iter().filter_map(|area| band.clip(area)) {
                for place in [start, end - 1, start + (end - 1 - start) / 2] {
                    prop_assert!(rows.iter().any(|row| *row <= place && place - row < layout.row()), "{place:#x}");
                }
            }
        }
        // Each region, and each hole between them, may need a row of its own.
        prop_assert!(lines <= 32 + 2 * layout.bands.len(), "{lines} lines");
        let letters: BTreeSet<char> = text(&drawing, PLAIN).chars().collect();
        for area in &drawing.areas {
            let hidden = drawing.areas.iter().any(|other| other.page_type != area.page_type);
            let letter = super::palette::look(area.page_type).letter;
            prop_assert!(hidden || letters.contains(&letter));
        }
        let file = svg(&drawing);
        prop_assert!(roxmltree::Document::parse(&file).is_ok());
        prop_assert!(!file.contains("width=\"0\""));
    }
}
