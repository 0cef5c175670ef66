//! `--map` and `--svg`: the memory of a launch and of a plan, drawn.
use stagepages_proto::v1::PageType;
use stagepages_tests::{Bench, Extent, PAGE, elf, on_every_platform, page};

use crate::stagectl::{json, run, stagectl};

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_is_drawn_for_people_and_for_tickets() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        for (at, page_type) in [(1, PageType::Zero), (65, PageType::Normal)] {
            let extent = Extent::length(page(at), page_type, 2 * PAGE);
            bench.api.stage(&launch.name, extent).await.unwrap();
        }
        let map = stagectl(&bench.daemon, &["launch", "pages", "vm", "--map"]);
        assert_eq!((map.exit, map.stderr.as_str()), (Some(0), ""), "{map:?}");
        for row in [
            "launches/vm: 4 pages",
            "\n0x0+4M\n",
            "  .ZZ..",
            "  .NN..",
            "M without pages",
            "Z  ZERO        2 pages",
        ] {
            assert!(map.stdout.contains(row), "{row:?}: {}", map.stdout);
        }
        assert!(!map.stdout.contains('\x1b'), "no colours into a pipe");

        let file = bench.daemon.dir().join("vm.svg");
        let path = file.to_str().unwrap();
        let pages = json(bench, &["launch", "pages", "vm", "--svg", path]);
        assert_eq!(
            (&pages["svg"], pages["runs"].as_array().unwrap().len()),
            (&path.into(), 2)
        );
        let picture = std::fs::read_to_string(&file).unwrap();
        assert!(
            picture.starts_with("<?xml") && picture.ends_with("</svg>\n"),
            "{picture}"
        );
        assert!(
            picture.contains("<title>2 pages ZERO at 0x1000</title>"),
            "{picture}"
        );
        let again = stagectl(&bench.daemon, &["launch", "pages", "vm", "--svg", path]);
        assert_eq!(again.exit, Some(1), "nothing is overwritten: {again:?}");
        assert!(
            again.stderr.contains(path) && again.stderr.contains("hint: "),
            "{again:?}"
        );
        let both = stagectl(
            &bench.daemon,
            &["launch", "pages", "vm", "--map", "--output", "json"],
        );
        assert_eq!(both.exit, Some(2), "a map is no JSON: {both:?}");
    })
    .await;
}

#[test]
fn a_plan_is_drawn_with_the_names_of_its_extents() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("guest.elf");
    std::fs::write(&image, elf(&[0xf4])).unwrap();
    let svg = dir.path().join("guest.svg");
    let (image, svg) = (image.to_str().unwrap(), svg.to_str().unwrap());
    let plan = run(&["plan", image, "--platform", "kvm", "--map", "--svg", svg]);
    assert_eq!(plan.exit, Some(0), "{plan:?}");
    for words in [
        "a character is 4K",
        "boot_params",
        "N  NORMAL",
        "drawn into ",
    ] {
        assert!(plan.stdout.contains(words), "{words}: {}", plan.stdout);
    }
    let picture = std::fs::read_to_string(svg).unwrap();
    assert!(picture.contains("bss</title>"), "{picture}");
}
