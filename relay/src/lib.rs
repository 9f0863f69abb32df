//! Weir: a live media relay. RTMP in, Media over QUIC out, and where the latency went.
//!
//! # The way of a frame
//!
//! ```text
//!  OBS ─TCP─► ingest ─────────► track ring ──────────► subscription ─────► QUIC stream ──► UDP
//!             RTMP chunks are    groups of shared       one cursor a        the same Bytes
//!             copied once, into  objects (Bytes),       viewer; decides     written to every
//!             the object's own   one writer,            next / skip /       viewer, no encode,
//!             allocation         many readers           wait                no copy
//!               │                   │                      │                    │
//!               └──── ingest ───────┴─────── queue ────────┴────── send ────────┘   latency stages
//! ```
//!
//! One allocation an object. The length of an RTMP message is known before its first byte, so the
//! chunk reader copies the payload straight behind room for the object's header; when the message
//! is complete the header is written backwards into that room (`protocol::body`,
//! `ingest::packager`). From there on the object is a reference count. A viewer costs no encoding,
//! no allocation and no copy until the encrypted packet is built.
//!
//! # Threads
//!
//! ```text
//!  control runtime              shard 0              shard 1            one thread each:
//!  ┌─────────────────────┐      ┌───────────────┐    ┌───────────────┐  a current-thread runtime,
//!  │ accept publishers ──┼─────►│ ingest        │    │ ingest        │  a UDP socket of one
//!  │ HTTP, metrics       │      │ sessions      │    │ sessions      │  SO_REUSEPORT group,
//!  │ sweep, certificate  │      │ pump a track  │    │ pump a track  │  one QUIC driver
//!  └─────────┬───────────┘      └──────┬────────┘    └──────┬────────┘
//!            └───────── registry ── streams ── rings ───────┘            all that is shared
//! ```
//!
//! A packet reaches the shard that its connection ID names ([`net`]). A published object wakes a
//! [pump](sender) once a shard and track, which walks its viewers; the [driver](quic) sends what it
//! has written in one pass over their connections. Ingest waits for a reader at most as long as the
//! reader clones one object's handle ([`ring`]). A shard that is woken again and again rests for
//! half a millisecond in between, and does at one go what came meanwhile ([`shard`]).
//!
//! # Rooms
//!
//! | room | role |
//! |---|---|
//! | [`cli`] | arguments → configuration → relay; one file a subcommand |
//! | [`config`] | flags, environment and file into one checked object |
//! | [`relay`] | assembly: bind everything, start, drain; the only file that knows all the others |
//! | [`demo`] | a built-in clip, pushed to the relay like any other stream |
//! | [`shard`] | one core: runtime, endpoint, its sessions and publishers |
//! | [`ingest`] | RTMP socket ↔ `protocol::rtmp` ↔ the writing side of a stream |
//! | [`play`] | the reading side of a stream ↔ the socket of an RTMP player |
//! | [`endpoint`] | QUIC endpoint: TLS, ALPN, limits, connection IDs that name the shard |
//! | [`session`] | a QUIC connection ↔ MoQT requests |
//! | [`hang`] | tracks as moq-dev's players want them, made from the stream's own |
//! | [`upstream`] | an edge: other relays' streams, opened when somebody asks |
//! | [`client`] | going to a relay: address, connection, SETUP |
//! | [`peer`] | a MoQT peer's tracks on their way into rings |
//! | [`sender`] | the fan-out: policies' actions → subgroup streams |
//! | [`subscription`] | what a viewer is sent next; pure |
//! | [`stream`] | one live stream: tracks, publisher's life cycle, takeover and linger |
//! | [`registry`] | name → stream; the news that a name came or went |
//! | [`ring`] | the track ring: one writer, many mirrors, the newest group whole |
//! | [`auth`] | who may do what: addresses, keys, tokens; pure |
//! | [`ask`] | asking other servers over HTTP: key sets, decisions about credentials |
//! | [`pressure`] | what the relay takes on: limits, counters, load; pure |
//! | [`stats`] | stages, recorders, windows, snapshots; pure |
//! | [`http`] | control listener: API, metrics, pages; `web/` has the player's modules |
//! | [`tls`] | TLS on TCP: `https`, and RTMPS in front of `ingest` |
//! | [`webtransport`] | WebTransport over HTTP/3, and raw QUIC as if it were that |
//! | [`quic`] | one driver for all connections of a socket, and their handles |
//! | [`net`] | every socket option |
//! | [`clock`] | the only reader of a clock |
//! | `simulation` | tests alone: the core in virtual time, thousands of worlds from their seeds |
//!
//! Imports go one way: `cli → relay → shard → {ingest → play, session → sender, upstream →
//! client}, http → peer → {stream, registry, subscription, stats, auth, pressure} → ring →
//! protocol`, and what carries MoQT's streams is `webtransport → quic`. Ingest and the MoQT side
//! never import each other; quinn-proto appears in quic and endpoint only, socket2 in net, axum in
//! http. `tests/tidy.rs` checks this.
//!
//! # What is not here, and where it would go
//!
//! - Other drafts: `protocol::moqt` says where. Other catalogs: `protocol::catalog`, and views of
//!   the tracks that there are, as [`hang`] has them.

pub mod ask;
pub mod auth;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod endpoint;
pub mod hang;
pub mod http;
pub mod ingest;
pub mod net;
pub mod peer;
pub mod play;
pub mod pressure;
pub mod quic;
pub mod registry;
pub mod relay;
pub mod ring;
pub mod sender;
pub mod session;
pub mod shard;
#[cfg(test)]
mod simulation;
pub mod stats;
pub mod stream;
pub mod subscription;
pub mod tls;
pub mod upstream;
pub mod webtransport;
