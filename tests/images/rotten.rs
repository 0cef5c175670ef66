//! Blobs that are changed behind the daemon's back.

use std::{fs, os::unix::fs::FileExt as _};

use stagepages_proto::v1::{LaunchState, Platform};
use stagepages_tests::{Bench, PAGE, on_every_platform, refused};

use super::desk::{Desk, Subject, blob, slice, stage};

/// Flips a byte of a stored image.
fn flip(bench: &Bench, image: &Subject, at: u64) {
    let path = blob(bench, image);
    let file = fs::OpenOptions::new().read(true).write(true).open(path);
    let file = file.unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_never_ends_up_in_a_guest_that_runs() {
    on_every_platform(async |bench: &Bench| {
        let desk = Desk::new(bench);
        for (nth, page) in [0, 5, 511, 512, 699].into_iter().enumerate() {
            let image = Subject::random(nth as u64, 700);
            desk.put(&image).await;
            flip(bench, &image, page * PAGE + 99);
            let launch = bench.launch(&format!("vm-{nth}")).await;
            let refusal = refused(stage(bench, &launch.name, &image).await, "IMAGE_CORRUPT");
            let told = bench.api.get(&launch.name).await.unwrap();
            let installed = refusal.number("installed_pages");
            assert_eq!(told.installed_pages, installed);
            let unchanged = bench.platform == Platform::Sim && page < 512;
            if unchanged {
                assert_eq!((told.state(), installed), (LaunchState::Created, 0));
            } else {
                assert_eq!(told.state(), LaunchState::Aborted);
            }
            if !unchanged {
                refused(
                    bench.api.finish(&launch.name, Vec::new()).await,
                    "WRONG_STATE",
                );
            }
            // It is not given out again, and can be written again.
            stagepages_tests::eventually("the quarantine", async || {
                desk.missing(&image).await.then_some(())
            })
            .await;
            desk.put(&image).await;
            let launch = bench.launch(&format!("again-{nth}")).await;
            assert_eq!(
                stage(bench, &launch.name, &image)
                    .await
                    .unwrap()
                    .installed_pages,
                700
            );
        }
        assert!(bench.daemon.log().contains("corrupt"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_gone_cut_or_something_else_is_told_and_is_no_signal() {
    on_every_platform(async |bench: &Bench| {
        let desk = Desk::new(bench);
        let spoil: [&dyn Fn(&std::path::Path); 4] = [
            &|path| fs::remove_file(path).unwrap(),
            &|path| {
                fs::File::options()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(4097)
                    .unwrap();
            },
            &|path| {
                fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink("/etc/hostname", path).unwrap();
            },
            &|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
        ];
        for (nth, spoil) in spoil.into_iter().enumerate() {
            let image = Subject::random(nth as u64, 600);
            desk.put(&image).await;
            spoil(&blob(bench, &image));
            let launch = bench.launch(&format!("vm-{nth}")).await;
            refused(stage(bench, &launch.name, &image).await, "IMAGE_CORRUPT").installed(0);
            let told = bench.api.get(&launch.name).await.unwrap();
            assert_eq!(
                (told.state(), told.installed_pages),
                (LaunchState::Created, 0)
            );
            assert!(desk.missing(&image).await);
            // What is not the store's is left alone, and in the way until somebody removes it.
            let place = blob(bench, &image);
            if nth >= 2 {
                desk.write(image.requests("in-the-way", 0))
                    .await
                    .unwrap_err();
                fs::remove_file(&place)
                    .or_else(|_| fs::remove_dir(&place))
                    .unwrap();
            }
            desk.put(&image).await;
            let request = slice(&launch.name, 0, &image, 0, 512 * PAGE);
            assert_eq!(
                bench
                    .api
                    .stage_request(request)
                    .await
                    .unwrap()
                    .installed_pages,
                512
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_cut_while_it_is_staged_is_told() {
    use stagepages_tests::{SimScript, page, region};
    use std::time::Duration;

    let options = stagepages_tests::DaemonOptions::new();
    stagepages_tests::on_platform(&options, Platform::Sim, async |bench: &Bench| {
        let desk = Desk::new(bench);
        let image = Subject::random(1, 1500);
        desk.put(&image).await;
        let script = SimScript::new().latency(Duration::from_millis(1));
        let spec = script.spec([region(page(0), 2048 * PAGE)]);
        let launch = bench.api.create("vm", spec).await.unwrap();
        let call = {
            let (api, request) = (
                bench.api.clone(),
                slice(&launch.name, 0, &image, 0, image.size()),
            );
            tokio::spawn(async move { api.stage_request(request).await })
        };
        stagepages_tests::eventually("a page of it", async || {
            let told = bench.api.get(&launch.name).await.unwrap();
            (told.installed_pages > 0).then_some(())
        })
        .await;
        assert!(desk.get(&image.name).await.unwrap().in_use);
        refused(desk.delete(&image).await, "IMAGE_IN_USE");
        let file = fs::File::options()
            .write(true)
            .open(blob(bench, &image))
            .unwrap();
        file.set_len(600 * PAGE).unwrap();
        let refusal = refused(call.await.unwrap(), "IMAGE_CORRUPT");
        let told = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(told.state(), LaunchState::Aborted);
        assert_eq!(told.installed_pages, refusal.number("installed_pages"));
        assert!(
            told.installed_pages <= 1024,
            "pieces that were read before, and no more"
        );
    })
    .await;
}
