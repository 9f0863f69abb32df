//! A global allocator that counts for each thread, so that tests that run side by side do not
//! count each other's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Allocations and their bytes. Growing one counts as another of its new size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) allocations: usize,
    pub(crate) bytes: usize,
}

/// What this thread allocates in `run`, and what it returns.
pub(crate) fn counted<T>(run: impl FnOnce() -> T) -> (Tally, T) {
    let before = TALLY.get();
    let value = run();
    let after = TALLY.get();
    let tally = Tally {
        allocations: after.allocations - before.allocations,
        bytes: after.bytes - before.bytes,
    };
    (tally, value)
}

thread_local! {
    // Constant and without a destructor: reading it allocates nothing and works at any time.
    static TALLY: Cell<Tally> = const { Cell::new(Tally { allocations: 0, bytes: 0 }) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

fn count(bytes: usize) {
    let tally = TALLY.get();
    TALLY.set(Tally {
        allocations: tally.allocations + 1,
        bytes: tally.bytes + bytes,
    });
}

// SAFETY: every call is the system allocator's, with the arguments that came, and `count` neither
// allocates nor unwinds.
#[expect(unsafe_code, reason = "the trait of an allocator is unsafe")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the trait's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the trait's promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: the caller keeps the trait's promises, and every block is the system's.
        unsafe { System.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the trait's promises, and every block is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}
