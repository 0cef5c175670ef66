//! The loop that the product is held against: what one thread would do that had all the bytes and nobody to talk to.
//!
//! ```text
//!  source (resident) ─▶ populate 64 pages ─▶ copy ─▶ BLAKE3 of each page, where it was copied to ─▶ ledger append ─▶ the next 64
//! ```
//!
//! The guest_memfd is one as the `kvm` platform makes it, bound to a VM as a memslot, and its pages are made to exist in batches of as many pages as a launch host
//! installs at a time. Hashes and ledger are the product's own. It leaves out what the product does beside that: it asks nobody whether a page
//! exists already, keeps no answers, and tells nobody how far it is. Making the VM and giving the memory back are not timed, on either side.
//!
//! **Invariant:** one thread, no RPC, no system call but the one that makes a batch exist.

use std::time::{Duration, Instant};

use stagepages_host::ledger::{Ledger, PageHash};
use stagepages_kvm::{
    Gfn, GfnRange, GuestMemfdFlags, Kvm, Mapping, PAGE_BYTES, PageType, Vm, VmType,
};

/// What a launch host installs at a time, where nobody configures another: `chunk_pages` in deploy/stagepagesd.toml.
const BATCH_PAGES: usize = 64;

/// Installs `source` into a new VM. Returns what that took.
pub(crate) fn install(source: &[u8]) -> Duration {
    let pages = (source.len() / PAGE_BYTES) as u64;
    let whole = GfnRange::new(Gfn::new(0).unwrap(), pages).unwrap();
    // The VM is not used, but it has the memory: what a batch costs depends on the memslot.
    let (_vm, mut memory) = vm(whole);
    let mut ledger = Ledger::new([7; 32]);
    let hasher = ledger.hasher();
    let mut hashes: Vec<PageHash> = Vec::with_capacity(BATCH_PAGES);
    let begun = Instant::now();
    let mut first = 0;
    for batch in source.chunks(BATCH_PAGES * PAGE_BYTES) {
        let pages = (batch.len() / PAGE_BYTES) as u64;
        memory.populate(first, pages).unwrap();
        memory.copy_in(first, batch).unwrap();
        let installed = memory.pages(first, pages).unwrap();
        hashes.clear();
        let (installed, _) = installed.as_chunks::<PAGE_BYTES>();
        hashes.extend(
            installed
                .iter()
                .map(|page| hasher.hash(PageType::Normal, page)),
        );
        let range = GfnRange::new(Gfn::new(first).unwrap(), pages).unwrap();
        ledger.append(range, PageType::Normal, &hashes).unwrap();
        first += pages;
    }
    let took = begun.elapsed();
    assert_eq!(ledger.len(), pages);
    took
}

/// A VM with one region, on a guest_memfd that is mapped.
fn vm(region: GfnRange) -> (Vm, Mapping) {
    let mut vm = Kvm::open().unwrap().create_vm(VmType::Default).unwrap();
    let flags = GuestMemfdFlags::MMAP | GuestMemfdFlags::INIT_SHARED;
    let memory = vm.create_guest_memfd(region.bytes(), flags).unwrap();
    let memory = memory.map().unwrap();
    vm.set_memory_region(0, region, &memory, 0).unwrap();
    (vm, memory)
}
