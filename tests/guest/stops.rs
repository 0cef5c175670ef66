//! Every way in which a guest stops, with exactly what is said of it.
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, byte_ptr, dx, eax, edx, qword_ptr, rax};
use stagepages_proto::v1::{LaunchState, StopCause, StopReason, VcpuState};
use stagepages_tests::{Bench, PAGE};

use crate::listing::{DEBUG, EXIT, KEYBOARD, assemble, exit, forever, print};
use crate::program::{PAGES, get, guest, long, on_kvm, real, run, start, stop, stopped, watch};
use crate::terminal::Terminal;

/// What a guest does, and what is then said of it.
struct Case {
    id: &'static str,
    state: VcpuState,
    reason: StopReason,
    vcpu: Option<u32>,
    exit_code: Option<u32>,
    gpa: Option<u64>,
    says: &'static str,
}

impl Case {
    fn new(id: &'static str, state: VcpuState, reason: StopReason) -> Self {
        Self {
            id,
            state,
            reason,
            vcpu: Some(0),
            exit_code: None,
            gpa: None,
            says: "",
        }
    }

    async fn holds(
        self,
        bench: &Bench,
        listing: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) {
        let bits = if self.state == real(0) { 16 } else { 64 };
        let code = assemble(bits, |a| {
            print(a, DEBUG, "!")?;
            listing(a)
        });
        let launch = run(bench, self.id, guest([self.state]), &code).await;
        let launch = stopped(bench, &launch.name).await;
        let StopCause {
            reason,
            message,
            vcpu,
            exit_code,
            gpa,
        } = launch.stop.clone().unwrap();
        assert_eq!(
            (reason, vcpu, exit_code, gpa),
            (self.reason.into(), self.vcpu, self.exit_code, self.gpa),
            "{}: {message}",
            self.id
        );
        assert!(message.contains(self.says), "{}: {message}", self.id);
        assert!(launch.abort.is_none() && launch.lease_expire_time.is_none());
        assert!(
            launch.start_time.is_some() && launch.stop_time.is_some(),
            "{launch:?}"
        );
        // It did run up to there.
        let mut terminal = Terminal::attach(bench, &launch.name).await;
        let (_, debug) = terminal.hear_out().await;
        assert_eq!(debug, "!", "{}", self.id);
        assert_eq!(get(bench, &launch.name).await.stop, launch.stop);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_halts_has_halted() {
    on_kvm(async |bench: &Bench| {
        for (id, state) in [("real", real(0)), ("long", long(0))] {
            let case = Case {
                vcpu: None,
                ..Case::new(id, state, StopReason::Halted)
            };
            case.holds(bench, |a| a.hlt()).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_is_what_was_written() {
    on_kvm(async |bench: &Bench| {
        let case = |id, code| Case {
            exit_code: Some(code),
            ..Case::new(id, long(0), StopReason::ExitCode)
        };
        case("zero", 0).holds(bench, |a| exit(a, 0)).await;
        case("byte", 0x2a).holds(bench, |a| exit(a, 0x2a)).await;
        case("all", 0xdead_beef)
            .holds(bench, |a| {
                a.mov(eax, 0xdead_beef_u32)?;
                a.mov(edx, EXIT)?;
                a.out(dx, eax)
            })
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_a_shutdown() {
    on_kvm(async |bench: &Bench| {
        Case::new("reset", real(0), StopReason::Shutdown)
            .holds(bench, |a| {
                a.mov(al, 0xfe)?;
                a.mov(edx, KEYBOARD)?;
                a.out(dx, al)?;
                forever(a)
            })
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_triple_fault_is_told_as_one() {
    on_kvm(async |bench: &Bench| {
        // A table of interrupt vectors without room for any, then an instruction that is none.
        Case::new("triple", long(0), StopReason::TripleFault)
            .holds(bench, |a| {
                a.lidt(qword_ptr(RESULT_IDT))?;
                a.ud2()
            })
            .await;
    })
    .await;
}

/// Ten bytes of zeros: a table of one byte at 0.
const RESULT_IDT: u64 = crate::program::RESULT;

#[tokio::test(flavor = "multi_thread")]
async fn an_address_outside_memory_is_named() {
    on_kvm(async |bench: &Bench| {
        let outside = PAGES * PAGE + 0x123;
        let case = |id| Case {
            gpa: Some(outside),
            ..Case::new(id, long(0), StopReason::MemoryFault)
        };
        case("read")
            .holds(bench, |a| a.mov(al, byte_ptr(outside)))
            .await;
        case("write")
            .holds(bench, |a| a.mov(byte_ptr(outside), al))
            .await;
        let jump = Case {
            says: "instruction",
            ..case("jump")
        };
        jump.holds(bench, |a| {
            a.mov(rax, outside)?;
            a.jmp(rax)
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kvm_cannot_carry_out_is_an_internal_error() {
    on_kvm(async |bench: &Bench| {
        // Where there is no memory, KVM has to carry out the access itself, and it knows no x87 (x86_emulate_insn(), arch/x86/kvm/emulate.c).
        let case = Case {
            says: "emulation",
            ..Case::new("x87", long(0), StopReason::InternalError)
        };
        case.holds(bench, |a| a.fld(qword_ptr(PAGES * PAGE))).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_is_stopped_on_request() {
    on_kvm(async |bench: &Bench| {
        let code = assemble(64, forever);
        let launch = run(bench, "loop", guest([long(0)]), &code).await;
        assert_eq!(launch.state(), LaunchState::Running);
        assert_eq!(
            (
                launch.stop.clone(),
                launch.stop_time,
                launch.lease_expire_time
            ),
            (None, None, None)
        );
        let launch = stop(bench, &launch.name).await.unwrap();
        let cause = launch.stop.clone().unwrap();
        assert_eq!(
            (
                launch.state(),
                cause.reason(),
                cause.vcpu,
                cause.exit_code,
                cause.gpa
            ),
            (
                LaunchState::Stopped,
                StopReason::Requested,
                None,
                None,
                None
            ),
            "{}",
            cause.message
        );
        assert!(
            launch.resources_released && launch.host_pid == 0,
            "{launch:?}"
        );
        // Once more is the same.
        assert_eq!(stop(bench, &launch.name).await.unwrap(), launch);
        bench.api.delete(&launch.name).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_faults_at_once_passes_through_every_state() {
    on_kvm(async |bench: &Bench| {
        let code = assemble(64, |a| {
            a.lidt(qword_ptr(RESULT_IDT))?;
            a.ud2()
        });
        let launch = bench.api.create("once", guest([long(0)])).await.unwrap();
        crate::program::stage(bench, &launch, crate::program::image(&code)).await;
        let (changes, ()) = tokio::join!(watch(bench, &launch.name), async {
            bench
                .api
                .finish(&launch.name, bytes::Bytes::new())
                .await
                .unwrap();
            start(bench, &launch.name).await.unwrap();
        });
        let mut states: Vec<_> = changes.iter().map(|change| change.state()).collect();
        states.dedup();
        let all = [
            LaunchState::Staging,
            LaunchState::Finished,
            LaunchState::Running,
            LaunchState::Stopped,
        ];
        assert!(all.ends_with(&states), "{states:?}");
        assert!(
            states.len() >= 3,
            "told from before it finished: {states:?}"
        );
        let last = changes.last().unwrap();
        assert_eq!(
            last.stop.as_ref().unwrap().reason(),
            StopReason::TripleFault
        );
    })
    .await;
}
