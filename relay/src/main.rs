//! The `weir` binary: arguments in, exit code out.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Frames are made on one thread and freed on another when the last viewer has them. The system's
/// allocator on Linux grows each thread's heap a page and a call at a time, one for nearly every
/// frame (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    weir_relay::cli::main()
}
