//! How glibc's allocator finds out how many arenas it may have.
//!
//! **Invariant:** nothing is allocated or freed here.

/// Arenas that threads share from then on.
const MOST: libc::c_int = 8;

/// Says how many arenas the allocator may have. Without being told, it reads /sys/devices/system/cpu/online when threads first contend for one, at any
/// time in a process's life (`arena_get2()`, malloc/arena.c, glibc 2.39 and what was backported to 2.36): too late for one that has given up opening files.
pub fn settle_allocator() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes the allocator's own lock, and changes one number of its; there is no memory of ours in it.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, MOST);
    }
}
