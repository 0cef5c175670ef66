use std::os::unix::fs::FileExt as _;

use tokio::time::advance;

use super::*;

fn first_byte(file: &File, slot: u64) -> u8 {
    let mut byte = [0];
    file.read_exact_at(&mut byte, slot * MAX_DATA_BYTES)
        .unwrap();
    byte[0]
}

/// Pages of the memory, in bytes.
fn allocated(staging: &Staging) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    staging.file().metadata().unwrap().blocks() * 512
}

/// Lets other tasks run until they wait.
async fn others() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slot_is_used_by_one_call() {
    let staging = Staging::new().unwrap();
    let mut slots = Vec::new();
    for _ in 0..SLOTS {
        slots.push(staging.slot().await.unwrap());
    }
    let mut numbers: Vec<_> = slots.iter().map(|slot| slot.number).collect();
    numbers.dedup();
    assert_eq!(numbers, (0..SLOTS).collect::<Vec<_>>());

    let first = slots.first_mut().unwrap();
    first.write(&[7; 4096]).unwrap();
    assert!(
        first
            .write(&vec![0; usize::try_from(MAX_DATA_BYTES).unwrap() + 1])
            .is_err()
    );
    assert_eq!(first_byte(staging.file(), 0), 7);
}

#[tokio::test]
async fn the_lowest_slot_is_taken_first() {
    let staging = Staging::new().unwrap();
    let first = staging.slot().await.unwrap();
    let second = staging.slot().await.unwrap();
    let third = staging.slot().await.unwrap();
    drop((second, first));
    assert_eq!(staging.slot().await.unwrap().number, 0);
    drop(third);
    assert_eq!(staging.slot().await.unwrap().number, 0);
}

#[tokio::test]
async fn a_slot_holds_zeros_once_its_call_is_answered() {
    let staging = Staging::new().unwrap();
    let mut slot = staging.slot().await.unwrap();
    slot.write(&[7; 3 * 4096]).unwrap();
    slot.write(&[8; 4096]).unwrap();
    slot.lend();
    slot.take_back();
    drop(slot);
    let mut bytes = vec![1; 3 * 4096];
    staging.file().read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn a_slot_whose_pages_are_gone_is_given_back_as_well() {
    let staging = Staging::new().unwrap();
    let mut slot = staging.slot().await.unwrap();
    slot.write(&[7; 8192]).unwrap();
    // As a host may that wants the daemon to stumble.
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(staging.file(), hole, 0, 8192).unwrap();
    drop(slot);
    assert_eq!(first_byte(staging.file(), 0), 0);
    staging.slot().await.unwrap().write(&[8; 4096]).unwrap();
}

#[tokio::test(start_paused = true)]
async fn pages_stay_between_calls_and_are_gone_when_none_comes() {
    let staging = Staging::new().unwrap();
    for _ in 0..5 {
        let mut slot = staging.slot().await.unwrap();
        slot.write(&[7; 8192]).unwrap();
        drop(slot);
        others().await;
        advance(IDLE / 2).await;
        others().await;
        assert_eq!(allocated(&staging), 8192);
    }
    // A call that writes less leaves the pages of another, and they go with the rest.
    staging.slot().await.unwrap().write(&[8; 4096]).unwrap();
    for _ in 0..3 {
        others().await;
        advance(IDLE).await;
    }
    others().await;
    // Before anything is read: reading a page of a memfd makes it.
    assert_eq!(allocated(&staging), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_back_while_a_call_has_a_slot() {
    let staging = Staging::new().unwrap();
    let mut long = staging.slot().await.unwrap();
    long.write(&[7; 4096]).unwrap();
    let mut short = staging.slot().await.unwrap();
    short.write(&[8; 4096]).unwrap();
    drop(short);
    for _ in 0..5 {
        others().await;
        advance(IDLE).await;
    }
    others().await;
    assert_eq!(first_byte(staging.file(), 0), 7);
    // Wiped, and not given back.
    assert_eq!(first_byte(staging.file(), 1), 0);
    assert_eq!(allocated(&staging), 8192);
}

#[tokio::test]
async fn closing_leaves_nothing_to_whoever_has_the_memory_open() {
    let staging = Staging::new().unwrap();
    let other = staging.file().try_clone().unwrap();
    let mut slot = staging.slot().await.unwrap();
    slot.write(&[7; 4096]).unwrap();
    drop(staging);
    assert_eq!(first_byte(&other, 0), 7);
    drop(slot);
    assert_eq!(first_byte(&other, 0), 0);
}

#[tokio::test]
async fn a_slot_that_a_host_may_read_is_left_as_it_is() {
    let staging = Staging::new().unwrap();
    let other = staging.file().try_clone().unwrap();
    let mut slot = staging.slot().await.unwrap();
    slot.write(&[7; 4096]).unwrap();
    slot.lend();
    drop(slot);
    drop(staging);
    assert_eq!(first_byte(&other, 0), 7);
}
