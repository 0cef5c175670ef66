//! vCPUs and how they begin.
use bytes::Bytes;
use iced_x86::code_asm::{al, dword_ptr, dx, ebx, edi};
use stagepages_kvm::Gpa;
use stagepages_proto::v1::vcpu_state::State;
use stagepages_proto::v1::{
    LaunchSpec, Platform, SetVcpuStateRequest, StopReason, VcpuReset, VcpuState,
};
use stagepages_tests::{Bench, Extent, PAGE, page, region, spec};

use crate::listing::{SERIAL, assemble, assemble_at, exit, fnv, hash_words, print, print_hex};
use crate::program::{
    CODE, DATA, RESULT, guest, image, long, on_kvm, real, real_at, run, stage, start, stopped,
};
use crate::terminal::Terminal;

/// Where the second vCPU begins, in the page of the first one's code.
const SECOND: u64 = CODE + 0x800;

#[tokio::test(flavor = "multi_thread")]
async fn one_vcpu_computes_and_another_tells() {
    on_kvm(async |bench: &Bench| {
        let result = u32::try_from(RESULT).unwrap();
        // The first, in 64-bit mode, waits for the second, in real mode.
        let mut code = assemble(64, |a| {
            let mut wait = a.create_label();
            a.set_label(&mut wait)?;
            a.pause()?;
            a.cmp(dword_ptr(RESULT), 0)?;
            a.je(wait)?;
            a.mov(ebx, dword_ptr(RESULT + 4))?;
            print_hex(a, SERIAL)?;
            exit(a, 7)
        });
        code.resize(usize::try_from(SECOND - CODE).unwrap(), 0xcc);
        code.extend(assemble_at(16, SECOND, |a| {
            hash_words(
                a,
                u32::try_from(DATA).unwrap(),
                u32::try_from(PAGE).unwrap(),
            )?;
            a.mov(dword_ptr(result + 4), ebx)?;
            a.mov(dword_ptr(result), 1)?;
            a.hlt()
        }));
        let launch = run(bench, "two", guest([long(0), real_at(1, SECOND)]), &code).await;
        let mut terminal = Terminal::attach(bench, &launch.name).await;
        let data = usize::try_from(PAGE).unwrap();
        let expected = format!("{:08x}\n", fnv(&image(&code)[data..]));
        assert_eq!(terminal.hear_out().await.0, expected);
        let cause = stopped(bench, &launch.name).await.stop.unwrap();
        assert_eq!(
            (cause.reason(), cause.vcpu, cause.exit_code),
            (StopReason::ExitCode, Some(0), Some(7))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_has_halted_when_its_last_vcpu_has() {
    on_kvm(async |bench: &Bench| {
        let code = assemble(16, |a| {
            print(a, SERIAL, "x")?;
            a.hlt()
        });
        let launch = run(bench, "halts", guest([real(0), real(1), real(2)]), &code).await;
        let mut terminal = Terminal::attach(bench, &launch.name).await;
        assert_eq!(terminal.hear_out().await.0, "xxx");
        let cause = stopped(bench, &launch.name).await.stop.unwrap();
        assert_eq!((cause.reason(), cause.vcpu), (StopReason::Halted, None));
    })
    .await;
}

async fn set(bench: &Bench, name: &str, state: VcpuState) {
    let request = SetVcpuStateRequest {
        name: name.to_owned(),
        uid: String::new(),
        state: Some(state),
    };
    let answer = bench.api.launches.clone().set_vcpu_state(request).await;
    assert_eq!(answer.unwrap().into_inner().launch.unwrap().name, name);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_that_was_set_last_counts_before_and_after_staging() {
    on_kvm(async |bench: &Bench| {
        let code = assemble(64, |a| {
            a.mov(ebx, edi)?;
            print_hex(a, SERIAL)?;
            a.hlt()
        });
        let with_rdi = |value| {
            let mut state = long(0);
            let Some(State::LongMode(long)) = &mut state.state else {
                panic!("{state:?}");
            };
            long.general.get_or_insert_default().rdi = value;
            state
        };
        let launch = bench.api.create("set", guest([real(0)])).await.unwrap();
        set(bench, &launch.name, with_rdi(1)).await;
        stage(bench, &launch, image(&code)).await;
        set(bench, &launch.name, with_rdi(0x1234_5678)).await;
        bench.api.finish(&launch.name, Bytes::new()).await.unwrap();
        start(bench, &launch.name).await.unwrap();
        let mut terminal = Terminal::attach(bench, &launch.name).await;
        assert_eq!(terminal.hear_out().await.0, "12345678\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vcpu_without_a_state_begins_at_the_reset_vector() {
    const TOP: u64 = 0xffff_f000;
    on_kvm(async |bench: &Bench| {
        for (id, states) in [
            ("unset", vec![]),
            (
                "reset",
                vec![VcpuState {
                    index: 0,
                    state: Some(State::Reset(VcpuReset {})),
                }],
            ),
        ] {
            // The last 16 bytes below 4 GiB.
            let mut last = vec![0xcc; usize::try_from(PAGE).unwrap()];
            let code = assemble_at(16, 0xfff0, |a| {
                a.mov(al, i32::from(b'r'))?;
                a.mov(dx, SERIAL)?;
                a.out(dx, al)?;
                a.hlt()
            });
            last[0xff0..0xff0 + code.len()].copy_from_slice(&code);
            let spec = LaunchSpec {
                vcpu_states: states,
                ..spec(
                    Platform::Kvm,
                    [region(page(0), PAGE), region(Gpa::new(TOP), PAGE)],
                )
            };
            let launch = bench.api.create(id, spec).await.unwrap();
            let extent = Extent::normal(Gpa::new(TOP), last);
            bench.api.stage(&launch.name, extent).await.unwrap();
            bench.api.finish(&launch.name, Bytes::new()).await.unwrap();
            start(bench, &launch.name).await.unwrap();
            let mut terminal = Terminal::attach(bench, &launch.name).await;
            assert_eq!(terminal.hear_out().await.0, "r", "{id}");
            let cause = stopped(bench, &launch.name).await.stop.unwrap();
            assert_eq!(cause.reason(), StopReason::Halted, "{id}");
        }
    })
    .await;
}
