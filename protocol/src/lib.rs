//! Weir's protocols, without I/O: bytes in, meaning out.
//!
//! No sockets, clocks, tasks, locks or randomness: time and random bytes are arguments, so that
//! every behaviour here can be replayed from a test. The relay, the load tester and the fuzz
//! targets are the drivers.
#![forbid(unsafe_code)]

pub mod body;
pub mod catalog;
pub mod codec;
pub mod flv;
pub mod loc;
pub mod moqt;
pub mod rtmp;
pub mod wire;
