//! What the relay asks of its allocator.

/// Has the allocator keep what is freed for ten seconds before it gives it back to the system.
///
/// A group is freed at once when the cache lets it go, and taken again, for other frames, within
/// the time of a group or two. With the allocator's own ten milliseconds most of it goes back in
/// between and comes again as pages that the kernel has to clear: 4600 faults a second with 300
/// publishers of 1 Mbit/s, and 10 with this, for 1 % more memory. What peers make the relay take
/// and free is kept as long, so this is not for one that has been given a limit for its memory:
/// hostile publishers brought one of 256 MiB to 271. `MIMALLOC_PURGE_DELAY` says otherwise.
///
/// To be called before there are threads.
#[expect(unsafe_code, reason = "the allocator's options have no safe face")]
pub(super) fn keep_freed_memory() {
    // SAFETY: the call checks the option's number and writes the value into a table of integers,
    // which no other thread reads: there is none yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
}

/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

const PURGE_DELAY_MS: std::ffi::c_long = 10_000;
