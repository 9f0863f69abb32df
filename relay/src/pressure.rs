//! What the relay takes on: its limits, how often each was hit, and when it is too much; pure.
//!
//! | what comes | is held by | and otherwise |
//! |---|---|---|
//! | a first packet from anywhere | handshakes under way, [`Gate`] | Retry, refusal or silence |
//! | a connection | [`Gate`]: per address, and how fast | refused, closed |
//! | a session, a publisher, a stream | its number | refused with the protocol's code |
//! | a request | a pace for each session | served later |
//! | a subscription | their number, [`Load`], [`Memory`] | EXCESSIVE_LOAD, or a redirect |
//!
//! Addresses are counted once they are known to be true: what anybody can write into a packet
//! must not use up somebody else's share.

mod gate;
mod load;
mod memory;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use ipnet::IpNet;
use parking_lot::Mutex;

pub use gate::{Bucket, Gate};
pub use load::{Load, Sample};
pub use memory::Memory;

/// The limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Handshakes under way, of all shards; more are refused.
    pub handshakes: usize,
    /// Handshakes under way beyond which an address has to prove itself (Retry).
    pub retry_above: usize,
    /// Retries and refusals that a shard answers in a second; beyond, silence.
    pub stateless_per_s: u32,
    /// Connections of all kinds from one address (from one /64 of IPv6).
    pub connections_per_address: u32,
    /// Connections that one address may open in a second.
    pub connects_per_s: u32,
    /// Networks that the two above do not hold for.
    pub exempt: Vec<IpNet>,
    /// Viewers' and MoQT publishers' sessions at a time.
    pub sessions: usize,
    /// Publishers over RTMP at a time.
    pub publishers: usize,
    /// Connections for pages, API and metrics at a time.
    pub http_connections: usize,
    /// Subscriptions at a time, of all sessions.
    pub subscriptions: usize,
    /// Requests that a session may make in a second; more are served later.
    pub requests_per_s: u32,
    /// Share of a shard's time that media may take, in percent, before new viewers are refused.
    pub busy_percent: u32,
    /// How late a shard may look at what is due, or at a viewer when there is news for it, in
    /// microseconds, before that.
    pub lag_us: u64,
    /// Resident memory in bytes before that; none for most of what the machine has.
    pub memory: Option<u64>,
    /// Where viewers that are refused for load are sent; none to leave it to them.
    pub redirect: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // At a handshake's 50 kB, 100 MB; at 1 ms of CPU each, two seconds of a core.
            handshakes: 2048,
            // A start of a show on a small relay, without a round trip more.
            retry_above: 512,
            // At 100 bytes each less than a megabit: no amplifier.
            stateless_per_s: 1000,
            // A company or a carrier behind one address.
            connections_per_address: 2000,
            connects_per_s: 200,
            exempt: vec![LOOPBACK_V4, LOOPBACK_V6],
            // At 130 kB each, 1.3 GB.
            sessions: 10_000,
            // At 4 Mbit/s each, 4 Gbit/s.
            publishers: 1024,
            // An operator's tools need a handful, and each player one or two.
            http_connections: 256,
            // Three tracks for each of the sessions, three times over.
            subscriptions: 100_000,
            // A player makes ten at its start, an edge some a stream.
            requests_per_s: 200,
            busy_percent: 95,
            // Beyond a frame's time at 30 a second, viewers begin to notice.
            lag_us: 50_000,
            memory: None,
            redirect: None,
        }
    }
}

const LOOPBACK_V4: IpNet = IpNet::V4(ipnet::Ipv4Net::new_assert(
    std::net::Ipv4Addr::new(127, 0, 0, 0),
    8,
));

const LOOPBACK_V6: IpNet = IpNet::V6(ipnet::Ipv6Net::new_assert(
    std::net::Ipv6Addr::LOCALHOST,
    128,
));

macro_rules! limits {
    ($($(#[$doc:meta])* $limit:ident = $name:literal;)*) => {
        /// The limits whose hits are counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit {
            $($(#[$doc])* $limit,)*
        }

        impl Limit {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$limit,)*];

            /// The key of the configuration that sets it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$limit => $name,)*
                }
            }
        }
    };
}

limits! {
    /// [`Config::handshakes`]: a first packet was refused.
    Handshakes = "limits.handshakes";
    /// [`Config::retry_above`]: an address had to prove itself.
    Retry = "limits.retry_above";
    /// [`Config::stateless_per_s`]: a first packet was not answered.
    Stateless = "limits.stateless_per_second";
    /// [`Config::connections_per_address`]: a connection was refused.
    PerAddress = "limits.connections_per_address";
    /// [`Config::connects_per_s`]: a connection was refused.
    ConnectRate = "limits.connects_per_second";
    /// [`Config::sessions`]: a viewer was refused.
    Sessions = "limits.sessions";
    /// [`Config::publishers`]: a publisher was refused.
    Publishers = "limits.publishers";
    /// The registry's: a publisher was refused.
    Streams = "limits.streams";
    /// [`Config::http_connections`]: the next one waits.
    Http = "limits.http_connections";
    /// [`Config::subscriptions`]: a SUBSCRIBE was refused.
    Subscriptions = "limits.subscriptions";
    /// [`Config::requests_per_s`]: a session's requests were held back.
    RequestRate = "limits.requests_per_second";
    /// [`Config::busy_percent`]: somebody was refused.
    Busy = "limits.busy_percent";
    /// [`Config::lag_us`]: somebody was refused.
    Lag = "limits.lag_ms";
    /// [`Config::memory`]: somebody was refused.
    Memory = "limits.memory_mib";
    /// The rings' budget: an older group was dropped before its time, or a publisher refused.
    Cache = "limits.cache_mib";
}

/// What all doors of a relay ask, and where they count.
#[derive(Debug)]
pub struct Pressure {
    /// The limits.
    pub config: Config,
    /// Handshakes under way.
    pub handshakes: Arc<Places>,
    /// Subscriptions.
    pub subscriptions: Arc<Places>,
    hits: Vec<AtomicU64>,
    gate: Mutex<Gate>,
    shards: Vec<ShardState>,
    memory_full: AtomicBool,
}

/// What a shard last said of itself.
#[derive(Debug, Default)]
struct ShardState {
    busy_percent: AtomicU64,
    lag_us: AtomicU64,
    /// What is too much, by its number and one; 0 for nothing.
    overload: AtomicUsize,
}

impl Pressure {
    /// No pressure yet, on so many shards.
    pub fn new(config: Config, shards: usize) -> Self {
        Self {
            handshakes: Places::new(config.handshakes),
            subscriptions: Places::new(config.subscriptions),
            hits: Limit::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            gate: Mutex::new(Gate::new(&config)),
            shards: (0..shards).map(|_| ShardState::default()).collect(),
            memory_full: AtomicBool::new(false),
            config,
        }
    }

    /// Counts that a limit was hit.
    pub fn hit(&self, limit: Limit) {
        self.hits[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was hit.
    pub fn hits(&self, limit: Limit) -> u64 {
        self.hits[limit as usize].load(Ordering::Relaxed)
    }

    /// Whether an address that may be forged would be let in.
    pub fn look(&self, addr: IpAddr, now_us: u64) -> Result<(), Limit> {
        self.counted(self.gate.lock().look(addr, now_us))
    }

    /// Counts the coming of an address that is known to be true.
    pub fn arrive(&self, addr: IpAddr, now_us: u64) -> Result<(), Limit> {
        self.counted(self.gate.lock().arrive(addr, now_us))
    }

    /// Counts a connection of it, until the ticket is dropped.
    pub fn enter(self: &Arc<Self>, addr: IpAddr) -> Result<Ticket, Limit> {
        self.counted(self.gate.lock().enter(addr))?;
        Ok(Ticket {
            pressure: Arc::clone(self),
            addr,
        })
    }

    /// Lets a TCP connection in.
    pub fn admit(self: &Arc<Self>, addr: IpAddr, now_us: u64) -> Result<Ticket, Limit> {
        self.arrive(addr, now_us)?;
        self.enter(addr)
    }

    fn counted<T>(&self, result: Result<T, Limit>) -> Result<T, Limit> {
        result.inspect_err(|limit| self.hit(*limit))
    }

    /// Notes what a shard says of itself: how it was, and what is too much.
    pub fn on_shard(&self, shard: usize, sample: Sample, overload: Option<Limit>) {
        if let Some(state) = self.shards.get(shard) {
            let busy = sample.busy_percent.into();
            state.busy_percent.store(busy, Ordering::Relaxed);
            state.lag_us.store(sample.lag_us, Ordering::Relaxed);
            let overload = overload.map_or(0, |limit| limit as usize + 1);
            state.overload.store(overload, Ordering::Relaxed);
        }
    }

    /// Busy in percent, lag in microseconds, and whether that is too much, of each shard.
    pub fn shards(&self) -> Vec<(u64, u64, bool)> {
        let shown = |state: &ShardState| {
            let busy = state.busy_percent.load(Ordering::Relaxed);
            let lag_us = state.lag_us.load(Ordering::Relaxed);
            (busy, lag_us, state.overload.load(Ordering::Relaxed) > 0)
        };
        self.shards.iter().map(shown).collect()
    }

    /// Notes whether the memory is full.
    pub fn on_memory(&self, full: bool) {
        self.memory_full.store(full, Ordering::Relaxed);
    }

    /// Whether the memory is full.
    pub fn is_full(&self) -> bool {
        self.memory_full.load(Ordering::Relaxed)
    }

    /// Why a shard takes nobody new, if it does not.
    pub fn overload(&self, shard: usize) -> Option<Limit> {
        if self.is_full() {
            return Some(Limit::Memory);
        }
        let state = self.shards.get(shard)?;
        let number = state.overload.load(Ordering::Relaxed).checked_sub(1)?;
        Limit::ALL.get(number).copied()
    }

    /// Lets somebody new in on a shard, or counts why not.
    pub fn take_on(&self, shard: usize) -> Result<(), Limit> {
        self.counted(self.overload(shard).map_or(Ok(()), Err))
    }
}

/// A connection that counts for its address; dropping it gives it back.
#[derive(Debug)]
pub struct Ticket {
    pressure: Arc<Pressure>,
    addr: IpAddr,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pressure.gate.lock().leave(self.addr);
    }
}

/// A number of places.
#[derive(Debug)]
pub struct Places {
    limit: usize,
    taken: AtomicUsize,
}

impl Places {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicUsize::new(0),
        })
    }

    /// Takes a place, if there is one.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        // Made first, so that it is given back in any case.
        let place = Place(Arc::clone(self));
        (before < self.limit).then_some(place)
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let places = Places::new(1);
        let place = places.take().unwrap();
        assert!(places.take().is_none());
        drop(place);
        assert!(places.take().is_some());
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn tickets_give_an_address_its_place_back() {
        let config = Config {
            connections_per_address: 1,
            ..Config::default()
        };
        let pressure = Arc::new(Pressure::new(config, 1));
        let addr = IpAddr::from([192, 0, 2, 1]);
        let ticket = pressure.admit(addr, 0).unwrap();
        assert_eq!(pressure.admit(addr, 0).err(), Some(Limit::PerAddress));
        assert_eq!(pressure.look(addr, 0), Err(Limit::PerAddress));
        drop(ticket);
        drop(pressure.admit(addr, 0).unwrap());
        assert_eq!(pressure.hits(Limit::PerAddress), 2);
    }

    #[test]
    fn a_full_memory_holds_for_every_shard_and_load_for_its_own() {
        let pressure = Pressure::new(Config::default(), 2);
        pressure.on_shard(1, Sample::default(), Some(Limit::Lag));
        assert_eq!(pressure.take_on(0), Ok(()));
        assert_eq!(pressure.take_on(1), Err(Limit::Lag));
        pressure.on_memory(true);
        assert_eq!(pressure.take_on(0), Err(Limit::Memory));
        assert_eq!(pressure.hits(Limit::Lag), 1);
    }
}
