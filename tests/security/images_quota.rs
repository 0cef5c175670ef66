//! Image bytes of a tenant, and places of writers: who has too much spares its own, and nobody else loses anything.

use stagepages_tests::{DaemonOptions, PAGE, SimScript, page, refused, region};

use crate::{
    images_desk::{Desk, Picture},
    town::{Town, policy},
};

/// Writes of one tenant at one time: half of what the daemon takes.
const WRITES: u64 = 32;

const RED: &str = "tenant.red.image_bytes";

/// Room for three images of four pages, for red.
fn three() -> String {
    format!("[tenant.red]\nimage_bytes = {}\n", 12 * PAGE)
}

fn pictures<const N: usize>(first: u64) -> [Picture; N] {
    std::array::from_fn(|nth| Picture::of_pages(first + nth as u64, 4))
}

#[tokio::test]
async fn a_tenant_over_its_quota_spares_what_it_used_least_and_others_nothing() {
    let town = Town::with(&three());
    let (blue, red) = (Desk::of(&town, "blue").await, Desk::of(&town, "red").await);
    let [shared, a, b, c] = pictures::<4>(10);
    let blues = pictures::<4>(20);
    // All older than what red has, and more than red may have.
    for picture in &blues {
        blue.put(picture).await;
    }
    blue.put(&shared).await;
    blue.grant(&shared, "red").await.unwrap();
    red.put(&a).await;
    let open = red.open(&b).await;
    refused(open.leave().await, "MALFORMED_REQUEST");
    let spec = SimScript::new().spec([region(page(0), 4 * PAGE)]);
    red.api.create("vm", spec).await.unwrap();
    red.stage("launches/vm", &a).await.unwrap();

    red.put(&c).await;
    refused(red.query(&b, "open").await, "IMAGE_NOT_FOUND");
    assert!(red.has(&shared).await, "an unfinished write goes first");
    red.put(&b).await;
    assert!(!red.has(&shared).await && red.has(&a).await && red.has(&c).await);
    assert!(blue.has(&shared).await);
    for picture in &blues {
        assert!(blue.has(picture).await);
    }
    let usage = red.api.node_info().await.usage.unwrap();
    assert_eq!((usage.images, usage.image_bytes), (3, 12 * PAGE));
}

#[tokio::test]
async fn what_does_not_fit_at_all_costs_nothing_and_is_told_with_its_bound() {
    let town = Town::with(&three());
    let (blue, red) = (Desk::of(&town, "blue").await, Desk::of(&town, "red").await);
    let [a, b, gift] = pictures::<3>(30);
    let large = Picture::of_pages(40, 13);
    red.put(&a).await;
    let refusal = refused(red.send(large.part("x", 0, 13)).await, "QUOTA_EXCEEDED");
    refusal.has_quota(RED);
    assert_eq!(refusal.meta("quota"), RED);
    for number in [12 * PAGE, 4 * PAGE, 13 * PAGE] {
        assert!(refusal.message.contains(&number.to_string()), "{refusal:?}");
    }
    assert!(red.has(&a).await);
    // What is being written is not spared, nor are images for what would not fit beside it.
    let open = red.open(&b).await;
    let two = Picture::of_pages(41, 9);
    refused(red.send(two.part("x", 0, 9)).await, "QUOTA_EXCEEDED").has_quota(RED);
    assert!(red.has(&a).await);
    refused(open.leave().await, "MALFORMED_REQUEST");

    // Nothing goes for a gift, and the giver is not told how much there is.
    let third = Picture::of_pages(42, 4);
    red.put(&third).await;
    blue.put(&gift).await;
    let refusal = refused(blue.grant(&gift, "red").await, "QUOTA_EXCEEDED");
    refusal.has_quota(RED);
    for number in [12 * PAGE, 8 * PAGE] {
        assert!(
            !refusal.message.contains(&number.to_string()),
            "{refusal:?}"
        );
    }
    assert!(red.has(&a).await && red.has(&third).await);
    red.delete(&a).await.unwrap();
    blue.grant(&gift, "red").await.unwrap();
}

#[tokio::test]
async fn a_smaller_quota_of_images_takes_nothing_away_by_itself() {
    let town = Town::start(&policy(), DaemonOptions::new());
    let red = Desk::of(&town, "red").await;
    let [a, b, c, d] = pictures::<4>(50);
    for picture in [&a, &b, &c] {
        red.put(picture).await;
    }
    town.write_policy(&(policy() + &format!("[default]\nimage_bytes = {}\n", 8 * PAGE)));
    town.hang_up();
    town.logged("policy read again", 1).await;
    assert_eq!(red.list().await.len(), 3);
    // A repeat takes no room.
    red.put(&a).await;
    assert_eq!(red.list().await.len(), 3);
    red.put(&d).await;
    assert_eq!(red.missing(&[&a, &b, &c, &d]).await.unwrap().len(), 2);
    assert!(red.has(&c).await && red.has(&d).await);
}

#[tokio::test]
async fn one_tenant_takes_half_of_the_places_of_writers_at_most() {
    let town = Town::with("");
    let (blue, red) = (Desk::of(&town, "blue").await, Desk::of(&town, "red").await);
    let mut open = Vec::new();
    for seed in 0..WRITES {
        open.push(red.open(&Picture::of_pages(100 + seed, 2)).await);
    }
    let one_more = Picture::of_pages(200, 2);
    let refusal = refused(red.send(one_more.part("x", 0, 2)).await, "NO_CAPACITY");
    assert!(refusal.message.contains(&WRITES.to_string()), "{refusal:?}");
    blue.put(&one_more).await;
    let left = open.pop().unwrap();
    refused(left.leave().await, "MALFORMED_REQUEST");
    red.put(&one_more).await;
    for write in open {
        refused(write.leave().await, "MALFORMED_REQUEST");
    }
}
