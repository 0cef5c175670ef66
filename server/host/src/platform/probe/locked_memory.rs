//! The limit on locked memory, against what a launch locks.
//!
//! **Invariant:** tried, not computed: privilege (CAP_IPC_LOCK) lifts the limit, and only the kernel knows who has it.

use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use stagepages_kvm::{PAGE_SIZE, PageBuf};

use super::Check;
use crate::{
    launch::MEASURING_PAGES,
    platform::confidential::{BUFFER_PAGES, Buffer},
};

const SUBJECT: &str = "locked memory";

/// Locks what a launch locks, and lets it go.
pub(super) fn check() -> Check {
    let locked = lock();
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map(|(soft, _hard)| soft);
    judge(locked, limit.ok())
}

fn lock() -> io::Result<()> {
    let _installing = Buffer::new()?;
    let mut measuring = PageBuf::new(usize::try_from(MEASURING_PAGES).unwrap_or(1))?;
    measuring.lock()
}

fn judge(locked: io::Result<()>, limit: Option<u64>) -> Check {
    let limit = match limit {
        Some(RLIM_INFINITY) => "no limit".to_owned(),
        Some(bytes) => format!("limit {} KiB", bytes >> 10),
        None => "limit not known".to_owned(),
    };
    let needed = ((BUFFER_PAGES + MEASURING_PAGES) * PAGE_SIZE) >> 10;
    match locked {
        Ok(()) => Check::there(SUBJECT, format!("{needed} KiB, as a launch locks; {limit}")),
        Err(error) => {
            let found = format!("{needed} KiB, as a launch locks: {error}; {limit}");
            let remedy = format!(
                "raise RLIMIT_MEMLOCK to {needed} KiB or more (systemd: LimitMEMLOCK={needed}K; a shell: ulimit -l {needed})"
            );
            Check::missing(SUBJECT, found, remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_and_a_refusal_has_its_way_out() {
        let locked = judge(Ok(()), Some(8 << 20));
        assert_eq!(
            (locked.ok, locked.found.as_str()),
            (true, "768 KiB, as a launch locks; limit 8192 KiB")
        );
        assert!(
            judge(Ok(()), Some(RLIM_INFINITY))
                .found
                .ends_with("; no limit")
        );
        let refused = judge(Err(io::ErrorKind::OutOfMemory.into()), Some(64 << 10));
        assert!(
            !refused.ok && refused.found.ends_with("; limit 64 KiB"),
            "{refused:?}"
        );
        assert!(refused.remedy.contains("LimitMEMLOCK=768K"), "{refused:?}");
    }
}
