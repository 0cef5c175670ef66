//! `image_kvm` and `image_qemu`: staging 1 GiB from a stored image into `kvm`, against the loop, and against QEMU's own loader with the same file.
//!
//! The image was written before; every round makes a launch, and stages it by reference: what is timed is from the first request to the last answer. The
//! daemon keeps its images on a tmpfs, where QEMU's file lies too.
//!
//! **Invariant:** all sides install the same bytes, out of memory that holds them already.

use std::fs;

use stagepages_client::{
    Client, addr::Gpa, images::ImageName, session::Part, stage::Source, v1::PageType,
};
use stagepages_proto::v1::Platform;
use stagepages_tests::{page, region, spec};

use crate::{
    baseline,
    pairs::alternate,
    qemu,
    report::{Target, absent},
    scratch,
    stage::{create, end, stage_parts},
    world::{World, client},
    write_image::{local, push},
};

pub(crate) fn against_the_loop(world: &World) {
    let source = world.source();
    measure(world, "image_kvm", Target::AtLeast(1.4), || {
        baseline::install(source).as_secs_f64()
    });
}

pub(crate) fn against_qemu(world: &World) {
    if !qemu::is_there() {
        return absent("image_qemu", qemu::MISSING);
    }
    let scratch = scratch::directory();
    let file = scratch.path().join("image");
    fs::write(&file, world.source()).unwrap();
    measure(world, "image_qemu", Target::AtLeast(1.2), || {
        qemu::load_seconds(&file)
    });
}

fn measure(world: &World, name: &str, target: Target, baseline: impl FnMut() -> f64) {
    let dir = scratch::directory();
    world.with_daemon(&scratch::daemon(&dir), Platform::Kvm, |bench| {
        let client = world.runtime.block_on(client(bench));
        let image = world.runtime.block_on(async {
            let image = local(world.source()).await;
            push(&client, &image).await;
            image.name()
        });
        let pairs = alternate(
            world.scale,
            || {
                world
                    .runtime
                    .block_on(staged(&client, image, world.source_bytes()))
            },
            baseline,
        );
        pairs.speed(name, world.source_bytes(), target);
    });
}

async fn staged(client: &Client, image: ImageName, bytes: u64) -> f64 {
    let launch = create(client, spec(Platform::Kvm, [region(page(0), bytes)])).await;
    let part = Part {
        gpa: Gpa::new(0),
        page_type: PageType::Normal,
        source: Source::image(image, 0, bytes).unwrap(),
    };
    let took = stage_parts(client, &launch, vec![part]).await;
    end(client, &launch).await;
    took.as_secs_f64()
}
