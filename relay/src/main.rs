//! The `weir` binary: arguments in, exit code out.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Frames are made on one thread and freed on another when the last viewer has them. The system's
/// allocator on Linux grows each thread's heap a page and a call at a time, one for nearly every
/// frame (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    keep_freed_memory();
    weir_relay::cli::main()
}

/// Has the allocator keep what is freed for a second before it gives it back to the system.
///
/// A group is freed at once when the cache lets it go, and taken again, for other frames, within
/// the time of a group. With the allocator's own ten milliseconds most of it goes back in between
/// and comes again as pages that the kernel has to clear: 4600 a second with 300 publishers of
/// 1 Mbit/s, and 35 with this, for 3 % more memory. `MIMALLOC_PURGE_DELAY` says otherwise.
#[expect(unsafe_code, reason = "the allocator's options have no safe face")]
fn keep_freed_memory() {
    // SAFETY: the call checks the option's number and writes the value into a table of integers,
    // which no other thread reads: there is none yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
}

/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

const PURGE_DELAY_MS: std::ffi::c_long = 1000;
