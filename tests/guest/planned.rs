//! Kernels that the client's own loaders planned: staged by its session, run on the real device.
use iced_x86::code_asm::{al, ax, byte_ptr, cl, ds, dword_ptr, dx, ebx, edx, esi, rsi};
use stagepages_client::{
    Client, FinishArgs, LaunchRef,
    image::{Input, Options, bzimage, elf as elf_image},
    plan::Plan,
    session::{self, Session},
};
use stagepages_proto::v1::StopReason;
use stagepages_tests::{BOOT_ENTRY, Bench, ELF_ENTRY, bzimage as bzimage_file, elf as elf_file};

use crate::listing::{SERIAL, assemble_at, exit, print};
use crate::program::{on_kvm, start, stopped};
use crate::terminal::Terminal;

fn input(bytes: Vec<u8>) -> Input {
    Input {
        name: "test".to_owned(),
        bytes: bytes.into(),
    }
}

/// Stages and runs the plan; what it wrote.
async fn run(bench: &Bench, id: &str, plan: &Plan) -> String {
    let endpoint = format!("unix:{}", bench.daemon.socket().display());
    let client = Client::connect(&endpoint.parse().unwrap()).await.unwrap();
    let launch = client.create_launch(Some(id), plan.spec()).await.unwrap();
    let launch = LaunchRef::from(&launch);
    let options = session::Options::unnamed().unwrap();
    let session = Session::open(&client, &launch, options).await.unwrap();
    let outcome = session.stage(plan.parts().unwrap(), |_| {}).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(outcome.mine, plan.pages());
    client
        .finish_launch(&launch, FinishArgs::default())
        .await
        .unwrap();
    start(bench, launch.name()).await.unwrap();
    let mut terminal = Terminal::attach(bench, launch.name()).await;
    let (serial, _) = terminal.hear_out().await;
    let cause = stopped(bench, launch.name()).await.stop.unwrap();
    assert_eq!(
        (cause.reason(), cause.exit_code),
        (StopReason::ExitCode, Some(0)),
        "{}",
        cause.message
    );
    serial
}

/// 64-bit code that says `greeting` and, as RSI points to boot_params, the magic of the header there.
fn greets(ip: u64, greeting: &str) -> Vec<u8> {
    assemble_at(64, ip, |a| {
        // The data segment of the boot protocol can be loaded again.
        a.mov(ax, 0x18)?;
        a.mov(ds, ax)?;
        print(a, SERIAL, greeting)?;
        for at in 0x202..0x206 {
            a.mov(al, byte_ptr(rsi + at))?;
            a.out(dx, al)?;
        }
        exit(a, 0)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elf_executable_runs_in_64_bit_mode_and_finds_boot_params() {
    on_kvm(async |bench: &Bench| {
        let file = input(elf_file(&greets(ELF_ENTRY, "elf ")));
        let plan = elf_image::load(&file, &Options::default()).unwrap();
        assert_eq!(run(bench, "elf", &plan).await, "elf HdrS");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elf_executable_of_32_bits_runs_without_paging() {
    on_kvm(async |bench: &Bench| {
        let ip = 0x10_0054_u32;
        let code = assemble_at(32, ip.into(), |a| {
            a.mov(ax, 0x18)?;
            a.mov(ds, ax)?;
            // The command line: its address is in boot_params.
            let mut next = a.create_label();
            a.mov(ebx, dword_ptr(esi + 0x228))?;
            a.mov(edx, SERIAL)?;
            a.set_label(&mut next)?;
            a.mov(al, byte_ptr(ebx))?;
            a.out(dx, al)?;
            a.inc(ebx)?;
            a.mov(cl, byte_ptr(ebx))?;
            a.test(cl, cl)?;
            a.jne(next)?;
            exit(a, 0)
        });
        let options = Options {
            append: Some("thirty-two".to_owned()),
            ..Options::default()
        };
        let plan = elf_image::load(&input(elf32(ip, &code)), &options).unwrap();
        assert_eq!(run(bench, "elf32", &plan).await, "thirty-two");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bzimage_begins_at_its_64_bit_entry() {
    on_kvm(async |bench: &Bench| {
        let file = input(bzimage_file(&greets(BOOT_ENTRY, "bzImage ")));
        let plan = bzimage::load(&file, &Options::default()).unwrap();
        assert_eq!(run(bench, "bzimage", &plan).await, "bzImage HdrS");
    })
    .await;
}

/// An executable for i386 whose headers are loaded too, with its code behind them.
fn elf32(entry: u32, code: &[u8]) -> Vec<u8> {
    let base = entry & !0xfff;
    let length = 0x54 + u32::try_from(code.len()).unwrap();
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    for (wide, number) in [
        (false, 2),
        (false, 3),
        (true, 1),
        (true, entry),
        (true, 52),
        (true, 0),
        (true, 0),
        (false, 52),
        (false, 32),
        (false, 1),
        (false, 0),
        (false, 0),
        (false, 0),
        // The program header: PT_LOAD from offset 0 on.
        (true, 1),
        (true, 0),
        (true, base),
        (true, base),
        (true, length),
        (true, length),
        (true, 5),
        (true, 0x1000),
    ] {
        let bytes = u32::to_le_bytes(number);
        file.extend_from_slice(if wide { &bytes } else { &bytes[..2] });
    }
    assert_eq!(file.len(), 0x54);
    file.extend_from_slice(code);
    file
}
