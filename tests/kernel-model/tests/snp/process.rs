//! A process whose memory is one array.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::Duration;

use stagepages_kernel_model::world::{FileId, Kind, World};
use stagepages_kernel_model::{Answer, Errno, What};

/// Where the array lies for the model.
pub(crate) const BASE: u64 = 0x10_0000;
const BYTES: usize = 0x4_0000;

/// A process that can be made to look wrong.
pub(crate) struct Process {
    memory: RefCell<Vec<u8>>,
    files: RefCell<BTreeMap<i32, u64>>,
    /// What was written to each guest_memfd, by file and offset.
    pub(crate) stored: RefCell<BTreeMap<(u64, u64), Vec<u8>>>,
    /// What the trace was told.
    pub(crate) told: RefCell<Vec<What>>,
    /// The thread's signal mask.
    pub(crate) blocked: Cell<u64>,
    /// Its sources are locked.
    pub(crate) locks: Cell<bool>,
    /// Its guest_memfds are close-on-exec.
    pub(crate) cloexec: Cell<bool>,
    /// Its id.
    pub(crate) pid: Cell<u32>,
    /// Is done before it waits.
    pub(crate) on_wait: RefCell<Option<Box<dyn FnOnce()>>>,
    /// Is told of violations too.
    pub(crate) heard: RefCell<Option<Sender<String>>>,
    /// A violation would have ended it.
    pub(crate) stopped: Cell<bool>,
    /// How long it has waited.
    pub(crate) waited: Cell<Duration>,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self {
            memory: RefCell::new(vec![0; BYTES]),
            files: RefCell::default(),
            stored: RefCell::default(),
            told: RefCell::default(),
            blocked: Cell::new(u64::MAX),
            locks: Cell::new(true),
            cloexec: Cell::new(true),
            pid: Cell::new(1),
            on_wait: RefCell::default(),
            heard: RefCell::default(),
            stopped: Cell::default(),
            waited: Cell::default(),
        }
    }

    /// Opens a file of its own, under the lowest number that is free.
    pub(crate) fn open(&self) -> (i32, FileId) {
        let mut files = self.files.borrow_mut();
        let fd = (3..).find(|fd| !files.contains_key(fd)).unwrap();
        let ino = files.values().max().map_or(1, |ino| ino + 1);
        files.insert(fd, ino);
        (fd, FileId { dev: 0, ino })
    }

    /// Closes a descriptor.
    pub(crate) fn close(&self, fd: i32) {
        self.files.borrow_mut().remove(&fd).unwrap();
    }

    /// The words of all violations.
    pub(crate) fn violations(&self) -> Vec<String> {
        let told = self.told.borrow();
        let words = told.iter().filter_map(|what| match what {
            What::Violation { words, .. } => Some(words.clone()),
            What::Begin(_)
            | What::End(_)
            | What::Open { .. }
            | What::Fd(_)
            | What::Fault(_)
            | What::Digest { .. } => None,
        });
        words.collect()
    }
}

fn place(addr: u64, bytes: usize) -> Answer<std::ops::Range<usize>> {
    let start = addr.checked_sub(BASE).ok_or(Errno::EFAULT)?;
    let start = usize::try_from(start).unwrap();
    if start + bytes > BYTES {
        return Err(Errno::EFAULT);
    }
    Ok(start..start + bytes)
}

impl World for Process {
    fn pid(&self) -> u32 {
        self.pid.get()
    }

    fn blocked_signals(&self) -> u64 {
        self.blocked.get()
    }

    fn read(&self, addr: u64, bytes: &mut [u8]) -> Answer<()> {
        bytes.copy_from_slice(&self.memory.borrow()[place(addr, bytes.len())?]);
        Ok(())
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Answer<()> {
        self.memory.borrow_mut()[place(addr, bytes.len())?].copy_from_slice(bytes);
        Ok(())
    }

    fn is_locked(&self, _addr: u64, _bytes: u64) -> bool {
        self.locks.get()
    }

    fn create(&self, _kind: Kind, _bytes: u64) -> Answer<(i32, FileId)> {
        Ok(self.open())
    }

    fn identify(&self, fd: i32) -> Option<FileId> {
        let ino = *self.files.borrow().get(&fd)?;
        Some(FileId { dev: 0, ino })
    }

    fn closes_on_exec(&self, fd: i32) -> Option<bool> {
        self.identify(fd).map(|_| self.cloexec.get())
    }

    fn store(&self, fd: i32, offset: u64, page: &[u8]) -> Answer<()> {
        let ino = self.identify(fd).ok_or(Errno::EBADF)?.ino;
        self.stored
            .borrow_mut()
            .insert((ino, offset), page.to_vec());
        Ok(())
    }

    fn punch(&self, fd: i32, offset: u64, bytes: u64) -> Answer<()> {
        let ino = self.identify(fd).ok_or(Errno::EBADF)?.ino;
        let mut stored = self.stored.borrow_mut();
        stored.retain(|(file, at), _| *file != ino || *at < offset || *at >= offset + bytes);
        Ok(())
    }

    fn wait(&self, time: Duration) {
        if let Some(first) = self.on_wait.take() {
            first();
        }
        self.waited.set(self.waited.get() + time);
    }

    fn tell(&self, what: What) {
        if let What::Violation { words, .. } = &what
            && let Some(heard) = &*self.heard.borrow()
        {
            heard.send(words.clone()).unwrap();
        }
        self.told.borrow_mut().push(what);
    }

    fn stop(&self, _words: &str) {
        self.stopped.set(true);
    }
}
