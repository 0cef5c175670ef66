//! Stored images of two tenants: neither learns anything of what the other has.

use std::time::Duration;

use stagepages_proto::v1::{self, StagePagesResponse};
use stagepages_tests::{Contents, PAGE, Refusal, SimScript, eventually, page, refused, region};
use tonic::Status;

use crate::{
    images_desk::{Desk, Picture},
    town::Town,
};

fn of_pages(pages: u64) -> v1::LaunchSpec {
    SimScript::new().spec([region(page(0), pages * PAGE)])
}

/// All that a person is told of an image, but for its name.
async fn told(desk: &Desk, picture: &Picture) -> Vec<String> {
    let digest = picture.name.strip_prefix("images/").unwrap();
    let without_name = |text: &str| text.replace(digest, "it");
    let missing = desk.missing(&[picture]).await.unwrap();
    let mut all = vec![without_name(&missing.join(" "))];
    let mut refusals: Vec<Status> = Vec::new();
    // Begins a write, and sends nothing of it.
    refusals.extend(desk.send(picture.part("a", 0, 0)).await.err());
    let state = desk.query(picture, "a").await;
    all.push(format!("{state:?}"));
    refusals.extend(desk.query(picture, "b").await.err());
    refusals.extend(desk.get(picture).await.err());
    refusals.extend(desk.grant(picture, "blue").await.err());
    refusals.extend(desk.delete(picture).await.err());
    refusals.extend(desk.stage("launches/vm", picture).await.err());
    let reasons = refusals.iter().map(|status| Refusal::of(status).reason);
    all.extend(reasons);
    let messages = refusals.iter().map(|status| without_name(status.message()));
    all.extend(messages);
    all
}

#[tokio::test]
async fn an_image_of_another_tenant_is_as_one_that_nobody_has() {
    let town = Town::with("");
    let (blue, red) = (Desk::of(&town, "blue").await, Desk::of(&town, "red").await);
    let (theirs, nobodys) = (Picture::of_pages(1, 4), Picture::of_pages(2, 4));
    blue.put(&theirs).await;
    red.api.create("vm", of_pages(4)).await.unwrap();
    let said = told(&red, &theirs).await;
    assert_eq!(said, told(&red, &nobodys).await);
    for reason in ["IMAGE_NOT_FOUND", "MALFORMED_REQUEST"] {
        assert!(said.iter().any(|known| known == reason), "{said:?}");
    }
    assert_eq!(red.list().await, []);
    let usage = |desk: &Desk| {
        let api = desk.api.clone();
        async move { api.node_info().await.usage.unwrap() }
    };
    let begun = usage(&red).await;
    assert_eq!((begun.images, begun.image_bytes), (0, 2 * theirs.size()));

    // All of its bytes have to come, and they have to be its bytes.
    let forged = Contents::new(3).pages(4);
    let forged = Picture {
        bytes: forged,
        ..theirs.clone()
    };
    refused(
        red.send(forged.part("forged", 0, 4)).await,
        "IMAGE_DIGEST_MISMATCH",
    );
    assert!(!red.has(&theirs).await);
    red.put(&theirs).await;
    assert_eq!(red.stage("launches/vm", &theirs).await.unwrap(), 4);
    // It counts in full for each, whoever came first.
    for desk in [&blue, &red] {
        let usage = usage(desk).await;
        assert_eq!(usage.images, 1);
        assert!(usage.image_bytes >= theirs.size());
    }
    blue.delete(&theirs).await.unwrap();
    assert!(red.has(&theirs).await);
}

#[tokio::test]
async fn the_same_upload_of_two_tenants_is_two_uploads() {
    let town = Town::with("");
    let (blue, red) = (Desk::of(&town, "blue").await, Desk::of(&town, "red").await);
    let picture = Picture::of_pages(1, 4);
    // Each breaks off, elsewhere.
    refused(
        blue.send(picture.part("same", 0, 1)).await,
        "MALFORMED_REQUEST",
    );
    refused(red.query(&picture, "same").await, "IMAGE_NOT_FOUND");
    refused(
        red.send(picture.part("same", 0, 2)).await,
        "MALFORMED_REQUEST",
    );
    let offset = |state: v1::QueryWriteResponse| (state.committed_offset, state.complete);
    let state = async |desk: &Desk| offset(desk.query(&picture, "same").await.unwrap());
    assert_eq!(state(&blue).await, (PAGE, false));
    assert_eq!(state(&red).await, (2 * PAGE, false));
    blue.send(picture.part("same", 1, 3)).await.unwrap();
    assert_eq!(state(&blue).await, (4 * PAGE, true));
    assert_eq!(state(&red).await, (2 * PAGE, false));
    let refusal = refused(red.send(picture.part("same", 1, 3)).await, "IMAGE_OFFSET");
    assert_eq!(refusal.number("committed_offset"), 2 * PAGE);
    red.send(picture.part("same", 2, 2)).await.unwrap();
    assert!(red.has(&picture).await);
}

#[tokio::test]
async fn a_granted_image_says_nothing_of_what_its_giver_does() {
    let town = Town::with("");
    let (blue, red) = (Desk::of(&town, "blue").await, Desk::of(&town, "red").await);
    let picture = Picture::of_pages(1, 512);
    blue.put(&picture).await;
    red.api.create("vm", of_pages(512)).await.unwrap();
    refused(red.stage("launches/vm", &picture).await, "IMAGE_NOT_FOUND");
    blue.grant(&picture, "red").await.unwrap();
    let given = red.get(&picture).await.unwrap();
    assert_eq!(red.list().await, std::slice::from_ref(&given));

    // Blue stages from it for ten seconds, unless it is aborted.
    let slow = SimScript::new().latency(Duration::from_millis(20));
    let slow = slow.spec([region(page(0), 512 * PAGE)]);
    blue.api.create("vm", slow).await.unwrap();
    let (api, slice) = (blue.api.clone(), picture.slice("launches/vm"));
    let call = tokio::spawn(async move { api.stage_request(slice).await });
    eventually("an image that is staged from", async || {
        let image = blue.get(&picture).await.unwrap();
        image.in_use.then_some(())
    })
    .await;
    assert_eq!(red.get(&picture).await.unwrap(), given);
    red.delete(&picture).await.unwrap();
    refused(blue.delete(&picture).await, "IMAGE_IN_USE");
    blue.grant(&picture, "red").await.unwrap();
    assert!(!red.get(&picture).await.unwrap().in_use);
    let in_use = blue.get(&picture).await.unwrap().in_use;
    assert!(in_use, "it was staged from all the while");
    blue.api.abort("launches/vm").await.unwrap();
    let ended: Result<StagePagesResponse, Status> = call.await.unwrap();
    ended.unwrap_err();

    eventually("an image that is left alone", async || {
        blue.delete(&picture).await.ok()
    })
    .await;
    assert_eq!(red.stage("launches/vm", &picture).await.unwrap(), 512);
    refused(blue.get(&picture).await, "IMAGE_NOT_FOUND");
}
