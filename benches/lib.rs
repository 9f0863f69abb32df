//! The way of a frame without its sockets: what the benches time and the allocation test counts.

pub mod fanout;
pub mod ingest;

/// Payload of a frame in bytes: with [`FRAME_US`], a stream of 3.84 Mbit/s.
pub const FRAME_BYTES: usize = 16_000;

/// Time between two frames in microseconds.
pub const FRAME_US: u64 = 33_333;

/// Frames from one key frame to the next: two seconds.
pub const GROUP_FRAMES: u64 = 60;
