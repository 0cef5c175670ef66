//! Guests that look at themselves: what they find is what was staged.
use stagepages_proto::v1::{LaunchState, StopReason};
use stagepages_tests::{Bench, PAGE};

use crate::listing::{DEBUG, SERIAL, assemble, exit, fnv, hash_words, print, print_hex};
use crate::program::{CODE, RESULT, guest, image, long, on_kvm, real, run, stopped};
use crate::terminal::Terminal;

/// Code and data, and the page behind them, which is not staged.
const HASHED: u64 = 2 * PAGE;

fn prints_its_hash(bits: u32) -> Vec<u8> {
    let (code, bytes) = (u32::try_from(CODE).unwrap(), u32::try_from(HASHED).unwrap());
    assemble(bits, |a| {
        hash_words(a, code, bytes)?;
        print_hex(a, SERIAL)?;
        // What nobody staged is there all the same, and zero.
        hash_words(a, u32::try_from(RESULT).unwrap(), 512)?;
        print_hex(a, DEBUG)?;
        print(a, SERIAL, "bye\n")?;
        exit(a, 0)
    })
}

async fn computes_its_hash(bench: &Bench, id: &str, bits: u32) {
    let code = prints_its_hash(bits);
    let state = if bits == 16 { real(0) } else { long(0) };
    let launch = run(bench, id, guest([state]), &code).await;
    let mut terminal = Terminal::attach(bench, &launch.name).await;
    let (serial, debug) = terminal.hear_out().await;
    assert_eq!(serial, format!("{:08x}\nbye\n", fnv(&image(&code))));
    assert_eq!(debug, format!("{:08x}\n", fnv(&[0; 512])));
    let launch = stopped(bench, &launch.name).await;
    let cause = launch.stop.unwrap();
    assert_eq!(
        (cause.reason(), cause.exit_code, cause.vcpu, cause.gpa),
        (StopReason::ExitCode, Some(0), Some(0), None),
        "{}",
        cause.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_real_mode_prints_the_hash_of_its_staged_pages() {
    on_kvm(async |bench: &Bench| computes_its_hash(bench, "real", 16).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_64_bit_mode_prints_the_hash_of_its_staged_pages() {
    on_kvm(async |bench: &Bench| computes_its_hash(bench, "long", 64).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_guests_run_side_by_side() {
    Box::pin(on_kvm(async |bench: &Bench| {
        tokio::join!(
            computes_its_hash(bench, "one", 16),
            computes_its_hash(bench, "two", 64),
            computes_its_hash(bench, "three", 16),
        );
        for id in ["one", "two", "three"] {
            let launch = bench.api.get(&format!("launches/{id}")).await.unwrap();
            assert_eq!(launch.state(), LaunchState::Stopped);
        }
    }))
    .await;
}
