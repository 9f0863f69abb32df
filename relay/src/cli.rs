//! The subcommands of `weir`, one file each.

pub mod top;
