//! A heap that forgets: every block is overwritten with zeros before it goes back to the allocator underneath.
//!
//! Page contents pass through buffers of the HTTP/2 stack, of the decoder and of hashing, which none of their authors wipes. Here it happens to all of them, by
//! the one way that memory has to go. Blocks are wiped whatever their size: a `memset` of a block that was just used runs in the processor's cache, and to tell
//! apart the blocks that the allocator would unmap takes knowledge that only it has.
//!
//! ```
//! #[global_allocator]
//! static HEAP: stagepages_kvm::WipingHeap = stagepages_kvm::WipingHeap::SYSTEM;
//! # assert_eq!(vec![7; 3].len(), 3);
//! ```
//!
//! **Invariant:** no byte of a block is left in memory that the allocator underneath may give to somebody else or keep.

use std::alloc::{GlobalAlloc, Layout, System};

/// Wipes what is freed, and has another allocator do the rest.
#[derive(Debug, Clone, Copy, Default)]
pub struct WipingHeap<A = System>(A);

impl WipingHeap {
    /// Over the system's allocator.
    pub const SYSTEM: Self = Self(System);
}

// SAFETY: blocks are those of the allocator underneath, by the same layouts, and it is told the same of each: where one begins and which layout it has. Between
// the caller's last access and the allocator's first, the bytes of the block are written, all of which are the block's.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingHeap<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same contract towards this as towards the allocator underneath.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above. Pages that the kernel has just made are zero already, which only the allocator underneath knows.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // A plain fill of memory that is freed next is a dead store, and `free` is known to the compiler; this one it keeps.
        // SAFETY: writes `layout.size()` bytes at `block`, which are the block's: the caller got it with this layout, and gives it up.
        unsafe { libc::explicit_bzero(block.cast(), layout.size()) };
        // SAFETY: as the caller promises, this block and layout are of one allocation, of the allocator underneath.
        unsafe { self.0.dealloc(block, layout) };
    }

    // `realloc` is the trait's own: a new block, a copy, and `dealloc` of the old one. The allocator underneath would leave contents behind where it moves or cuts.
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Looks at each block that is freed.
    #[derive(Default)]
    struct Witness {
        freed: RefCell<Vec<Vec<u8>>>,
    }

    // SAFETY: the system's blocks, by the system's rules; each is only read, before it goes.
    unsafe impl GlobalAlloc for Witness {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's contract is the system's.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: `size` bytes at `block` are the block's, written by the test, and nobody else has them any more.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            self.freed.borrow_mut().push(bytes.to_vec());
            // SAFETY: the caller's contract is the system's.
            unsafe { System.dealloc(block, layout) };
        }
    }

    fn filled(heap: &WipingHeap<Witness>, layout: Layout) -> *mut u8 {
        // SAFETY: no layout here is of no bytes.
        let block = unsafe { heap.alloc(layout) };
        assert!(!block.is_null());
        // SAFETY: writes the block that was just allocated.
        unsafe { block.write_bytes(0xa5, layout.size()) };
        block
    }

    #[test]
    fn a_freed_block_is_zero_whatever_its_size_and_alignment() {
        let heap = WipingHeap(Witness::default());
        for (size, align) in [(1, 1), (24, 8), (4096, 4096), (100_001, 1), (3 << 20, 16)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let block = filled(&heap, layout);
            // SAFETY: allocated above with this layout.
            unsafe { heap.dealloc(block, layout) };
            let freed = heap.0.freed.take();
            assert_eq!(freed.len(), 1, "{layout:?}");
            assert!(freed[0].len() == size && freed[0].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_block_that_grows_or_shrinks_keeps_its_contents_and_leaves_none() {
        let heap = WipingHeap(Witness::default());
        let layout = Layout::from_size_align(4096, 8).unwrap();
        for size in [100, 4096, 70_000] {
            let block = filled(&heap, layout);
            // SAFETY: allocated above with this layout; the new size is not zero.
            let moved = unsafe { heap.realloc(block, layout, size) };
            // SAFETY: `realloc` keeps the bytes that both have.
            let kept = unsafe { std::slice::from_raw_parts(moved, size.min(4096)) };
            assert!(kept.iter().all(|byte| *byte == 0xa5));
            let freed = heap.0.freed.take();
            assert_eq!(freed, [[0; 4096]], "{size}");
            // SAFETY: the block that `realloc` made, with the size that it was asked for.
            unsafe { heap.dealloc(moved, Layout::from_size_align(size, 8).unwrap()) };
            heap.0.freed.take();
        }
    }

    #[test]
    fn zeroed_memory_is_zero() {
        let layout = Layout::from_size_align(5000, 8).unwrap();
        // SAFETY: the layout is of some bytes.
        let block = unsafe { WipingHeap::SYSTEM.alloc_zeroed(layout) };
        // SAFETY: allocated above, as zeros.
        let bytes = unsafe { std::slice::from_raw_parts(block, 5000) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        // SAFETY: allocated above with this layout.
        unsafe { WipingHeap::SYSTEM.dealloc(block, layout) };
    }
}
