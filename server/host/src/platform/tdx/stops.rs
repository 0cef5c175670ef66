//! What a refused TDX command means.
//!
//! INIT_MEM_REGION hands the errno of `kvm_gmem_populate()` on as it is, but what the TDX module said is not written back for a vCPU
//! (`tdx_vcpu_init_mem_region()`, arch/x86/kvm/vmx/tdx.c, Linux 6.18 to 7.1).
//!
//! **Invariant:** only EEXIST is a page that exists. From Linux 7.0 on that is EIO as other failures are, and EIO is never guessed to be it.

use nix::errno::Errno;
use stagepages_kvm::{Gfn, KvmError};

use crate::platform::{
    Stop,
    confidential::{DEAD, asks_again},
};

/// What is known of EIO on a VM that answers.
const UNREPORTED: &str = "the kernel does not report the cause; it is no page of the ledger and no source that cannot be read; it may be a page that exists all the same (from Linux 7.0 on) or one that the TDX module refused (before): see the kernel's log (SEAMCALL)";

/// What is known where the errno says more.
const KNOWN: [(Errno, &str); 4] = [
    (
        Errno::EINVAL,
        "KVM does not have the page as private memory of a TD under launch, although this host made it so",
    ),
    (
        Errno::EFAULT,
        "the kernel could not read the source, which is locked memory of this host, or could not say how many pages it installed",
    ),
    (
        Errno::ENOMEM,
        "there is no memory for the page: free some, or raise the limit of the host's cgroup",
    ),
    (
        Errno::EHWPOISON,
        "the machine's memory for the page is broken: see the kernel's log, and take it out of use",
    ),
];

/// What is said where no vCPU could be made.
const NO_VCPU: &str = "pages of a TD go in through its vCPUs, which could not be made; nothing was installed by this command";

/// What a failed INIT_MEM_REGION at the page `failing` means. `is_dead` tells whether KVM has given the VM up.
///
/// Up to Linux 6.18 KVM marks a page as there before the TDX module takes it (`tdx_gmem_post_populate()`, arch/x86/kvm/vmx/tdx.c): where the module is
/// busy then, EBUSY is asked again and met by EEXIST, and the launch is over although nobody else installed the page. It cannot be told
/// from one that holds anything, and could not be finished: FINALIZE_VM is EINVAL after it. From 6.19 on the kernel waits for the module itself.
pub(super) fn install_stop(error: KvmError, failing: Gfn, is_dead: impl FnOnce() -> bool) -> Stop {
    if asks_again(&error) {
        return Stop::Again(error);
    }
    match errno(&error) {
        Some(Errno::EEXIST) => Stop::Stray {
            gfn: failing,
            error: Some(error),
        },
        // From Linux 6.19 on a page that the module refuses ends the VM.
        Some(Errno::EIO) => Stop::known(error, if is_dead() { DEAD } else { UNREPORTED }),
        errno => {
            let words = KNOWN.iter().find(|(known, _)| Some(*known) == errno);
            Stop::known(error, words.map_or("", |(_, words)| words))
        }
    }
}

/// What it means that a vCPU could not be made.
pub(super) fn vcpu_stop(error: KvmError) -> Stop {
    if asks_again(&error) {
        Stop::Again(error)
    } else {
        Stop::known(error, NO_VCPU)
    }
}

/// What a failed FINALIZE_VM means: that the module was busy, or the end of the VM (`tdx_td_finalize()`, arch/x86/kvm/vmx/tdx.c; kernel.md, section 13).
pub(super) fn finish_stop(error: KvmError, is_dead: impl FnOnce() -> bool) -> Stop {
    if asks_again(&error) {
        return Stop::Again(error);
    }
    let words = if is_dead() {
        DEAD
    } else if error.hw_error().is_some() {
        "the TDX module refused to end the launch"
    } else if errno(&error) == Some(Errno::EINVAL) {
        "a page was installed half way (up to Linux 6.18), or KVM has ended the launch already"
    } else {
        ""
    };
    Stop::known(error, words)
}

/// The errno, if it is about a page: behind a write-back that cannot be, it is not known about which.
fn errno(error: &KvmError) -> Option<Errno> {
    if matches!(error, KvmError::WroteBack { .. }) {
        return None;
    }
    error.errno().map(Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: &str = "KVM_TDX_INIT_MEM_REGION";

    fn error(errno: Errno) -> KvmError {
        KvmError::from_errno(OP, errno as i32)
    }

    fn module(errno: Errno) -> KvmError {
        KvmError::TdxModule {
            op: "KVM_TDX_FINALIZE_VM",
            hw_error: 0xc000_0b00_0000_0000,
            os: std::io::Error::from_raw_os_error(errno as i32),
        }
    }

    fn page() -> Gfn {
        Gfn::new(0x80a).unwrap()
    }

    /// What a stop says beyond its error; `None` if it is another than `Kernel`.
    fn words(stop: Stop) -> Option<String> {
        match stop {
            Stop::Kernel { known, .. } => Some(known),
            Stop::Again(_)
            | Stop::Firmware(_)
            | Stop::CpuidRejected { .. }
            | Stop::Stray { .. }
            | Stop::Unread(_)
            | Stop::Source(_) => None,
        }
    }

    #[test]
    fn busy_and_interrupted_are_asked_again_whatever_was_asked() {
        for errno in [Errno::EINTR, Errno::EAGAIN, Errno::EBUSY] {
            let alive = || -> bool { panic!("asked for no reason") };
            for stop in [
                install_stop(error(errno), page(), alive),
                vcpu_stop(error(errno)),
                finish_stop(module(errno), alive),
            ] {
                assert!(matches!(stop, Stop::Again(_)), "{stop:?}");
            }
        }
    }

    #[test]
    fn only_eexist_of_a_page_is_a_page_that_exists() {
        let stop = install_stop(error(Errno::EEXIST), page(), || false);
        assert!(
            matches!(&stop, Stop::Stray { gfn, error: Some(_) } if *gfn == page()),
            "{stop:?}"
        );
        assert_eq!(words(vcpu_stop(error(Errno::EEXIST))).unwrap(), NO_VCPU);
        assert!(words(finish_stop(error(Errno::EEXIST), || false)).is_some());
    }

    #[test]
    fn eio_is_not_guessed() {
        let alive = words(install_stop(error(Errno::EIO), page(), || false)).unwrap();
        assert!(alive.contains("does not report the cause") && alive.contains("7.0"));
        let dead = words(install_stop(error(Errno::EIO), page(), || true)).unwrap();
        assert_eq!(dead, DEAD);
    }

    #[test]
    fn what_an_errno_says_is_said() {
        for (errno, part) in [
            (Errno::EINVAL, "private"),
            (Errno::EFAULT, "source"),
            (Errno::ENOMEM, "no memory"),
            (Errno::EHWPOISON, "broken"),
        ] {
            let words = words(install_stop(error(errno), page(), || false)).unwrap();
            assert!(words.contains(part), "{errno}: {words}");
        }
        assert_eq!(
            words(install_stop(error(Errno::E2BIG), page(), || false)).unwrap(),
            ""
        );
    }

    #[test]
    fn a_write_back_that_cannot_be_is_about_no_page() {
        for cause in [Errno::EINTR, Errno::EEXIST, Errno::EIO] {
            let error = KvmError::WroteBack {
                op: OP,
                field: "nr_pages",
                value: 65,
                cause: Some(Box::new(error(cause))),
            };
            let stop = install_stop(error, page(), || true);
            assert_eq!(words(stop).as_deref(), Some(""), "{cause}");
        }
    }

    #[test]
    fn a_refused_end_keeps_what_the_module_said() {
        let stop = finish_stop(module(Errno::EIO), || true);
        let Stop::Kernel { error, known } = stop else {
            panic!("{stop:?}");
        };
        assert_eq!(
            (error.hw_error(), known.as_str()),
            (Some(0xc000_0b00_0000_0000), DEAD)
        );
    }

    #[test]
    fn a_refused_end_of_a_vm_that_answers_is_told_from_others() {
        for (error, part) in [
            (module(Errno::EIO), "module refused"),
            (error(Errno::EINVAL), "half way"),
        ] {
            let words = words(finish_stop(error, || false)).unwrap();
            assert!(words.contains(part), "{words}");
        }
        let unknown = words(finish_stop(error(Errno::EIO), || false)).unwrap();
        assert_eq!(unknown, "");
    }
}
