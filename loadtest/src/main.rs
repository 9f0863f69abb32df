//! The `weir-loadtest` binary.

fn main() {}
