//! The measuring thread: hashes one buffer after the other, in the order in which they were handed over.
//!
//! It waits for nothing but work, and nothing that it is given can make it wait, so whoever waits for it waits for hashing alone, and needs no time limit: a
//! limit would end launches of a host that was merely paused. Should the thread die, both channels close, which ends every wait.
//!
//! **Invariant:** a buffer is given back only after what it held is published, and holds zeros then.

use std::{
    io,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use stagepages_kvm::{GfnRange, PAGE_BYTES, PageBuf, PageType};

use super::{Died, lock, pages::Pages};
use crate::stack;

/// Buffers: one is filled while the other is hashed.
pub(super) const SLOTS: usize = 2;

/// Pages in a buffer, as many as a platform is given at once.
pub(super) const SLOT_PAGES: usize = 64;

/// Enough to hash; the threads of a host are many and do little.
const STACK: usize = 128 * 1024;

/// What is published.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) pages: Pages,
    /// Pages that it covers.
    pub(super) count: u64,
}

/// Pages to be measured, and the buffer that they are in.
#[derive(Debug)]
struct Job {
    range: GfnRange,
    page_type: PageType,
    /// Whether the buffer holds their contents.
    contents: bool,
    buffer: PageBuf,
}

/// The launch thread's end.
#[derive(Debug)]
pub(super) struct Thread {
    /// Has room for every buffer: handing one over never waits.
    jobs: SyncSender<Job>,
    done: Receiver<PageBuf>,
    /// Buffers that hold nothing that is not published.
    free: Vec<PageBuf>,
}

impl Thread {
    /// Starts it on what `told` says so far. Buffers are `locked` where pages are nobody's business.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn start(told: Arc<Mutex<Told>>, locked: bool) -> io::Result<Self> {
        let mut free = Vec::with_capacity(SLOTS);
        for _ in 0..SLOTS {
            let mut buffer = PageBuf::new(SLOT_PAGES)?;
            if locked {
                buffer.lock()?;
            }
            free.push(buffer);
        }
        let (jobs, work) = sync_channel(SLOTS);
        let (back, done) = sync_channel(SLOTS);
        // Signals that the launch thread blocks are blocked here too: a new thread inherits the mask.
        thread::Builder::new()
            .name("measure".to_owned())
            .stack_size(STACK)
            .spawn(move || measure(&work, &back, &told))?;
        Ok(Self { jobs, done, free })
    }

    /// Hands over pages, at most [`SLOT_PAGES`] with contents, when there is a buffer for them.
    pub(super) fn measure(
        &mut self,
        range: GfnRange,
        page_type: PageType,
        contents: Option<&[[u8; PAGE_BYTES]]>,
    ) -> Result<(), Died> {
        let mut buffer = match self.free.pop() {
            Some(buffer) => buffer,
            None => self.next_done()?,
        };
        if let Some(contents) = contents {
            let bytes = contents.as_flattened();
            let room = buffer.as_mut_slice().get_mut(..bytes.len()).ok_or(Died)?;
            room.copy_from_slice(bytes);
        }
        let job = Job {
            range,
            page_type,
            contents: contents.is_some(),
            buffer,
        };
        self.jobs.send(job).map_err(|_gone| Died)
    }

    /// Waits until all is published.
    pub(super) fn settle(&mut self) -> Result<(), Died> {
        while self.free.len() < SLOTS {
            let buffer = self.next_done()?;
            self.free.push(buffer);
        }
        Ok(())
    }

    fn next_done(&self) -> Result<PageBuf, Died> {
        self.done.recv().map_err(|_gone| Died)
    }
}

fn measure(work: &Receiver<Job>, back: &SyncSender<PageBuf>, told: &Mutex<Told>) {
    let mut pages = lock(told).pages.clone();
    while let Ok(mut job) = work.recv() {
        let measured = add(&mut pages, &job);
        if job.contents {
            // While it is in the processor's cache.
            job.buffer.wipe(job.range.pages());
            stack::wipe();
        }
        if !measured {
            tracing::error!(range = %job.range, "pages came to be measured without their contents");
            return;
        }
        let published = pages.clone();
        {
            let mut told = lock(told);
            told.pages = published;
            told.count += job.range.pages();
        }
        if back.send(job.buffer).is_err() {
            return;
        }
    }
}

/// Measures a job; `false` if it does not hold what it says.
fn add(pages: &mut Pages, job: &Job) -> bool {
    if !job.contents {
        job.range
            .iter()
            .for_each(|gfn| pages.extend(gfn.gpa(), job.page_type, None));
        return true;
    }
    let (contents, _) = job.buffer.as_slice().as_chunks::<PAGE_BYTES>();
    if (contents.len() as u64) < job.range.pages() {
        return false;
    }
    job.range
        .iter()
        .zip(contents)
        .for_each(|(gfn, page)| pages.extend(gfn.gpa(), job.page_type, Some(page)));
    true
}
