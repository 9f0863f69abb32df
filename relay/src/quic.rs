//! QUIC: one driver for all connections of a socket, over `quinn-proto` and `quinn-udp`.
//!
//! ```text
//!            handles of a shard's tasks                      the driver, one task a socket
//!  ┌────────────────────────────────────────────┐    ┌───────────────────────────────────────┐
//!  │ Connection, SendStream, RecvStream: lock   │    │ 1. receive a batch of datagrams (GRO),│
//!  │ the connection, write or read, and put it  ├───►│    give each to its connection        │
//!  │ on the list of those that have news        │list│ 2. connections whose time has come    │
//!  │                                            │◄───┤ 3. for each that has news: build and  │
//!  │ wait: a waker a stream, a `Notify` an event│    │    send (GSO), wake who waits         │
//!  └────────────────────────────────────────────┘    └───────────────────────────────────────┘
//! ```
//!
//! A connection costs no task, no channel and no timer of its own: what the pump has written to
//! many viewers goes out in one pass over them, from one buffer, while it is hot. A pass is
//! bounded in connections, and a connection in datagrams, so that neither one viewer nor all of
//! them hold up what else runs on the shard.
//!
//! The handles may be used from any thread; on a shard their locks are never contended. Locks are
//! taken in the order endpoint, connection, list.

mod connection;
mod driver;
mod endpoint;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod timers;

pub use connection::{Connecting, Connection};
pub use endpoint::{Endpoint, Incoming};
pub use quinn_proto::{
    Chunk, ClosedStream, ConnectError, ConnectionError, ConnectionStats, SendDatagramError,
    StreamId, VarInt, Written,
};
pub use stream::{ReadError, RecvStream, SendStream, WriteError};
