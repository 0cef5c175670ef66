//! What can be done with a guest_memfd beside ioctls: fallocate, mmap, fcntl (kernel.md section 5.4).
//!
//! **Invariant:** allocating takes no memory here, so that only installed pages are.

use super::ioctls::MMAP;
use super::{Memory, PAGE};
use crate::cx;
use crate::machine::Machine;
use crate::trace::{Note, What};
use crate::world::{FileId, World};
use crate::{Answer, Errno};

/// A hole to be punched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Punch {
    file: FileId,
    first: u64,
    pages: u64,
}

impl Machine {
    /// `fallocate` on a guest_memfd. Punching a hole is a violation (kernel.md section 2.8).
    ///
    /// # Errors
    ///
    /// As `kvm_gmem_fallocate()`, `virt/kvm/guest_memfd.c`.
    pub fn fallocate(
        &self,
        world: &dyn World,
        (fd, file): (i32, FileId),
        mode: i32,
        offset: i64,
        bytes: i64,
    ) -> Answer {
        let mut note = Note::new("fallocate");
        note.vm = self.object(file).and_then(|object| object.vm());
        note.detail = Some(format!(
            "mode={mode:#x} offset={offset:#x} bytes={bytes:#x}"
        ));
        let punches = mode & libc::FALLOC_FL_PUNCH_HOLE != 0;
        if punches {
            let words = "a hole is punched: the page is measured, and its contents are lost";
            cx::violation(world, self.script(), "fallocate", note.vm, words);
        }
        let answer = self.allocate(world, (fd, file), mode, offset, bytes);
        note.ret = Some(answer.map_or(-1, i64::from));
        note.errno = answer.err().map(|errno| errno.0);
        world.tell(What::End(note));
        answer
    }

    fn allocate(
        &self,
        world: &dyn World,
        (fd, file): (i32, FileId),
        mode: i32,
        offset: i64,
        bytes: i64,
    ) -> Answer {
        let punches = mode & libc::FALLOC_FL_PUNCH_HOLE != 0;
        let known = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE;
        if mode & libc::FALLOC_FL_KEEP_SIZE == 0 || mode & !known != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let offset = u64::try_from(offset).or(Err(Errno::EINVAL))?;
        let bytes = u64::try_from(bytes).or(Err(Errno::EINVAL))?;
        if bytes == 0 || !offset.is_multiple_of(PAGE) || !bytes.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let size = self.guest_memfd_size(file).ok_or(Errno::EINVAL)?;
        if !punches {
            let is_inside = offset.checked_add(bytes).is_some_and(|end| end <= size);
            return if is_inside { Ok(0) } else { Err(Errno::EINVAL) };
        }
        self.punch(Punch {
            file,
            first: offset / PAGE,
            pages: bytes / PAGE,
        });
        world.punch(fd, offset, bytes).map(|()| 0)
    }

    /// What stands against mapping a guest_memfd, if anything does.
    ///
    /// # Errors
    ///
    /// `ENODEV` without the flag MMAP, `EINVAL` for a private mapping (`kvm_gmem_mmap()`, `virt/kvm/guest_memfd.c`).
    pub fn may_map(flags: u64, is_shared: bool) -> Answer<()> {
        if flags & MMAP == 0 {
            return Err(Errno::ENODEV);
        }
        if is_shared {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }
}

impl Memory {
    /// The pages are there no more, and do not belong to the guest.
    pub(crate) fn punch(&mut self, hole: Punch) {
        if let Some(gmem) = self.gmems.get_mut(&hole.file) {
            let is_out = |index: u64| index < hole.first || index - hole.first >= hole.pages;
            gmem.pages.retain(|index, _| is_out(*index));
        }
    }
}
