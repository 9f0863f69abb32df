//! Weir: a live media relay. RTMP in, Media over QUIC out, and where the latency went.

pub mod cli;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod http;
pub mod ingest;
pub mod net;
pub mod registry;
pub mod relay;
pub mod ring;
pub mod sender;
pub mod session;
pub mod shard;
pub mod stats;
pub mod stream;
pub mod subscription;
