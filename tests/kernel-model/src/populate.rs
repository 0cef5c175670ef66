//! `kvm_gmem_populate()` (`virt/kvm/guest_memfd.c`), by profile: the loop that SNP and TDX share.
//!
//! Within a page the kernel looks, in this order, for a signal, the source (from 7.0), the page's memory, a page that exists (until
//! 6.19) and the attribute PRIVATE; then it calls the platform. If a page was installed, the count is the answer, and an error after it is dropped.
//!
//! **Invariant:** a page that failed is not marked, so nothing but the platform's callback can have changed it.

use crate::cx::Cx;
use crate::memory::{Memory, PAGE, Page};
use crate::{Answer, Effect, Errno};

/// What is asked of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The first frame.
    pub gfn: u64,
    /// The number of pages.
    pub pages: u64,
    /// The source of the first page, `None` for no source.
    pub source: Option<u64>,
    /// The platform may write to the source (`may_writeback_src`, from 7.1.5).
    pub writes_back: bool,
    /// Its first page is the first of the call: TDX comes here for each page anew.
    pub begins_call: bool,
}

/// A page on its way into the guest.
#[derive(Debug)]
pub struct Target<'a> {
    /// Its frame.
    pub gfn: u64,
    /// The guest_memfd's descriptor.
    pub fd: i32,
    /// Its place in the guest_memfd, in bytes.
    pub offset: u64,
    /// What is known of it.
    pub page: &'a mut Page,
    /// What the script lets happen to it in the platform's hands.
    pub effect: Option<Effect>,
}

/// A page's source.
#[derive(Debug)]
pub struct Source {
    /// Its address.
    pub addr: u64,
    /// Its contents, where the kernel pinned it beforehand.
    pinned: Option<Box<[u8; 4096]>>,
    faults: bool,
}

/// The platform's part (`kvm_gmem_populate_cb`).
pub trait PostPopulate {
    /// Installs one page.
    ///
    /// # Errors
    ///
    /// The platform's. The page then does not count.
    fn install(
        &mut self,
        cx: &mut Cx<'_>,
        target: &mut Target<'_>,
        source: Option<&Source>,
    ) -> Answer<()>;
}

impl Source {
    /// The contents: pinned before, or copied from the process only now.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub fn contents(&self, cx: &Cx<'_>) -> Answer<Box<[u8; 4096]>> {
        match &self.pinned {
            Some(contents) => Ok(contents.clone()),
            None if self.faults => Err(Errno::EFAULT),
            None => cx.read(self.addr).map(Box::new),
        }
    }

    /// `get_user_pages_fast()` of one page.
    fn pin(&mut self, cx: &Cx<'_>, for_writing: bool) -> Answer<()> {
        let contents = Box::new(self.contents(cx)?);
        if for_writing {
            // The only way to learn from outside whether a page can be written; the bytes are those that are there.
            cx.world.write(self.addr, contents.as_slice())?;
        }
        self.pinned = Some(*contents);
        Ok(())
    }
}

/// Installs pages in ascending order, and answers how many.
///
/// # Errors
///
/// The kernel's for the first page; a later page's is dropped.
pub fn populate(
    cx: &mut Cx<'_>,
    memory: &mut Memory,
    request: Request,
    platform: &mut dyn PostPopulate,
) -> Answer<u64> {
    if request.pages == 0 {
        return if cx.profile().populate_refuses_nothing() {
            Err(Errno::EINVAL)
        } else {
            Ok(0)
        };
    }
    let is_aligned = request.source.is_none_or(|addr| addr.is_multiple_of(PAGE));
    if cx.profile().populate_pins_source() && !is_aligned {
        return Err(Errno::EINVAL);
    }
    let slot = memory.slot_of(request.gfn).ok_or(Errno::EINVAL)?;
    let (file, first) = slot.gmem.ok_or(Errno::EINVAL)?;
    let gmem = memory.gmems.get_mut(&file).ok_or(Errno::EFAULT)?;
    if cx.world.identify(gmem.fd) != Some(file) {
        return Err(Errno::EFAULT);
    }
    let pages = request.pages.min(slot.pages_from(request.gfn));
    for done in 0..pages {
        let gfn = request.gfn + done;
        let index = first + gfn - slot.gfn;
        let target = Target {
            gfn,
            fd: gmem.fd,
            offset: index * PAGE,
            page: gmem.pages.entry(index).or_default(),
            effect: cx.strike_page(gfn, request.begins_call && done == 0),
        };
        if target.effect == Some(Effect::StopShort) {
            return Ok(done);
        }
        let source = request.source.map(|addr| Source {
            // An address that wraps is one where nothing can be read.
            addr: addr.wrapping_add(done * PAGE),
            pinned: None,
            faults: target.effect == Some(Effect::SourceFault),
        });
        let is_private = memory.private.holds(gfn) && target.effect != Some(Effect::NotPrivate);
        match one(
            cx,
            target,
            source,
            is_private,
            request.writes_back,
            platform,
        ) {
            Ok(()) => cx.note.pages_done = Some(done + 1),
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        }
    }
    Ok(pages)
}

fn one(
    cx: &mut Cx<'_>,
    mut target: Target<'_>,
    mut source: Option<Source>,
    is_private: bool,
    writes_back: bool,
    platform: &mut dyn PostPopulate,
) -> Answer<()> {
    if target.effect == Some(Effect::Signal) {
        return Err(Errno::EINTR);
    }
    if let Some(source) = &mut source
        && cx.profile().populate_pins_source()
    {
        source.pin(cx, writes_back)?;
    }
    if target.effect == Some(Effect::NoMemory) {
        return Err(Errno::ENOMEM);
    }
    target.page.poisoned |= target.effect == Some(Effect::Poisoned);
    if target.page.poisoned {
        return Err(Errno::EHWPOISON);
    }
    if target.effect == Some(Effect::Duplicate) {
        target.page.prepared = true;
        target.page.assigned = true;
    }
    if target.page.prepared && cx.profile().populate_refuses_prepared() {
        return Err(Errno::EEXIST);
    }
    if !is_private {
        return Err(Errno::EINVAL);
    }
    platform.install(cx, &mut target, source.as_ref())?;
    target.page.prepared = true;
    target.page.installed = true;
    Ok(())
}
