//! The policy changes while callers are connected: the next call goes by the new one, and open streams end.

use stagepages_proto::v1::{
    self, image_service_client::ImageServiceClient, write_image_request::Content,
};
use stagepages_tests::{Contents, Extent, eventually, page, refused};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use crate::{
    calls::{call, image_name, prepare, spec},
    town::{Town, entry, person, policy},
};

/// The policy without one of blue's people.
fn without(role: &str) -> String {
    let gone = entry(
        &format!("uid:{}", person("blue", role).uid),
        "blue",
        &[role],
    );
    let all = policy();
    assert!(all.contains(&gone));
    all.replace(&gone, "")
}

#[tokio::test]
async fn a_call_after_the_change_is_denied_and_connections_stay() {
    let town = Town::with("");
    let stager = town.api(person("blue", "stager")).await;
    let admin = town.api(person("blue", "admin")).await;
    let about = prepare(&admin, "vm", 1, "red").await;
    let path = "/stagepages.v1.LaunchService/GetLaunch";
    call(&stager, path, &about).await.unwrap();
    town.write_policy(&without("stager"));
    // Without a word to the daemon: it looks.
    town.logged("policy read again", 1).await;
    let refusal = refused(call(&stager, path, &about).await, "PERMISSION");
    assert!(
        refusal.message.contains("uid:2002 is nobody"),
        "{refusal:?}"
    );
    call(&admin, path, &about).await.unwrap();
    town.write_policy(&policy());
    town.hang_up();
    town.logged("policy read again", 2).await;
    call(&stager, path, &about).await.unwrap();
}

#[tokio::test]
async fn open_streams_end_and_what_was_installed_is_told() {
    let town = Town::with("");
    let admin = town.api(person("blue", "admin")).await;
    let stager = town.api(person("blue", "stager")).await;
    admin.create("vm", spec()).await.unwrap();
    let name = "launches/vm".to_owned();

    let watch = v1::WatchLaunchRequest {
        name: name.clone(),
        uid: String::new(),
    };
    let mut watched = stager
        .launches
        .clone()
        .watch_launch(watch.clone())
        .await
        .unwrap()
        .into_inner();
    watched.next().await.unwrap().unwrap();
    let mut kept = admin
        .launches
        .clone()
        .watch_launch(watch)
        .await
        .unwrap()
        .into_inner();
    kept.next().await.unwrap().unwrap();

    let (extents, requests) = mpsc::channel(4);
    let stage = |nth: u64| v1::StagePagesStreamRequest {
        request: Some(Extent::normal(page(nth), Contents::new(nth).pages(1)).request(&name)),
    };
    extents.send(stage(0)).await.unwrap();
    let stream = ReceiverStream::new(requests);
    let mut staged = stager
        .launches
        .clone()
        .stage_pages_stream(stream)
        .await
        .unwrap()
        .into_inner();
    staged.next().await.unwrap().unwrap();

    let image = Contents::new(3).pages(2);
    let (parts, requests) = mpsc::channel(4);
    let mut images = ImageServiceClient::new(stager.channel.clone());
    let stream = ReceiverStream::new(requests);
    let writing = tokio::spawn(async move { images.write_image(stream).await.map(drop) });
    let part = |offset: usize| v1::WriteImageRequest {
        name: image_name(&image),
        size: image.len() as u64,
        upload_id: "u".to_owned(),
        offset: offset as u64,
        content: Some(Content::Data(image.slice(offset..offset + 4096))),
    };
    parts.send(part(0)).await.unwrap();
    // A call that had not begun would be refused as a whole.
    let asked = v1::QueryWriteRequest {
        name: image_name(&image),
        upload_id: "u".to_owned(),
    };
    let looks = ImageServiceClient::new(admin.channel.clone());
    eventually("a write that is under way", async || {
        looks.clone().query_write(asked.clone()).await.ok()
    })
    .await;

    town.write_policy(&without("stager"));
    town.hang_up();
    // One that waits for nothing is told all the same.
    let mut told = watched.next().await.unwrap();
    while told.is_ok() {
        told = watched.next().await.unwrap();
    }
    refused(told, "PERMISSION");
    assert!(watched.next().await.is_none());
    refused(staged.next().await.unwrap(), "PERMISSION");
    assert!(staged.next().await.is_none());
    // One whose answer is still to come, at its next message.
    parts.send(part(4096)).await.unwrap();
    refused(writing.await.unwrap(), "PERMISSION");
    drop((extents, parts));

    // The others' go on, and nothing that was counted is lost.
    admin
        .stage(&name, Extent::normal(page(1), Contents::new(1).pages(1)))
        .await
        .unwrap();
    kept.next().await.unwrap().unwrap();
    assert_eq!(admin.get(&name).await.unwrap().installed_pages, 2);
}

#[tokio::test]
async fn whoever_is_given_to_another_tenant_sees_nothing_of_the_first() {
    let town = Town::with("");
    let admin = town.api(person("blue", "admin")).await;
    let stager = town.api(person("blue", "stager")).await;
    let about = prepare(&admin, "vm", 1, "red").await;
    let watch = v1::WatchLaunchRequest {
        name: about.launch.clone(),
        uid: String::new(),
    };
    let mut watched = stager
        .launches
        .clone()
        .watch_launch(watch)
        .await
        .unwrap()
        .into_inner();
    watched.next().await.unwrap().unwrap();
    let moved = entry(
        &format!("uid:{}", person("blue", "stager").uid),
        "red",
        &["stager"],
    );
    town.write_policy(&(without("stager") + &moved));
    town.hang_up();
    let refusal = refused(watched.next().await.unwrap(), "PERMISSION");
    assert!(refusal.message.contains("another tenant"), "{refusal:?}");
    let path = "/stagepages.v1.LaunchService/StagePages";
    refused(call(&stager, path, &about).await, "LAUNCH_NOT_FOUND");
}
