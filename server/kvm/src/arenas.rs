//! Keeping glibc's allocator from opening files late in a process's life.
//!
//! **Invariant:** nothing is allocated or freed here.

/// Has all threads share the allocator's one main arena. To be called while the process has one thread.
///
/// With more of them the allocator opens files when it first feels like it, which is too late for a process that has given up opening files:
/// /sys/devices/system/cpu/online when threads contend for an arena (`arena_get2()`, malloc/arena.c, from glibc 2.39 on and in stable branches before
/// it), and /proc/sys/vm/overcommit_memory when an arena shrinks (`check_may_shrink_heap()`, sysdeps/unix/sysv/linux/malloc-sysdep.h). The main arena
/// grows and shrinks by brk(2). Threads of a host allocate little, and each has its cache before the arena.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes the allocator's own lock, and changes one number of its; there is no memory of ours in it.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
