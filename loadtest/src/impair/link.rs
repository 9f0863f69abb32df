//! One direction of an impaired path: what happens to each packet, decided without I/O.
//!
//! A packet passes, in this order: blackhole, loss, the token bucket's queue, delay and jitter,
//! and then perhaps a detour (reorder) or a second copy. Jitter by itself never reorders: a packet
//! arrives no earlier than the one before it, unless that one was sent on a detour.

use std::{num::NonZeroU64, time::Duration};

use super::rng::Rng;

/// How many bytes wait for a rate limit before packets are dropped, unless configured: 100 ms of
/// 20 Mbit/s, an ordinary home router's queue.
pub const DEFAULT_QUEUE_BYTES: u64 = 256 * 1024;

/// How many bytes pass a rate limit at once after silence, unless configured: two full packets, so
/// that the limit also shapes short bursts.
pub const DEFAULT_BURST_BYTES: u64 = 3_000;

/// By how much a reordered packet is late, unless configured: longer than the gap between the
/// packets of a video frame, shorter than a loss timeout.
pub const DEFAULT_REORDER_DELAY: Duration = Duration::from_millis(10);

/// What a link does to its packets. The default does nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// Added to every packet's way.
    pub delay: Duration,
    /// Each packet's delay is uniform in `delay - jitter ..= delay + jitter`, not below zero.
    pub jitter: Duration,
    /// Probability in `0.0..=1.0` that a packet is lost.
    pub loss: f64,
    /// Probability that a packet takes a detour, so that later ones overtake it.
    pub reorder: f64,
    /// How long the detour is.
    pub reorder_delay: Duration,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Rate limit in bits per second of payload (no headers counted); `None` is unlimited.
    pub rate_bps: Option<NonZeroU64>,
    /// Bytes that pass the rate limit at once after silence.
    pub burst_bytes: u64,
    /// Bytes that wait for the rate limit before packets are dropped (TCP: the sender waits).
    pub queue_bytes: u64,
    /// Windows in which nothing enters the link.
    pub blackholes: Vec<Window>,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            reorder: 0.0,
            reorder_delay: DEFAULT_REORDER_DELAY,
            duplicate: 0.0,
            rate_bps: None,
            burst_bytes: DEFAULT_BURST_BYTES,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            blackholes: Vec::new(),
        }
    }
}

impl LinkConfig {
    /// A link that only delays.
    pub fn delayed(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    /// A link through which nothing passes until it is configured anew.
    pub fn blackhole() -> Self {
        Self {
            blackholes: vec![Window {
                from_us: 0,
                to_us: u64::MAX,
            }],
            ..Self::default()
        }
    }
}

/// A span of the link's time: microseconds since the proxy's start, without the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// First microsecond inside.
    pub from_us: u64,
    /// First microsecond after.
    pub to_us: u64,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It arrives at this time, in microseconds of the link's time.
    DeliverAt(u64),
    /// It and a copy of it arrive at this time.
    DeliverTwice(u64),
    /// It is lost.
    Drop(DropReason),
}

/// Why a packet was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DropReason {
    /// It was sent while the link was a blackhole.
    Blackhole,
    /// The link lost it at random.
    Loss,
    /// The rate limit's queue was full.
    QueueFull,
}

/// What a link has seen and done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkCounters {
    /// Packets (TCP: segments read) offered to the link.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets handed to the receiving side's socket, copies included.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets that arrive twice.
    pub duplicated: u64,
    /// Packets sent on a detour.
    pub reordered: u64,
    /// Dropped in a blackhole.
    pub dropped_blackhole: u64,
    /// Dropped at random.
    pub dropped_loss: u64,
    /// Dropped by the rate limit's full queue.
    pub dropped_queue: u64,
    /// Dropped by the proxy, not by the link: too many clients or packets on the way, or a socket
    /// that refused. A measurement in which this is not zero measured the proxy.
    pub dropped_proxy: u64,
}

/// One direction's state. Times are microseconds of one monotonic clock.
#[derive(Clone, Debug)]
pub struct Link {
    config: LinkConfig,
    rng: Rng,
    /// When the bucket is full again, in nanoseconds: a byte at 10 Gbit/s takes less than one.
    bucket_full_ns: u64,
    /// No packet that keeps its place arrives before this.
    last_arrival_us: u64,
    counters: LinkCounters,
}

impl Link {
    /// A link whose decisions follow from `seed` and the sequence of its packets.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            rng: Rng::new(seed),
            bucket_full_ns: 0,
            last_arrival_us: 0,
            counters: LinkCounters::default(),
        }
    }

    /// Changes what happens from the next packet on. What is on its way keeps its time, and the
    /// next packets need not wait for it: it may be overtaken once.
    pub fn set_config(&mut self, config: LinkConfig) {
        if config.rate_bps != self.config.rate_bps {
            self.bucket_full_ns = 0;
        }
        self.last_arrival_us = 0;
        self.config = config;
    }

    /// What the link has seen and done so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Decides about a packet of `len` bytes that is sent at `now_us`.
    pub fn offer(&mut self, now_us: u64, len: usize) -> Verdict {
        let draws = Draws::new(&mut self.rng);
        self.on_offered(len);
        let verdict = self.decide(now_us, len, &draws);
        match verdict {
            Verdict::DeliverAt(_) => {}
            Verdict::DeliverTwice(_) => self.counters.duplicated += 1,
            Verdict::Drop(DropReason::Blackhole) => self.counters.dropped_blackhole += 1,
            Verdict::Drop(DropReason::Loss) => self.counters.dropped_loss += 1,
            Verdict::Drop(DropReason::QueueFull) => self.counters.dropped_queue += 1,
        }
        verdict
    }

    fn decide(&mut self, now_us: u64, len: usize, draws: &Draws) -> Verdict {
        if self.blackhole_end_us(now_us).is_some() {
            return Verdict::Drop(DropReason::Blackhole);
        }
        if draws.loss < self.config.loss {
            return Verdict::Drop(DropReason::Loss);
        }
        if self.backlog_bytes(now_us).saturating_add(len as u64) > self.queue_limit(len) {
            return Verdict::Drop(DropReason::QueueFull);
        }
        let departs_us = self.depart(now_us, len);
        let arrives_us = if draws.reorder < self.config.reorder {
            self.counters.reordered += 1;
            let detour = micros(self.config.reorder_delay);
            departs_us
                .saturating_add(self.latency_us(draws))
                .saturating_add(detour)
        } else {
            self.arrive_in_order(departs_us, draws)
        };
        if draws.duplicate < self.config.duplicate {
            return Verdict::DeliverTwice(arrives_us);
        }
        Verdict::DeliverAt(arrives_us)
    }

    /// Like [`Self::offer`] for a segment of a byte stream, which is never lost, reordered or
    /// doubled. Read from the sender only when [`Self::stream_opens_us`] allows it.
    pub fn offer_segment(&mut self, now_us: u64, len: usize) -> u64 {
        let draws = Draws::new(&mut self.rng);
        self.on_offered(len);
        let departs_us = self.depart(now_us, len);
        self.arrive_in_order(departs_us, &draws)
    }

    /// When a byte stream may be read from again: `now_us`, or the end of the blackhole, or when
    /// the rate limit's queue has room. `u64::MAX` is not before the configuration changes.
    pub fn stream_opens_us(&self, now_us: u64) -> u64 {
        if let Some(end_us) = self.blackhole_end_us(now_us) {
            return end_us;
        }
        let Some(rate_bps) = self.config.rate_bps else {
            return now_us;
        };
        let excess = self
            .backlog_bytes(now_us)
            .saturating_sub(self.config.queue_bytes);
        now_us.saturating_add(transmit_ns(excess, rate_bps).div_ceil(1_000))
    }

    /// Notes a packet that was handed to the receiving side's socket.
    pub fn on_delivered(&mut self, len: usize) {
        self.counters.packets_out += 1;
        self.counters.bytes_out += len as u64;
    }

    /// Notes a packet that the proxy had to drop.
    pub fn on_proxy_drop(&mut self) {
        self.counters.dropped_proxy += 1;
    }

    fn on_offered(&mut self, len: usize) {
        self.counters.packets_in += 1;
        self.counters.bytes_in += len as u64;
    }

    /// The end of the blackhole that `now_us` lies in. Windows that touch count as one.
    fn blackhole_end_us(&self, now_us: u64) -> Option<u64> {
        let mut end_us = None;
        let mut at_us = now_us;
        while let Some(window) = self
            .config
            .blackholes
            .iter()
            .find(|w| w.from_us <= at_us && at_us < w.to_us)
        {
            at_us = window.to_us;
            end_us = Some(at_us);
        }
        end_us
    }

    /// A packet longer than the whole queue still passes when nothing waits before it.
    fn queue_limit(&self, len: usize) -> u64 {
        match self.config.rate_bps {
            Some(_) => self.config.queue_bytes.max(len as u64),
            None => u64::MAX,
        }
    }

    /// Bytes that wait for the rate limit.
    fn backlog_bytes(&self, now_us: u64) -> u64 {
        let Some(rate_bps) = self.config.rate_bps else {
            return 0;
        };
        let debt_ns = self
            .bucket_full_ns
            .saturating_sub(now_us.saturating_mul(1_000));
        let debt_bytes = u128::from(debt_ns) * u128::from(rate_bps.get()) / (8 * NS_PER_S);
        saturate(debt_bytes).saturating_sub(self.config.burst_bytes)
    }

    /// Takes `len` bytes out of the bucket; returns when the packet may leave.
    fn depart(&mut self, now_us: u64, len: usize) -> u64 {
        let Some(rate_bps) = self.config.rate_bps else {
            return now_us;
        };
        let now_ns = now_us.saturating_mul(1_000);
        let burst_ns = transmit_ns(self.config.burst_bytes, rate_bps);
        let full_ns = self.bucket_full_ns.max(now_ns);
        self.bucket_full_ns = full_ns.saturating_add(transmit_ns(len as u64, rate_bps));
        // The bucket covers the packet's last byte once its debt is no more than the burst.
        let departs_ns = self.bucket_full_ns.saturating_sub(burst_ns).max(now_ns);
        departs_ns.div_ceil(1_000)
    }

    fn arrive_in_order(&mut self, departs_us: u64, draws: &Draws) -> u64 {
        let arrives_us = departs_us.saturating_add(self.latency_us(draws));
        self.last_arrival_us = self.last_arrival_us.max(arrives_us);
        self.last_arrival_us
    }

    fn latency_us(&self, draws: &Draws) -> u64 {
        let jitter_us = micros(self.config.jitter) as f64 * (2.0 * draws.jitter - 1.0);
        let latency_us = micros(self.config.delay) as f64 + jitter_us;
        // A float's cast saturates: below zero is zero.
        latency_us.round() as u64
    }
}

/// A packet's random numbers. Every packet draws all of them, so that the packets that a seed
/// loses stay the same when another knob is turned.
struct Draws {
    loss: f64,
    jitter: f64,
    reorder: f64,
    duplicate: f64,
}

impl Draws {
    fn new(rng: &mut Rng) -> Self {
        Self {
            loss: rng.fraction(),
            jitter: rng.fraction(),
            reorder: rng.fraction(),
            duplicate: rng.fraction(),
        }
    }
}

const NS_PER_S: u128 = 1_000_000_000;

/// How long `bytes` take at `rate_bps`, in nanoseconds.
fn transmit_ns(bytes: u64, rate_bps: NonZeroU64) -> u64 {
    saturate((u128::from(bytes) * 8 * NS_PER_S).div_ceil(u128::from(rate_bps.get())))
}

fn micros(duration: Duration) -> u64 {
    saturate(duration.as_micros())
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
