//! Kicks: before a run, during one, and several vCPUs at once.

use std::sync::mpsc;
use std::thread;

use super::{CODE, one, output, real_mode};
use crate::{Exit, RunnableVcpu, kick};

/// Where a second vCPU starts: it shares the page with the first, and so the test's code.
const SECOND: u64 = CODE + 0x100;

/// The code of two vCPUs.
fn both(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut code = vec![0; 0x100];
    code[..first.len()].copy_from_slice(first);
    code.extend_from_slice(second);
    code
}

fn kick(thread: libc::pthread_t) {
    // SAFETY: touches no memory. Every caller still holds what joins the thread, so its handle is valid.
    assert_eq!(unsafe { libc::pthread_kill(thread, kick::SIGNAL) }, 0);
}

fn this_thread() -> libc::pthread_t {
    // SAFETY: touches no memory.
    unsafe { libc::pthread_self() }
}

fn interrupted(vcpu: &mut RunnableVcpu) {
    let exit = vcpu.run().unwrap();
    assert!(matches!(exit, Exit::Interrupted), "{exit:?}");
}

#[test]
fn a_kick_before_the_run_is_not_lost_and_stays_until_taken() {
    #[rustfmt::skip]
    let code = [
        0xe4, 0x60,             // in al, 0x60
        0xe6, 0xe9,             // out 0xe9, al
        0xeb, 0xfe,             // jmp $
    ];
    let test = "a_kick_before_the_run_is_not_lost_and_stays_until_taken";
    let Some(mut vcpu) = one(test, &code, &[]) else {
        return;
    };
    // In a thread of its own: the mask outlives the test.
    thread::scope(|scope| {
        scope.spawn(|| {
            kick::block().unwrap();
            vcpu.vcpu().unblock_in_run().unwrap();
            kick(this_thread());
            interrupted(&mut vcpu);
            interrupted(&mut vcpu);
            assert!(kick::take());
            let Exit::PortIn { data, .. } = vcpu.run().unwrap() else {
                panic!("no input");
            };
            data.fill(7);
            kick(this_thread());
            // Takes the data all the same.
            interrupted(&mut vcpu);
            assert!(kick::take());
            assert_eq!(output(&mut vcpu, 0xe9), [7]);
            kick(this_thread());
            interrupted(&mut vcpu);
        });
    });
}

#[test]
fn a_kick_during_the_run_ends_an_endless_loop() {
    #[rustfmt::skip]
    let code = both(
        &[
            0xff, 0x06, 0x00, 0x50, // again: inc word [DATA]
            0xeb, 0xfa,             // jmp again
        ],
        &[
            0xa1, 0x00, 0x50,       // again: mov ax, [DATA]
            0xe7, 0xe9,             // out 0xe9, ax
            0xeb, 0xf9,             // jmp again
        ],
    );
    let test = "a_kick_during_the_run_ends_an_endless_loop";
    let Some([mut looping, mut watching]) = real_mode(test, &[(CODE, &code)], [CODE, SECOND])
    else {
        return;
    };
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        let runner = scope.spawn(move || {
            kick::block().unwrap();
            looping.vcpu().unblock_in_run().unwrap();
            send.send(this_thread()).unwrap();
            interrupted(&mut looping);
            kick::take()
        });
        let thread = receive.recv().unwrap();
        // It counts in the guest only.
        let counts = loop {
            match watching.run() {
                Ok(Exit::PortOut { data, .. }) if data != [0, 0] => break true,
                Ok(Exit::PortOut { .. }) if !runner.is_finished() => {}
                _ => break false,
            }
        };
        kick(thread);
        assert!(runner.join().unwrap());
        assert!(counts);
    });
}

#[test]
fn two_vcpus_run_at_once_and_share_memory() {
    #[rustfmt::skip]
    let code = both(
        &[
            0xc6, 0x06, 0x00, 0x50, 0x01, // mov byte [DATA], 1
            0x80, 0x3e, 0x01, 0x50, 0x01, // again: cmp byte [DATA + 1], 1
            0x75, 0xf9,                   // jne again
            0xb0, b'A',                   // mov al, 'A'
            0xe6, 0xe9,                   // out 0xe9, al
        ],
        &[
            0x80, 0x3e, 0x00, 0x50, 0x01, // again: cmp byte [DATA], 1
            0x75, 0xf9,                   // jne again
            0xc6, 0x06, 0x01, 0x50, 0x01, // mov byte [DATA + 1], 1
            0xb0, b'B',                   // mov al, 'B'
            0xe6, 0xe9,                   // out 0xe9, al
        ],
    );
    let test = "two_vcpus_run_at_once_and_share_memory";
    let Some(vcpus) = real_mode(test, &[(CODE, &code)], [CODE, SECOND]) else {
        return;
    };
    let said = thread::scope(|scope| {
        let (send, said) = mpsc::channel();
        let threads = vcpus.map(|mut vcpu| {
            let (start, started) = mpsc::channel();
            let send = send.clone();
            let runner = scope.spawn(move || {
                kick::block().unwrap();
                vcpu.vcpu().unblock_in_run().unwrap();
                start.send(this_thread()).unwrap();
                let said = match vcpu.run() {
                    Ok(Exit::PortOut { data, .. }) => data.to_vec(),
                    other => format!("{other:?}").into_bytes(),
                };
                send.send(said).unwrap();
            });
            (runner, started.recv().unwrap())
        });
        let first = said.recv().unwrap();
        if first != b"A" && first != b"B" {
            // The other one would wait for it for ever.
            for (_runner, thread) in &threads {
                kick(*thread);
            }
        }
        let mut said = [first, said.recv().unwrap()];
        said.sort();
        said
    });
    assert_eq!(said, [b"A", b"B"]);
}
