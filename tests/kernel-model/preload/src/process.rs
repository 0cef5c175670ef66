//! The calling process and thread, as the model sees them.
//!
//! **Invariant:** an address that the program gave is never dereferenced here: the kernel copies, and answers EFAULT where it cannot.

use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stagepages_kernel_model::world::{FileId, Kind, World};
use stagepages_kernel_model::{Answer, Errno, What};

use crate::memfd;
use crate::real;
use crate::state::{Loaded, die};

/// By how much the last wait was too long, in nanoseconds. The next one is shorter by it, or waits would add up to more than was asked.
static OVERSLEPT: AtomicU64 = AtomicU64::new(0);

/// This process.
pub(crate) struct Process(pub(crate) &'static Loaded);

impl World for Process {
    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn blocked_signals(&self) -> u64 {
        let mut mask = 0_u64;
        // SAFETY: writes the 8 bytes of `mask`; with no new set given, nothing is changed. Not pthread_sigmask, whose set is larger.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_BLOCK,
                std::ptr::null::<u64>(),
                &raw mut mask,
                size_of::<u64>(),
            )
        };
        if ret == 0 { mask } else { 0 }
    }

    fn read(&self, addr: u64, bytes: &mut [u8]) -> Answer<()> {
        let local = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let remote = remote(addr, bytes.len())?;
        // SAFETY: writes the bytes borrowed mutably above. The other address is this process's own, and the kernel checks it.
        let copied = unsafe {
            libc::process_vm_readv(own_pid(), &raw const local, 1, &raw const remote, 1, 0)
        };
        all(copied, bytes.len())
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Answer<()> {
        let local = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let remote = remote(addr, bytes.len())?;
        // SAFETY: reads the bytes borrowed above, and writes where the program told the kernel to write.
        let copied = unsafe {
            libc::process_vm_writev(own_pid(), &raw const local, 1, &raw const remote, 1, 0)
        };
        all(copied, bytes.len())
    }

    fn is_locked(&self, addr: u64, bytes: u64) -> bool {
        self.0.locked.holds(addr, bytes)
    }

    fn create(&self, kind: Kind, bytes: u64) -> Answer<(i32, FileId)> {
        let fd = match kind {
            Kind::Vm => memfd::create(memfd::VM, bytes, true)?,
            Kind::Vcpu => memfd::create(memfd::VCPU, bytes, true)?,
            // get_unused_fd_flags(0) in __kvm_gmem_create(), virt/kvm/guest_memfd.c.
            Kind::GuestMemfd => memfd::create(memfd::GUEST_MEMFD, bytes, false)?,
        };
        let file = memfd::identify(fd.as_raw_fd()).ok_or(Errno::EIO)?;
        Ok((fd.into_raw_fd(), file))
    }

    fn identify(&self, fd: i32) -> Option<FileId> {
        memfd::identify(fd)
    }

    fn closes_on_exec(&self, fd: i32) -> Option<bool> {
        // SAFETY: touches no memory.
        let flags = unsafe { real::fcntl()(fd, libc::F_GETFD) };
        (flags >= 0).then_some(flags & libc::FD_CLOEXEC != 0)
    }

    fn store(&self, fd: i32, offset: u64, page: &[u8]) -> Answer<()> {
        let offset = i64::try_from(offset).or(Err(Errno::EINVAL))?;
        // SAFETY: reads the bytes borrowed for the call.
        let written = unsafe { libc::pwrite64(fd, page.as_ptr().cast(), page.len(), offset) };
        all(written, page.len())
    }

    fn punch(&self, fd: i32, offset: u64, bytes: u64) -> Answer<()> {
        let mode = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE;
        let offset = i64::try_from(offset).or(Err(Errno::EINVAL))?;
        let bytes = i64::try_from(bytes).or(Err(Errno::EINVAL))?;
        // SAFETY: takes memory from a file that nobody has mapped: a guest_memfd without the flag MMAP cannot be.
        let ret = unsafe { real::fallocate64()(fd, mode, offset, bytes) };
        if ret == 0 { Ok(()) } else { Err(memfd::last()) }
    }

    fn wait(&self, time: Duration) {
        let asked = Instant::now();
        let owed = Duration::from_nanos(OVERSLEPT.swap(0, Ordering::Relaxed));
        std::thread::sleep(time.saturating_sub(owed));
        let took = asked.elapsed() + owed;
        let excess = u64::try_from(took.saturating_sub(time).as_nanos()).unwrap_or(0);
        OVERSLEPT.fetch_add(excess, Ordering::Relaxed);
    }

    fn tell(&self, what: What) {
        self.0.trace.tell(what);
    }

    fn stop(&self, words: &str) {
        die(&format!("violation: {words}"))
    }
}

/// The kernel's address space ends here; beyond it there is nothing to copy.
fn remote(addr: u64, bytes: usize) -> Answer<libc::iovec> {
    let addr = usize::try_from(addr).or(Err(Errno::EFAULT))?;
    Ok(libc::iovec {
        iov_base: std::ptr::with_exposed_provenance_mut(addr),
        iov_len: bytes,
    })
}

fn own_pid() -> libc::pid_t {
    std::process::id().cast_signed()
}

/// A copy that stopped early came to where there is nothing.
fn all(copied: isize, bytes: usize) -> Answer<()> {
    if copied < 0 {
        return Err(memfd::last());
    }
    if usize::try_from(copied) == Ok(bytes) {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}
