//! The `weir-loadtest` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_loadtest::cli::main()
}
