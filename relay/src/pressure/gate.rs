//! Who comes how often: connections of each address, and how fast they are opened.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::{Config, Limit};

/// The addresses that are connected, or were a moment ago.
#[derive(Debug)]
pub struct Gate {
    per_address: u32,
    rate: u32,
    exempt: Vec<IpNet>,
    addresses: HashMap<IpAddr, Held>,
    /// Until then nobody in the table can be forgotten, so that a full one is not looked through
    /// for each address that comes.
    free_us: u64,
}

#[derive(Debug)]
struct Held {
    open: u32,
    bucket: Bucket,
}

impl Gate {
    /// Nobody yet.
    pub fn new(config: &Config) -> Self {
        Self {
            per_address: config.connections_per_address,
            rate: config.connects_per_s,
            exempt: config.exempt.clone(),
            addresses: HashMap::new(),
            free_us: 0,
        }
    }

    /// Whether an address would be let in. Remembers nothing of it.
    pub fn look(&self, addr: IpAddr, now_us: u64) -> Result<(), Limit> {
        let Some(held) = self.key(addr).and_then(|key| self.addresses.get(&key)) else {
            return Ok(());
        };
        if held.open >= self.per_address {
            return Err(Limit::PerAddress);
        }
        match held.bucket.has(now_us) {
            true => Ok(()),
            false => Err(Limit::ConnectRate),
        }
    }

    /// An address comes.
    pub fn arrive(&mut self, addr: IpAddr, now_us: u64) -> Result<(), Limit> {
        let rate = self.rate;
        let Some(held) = self.held(addr, now_us) else {
            return Ok(());
        };
        match held.bucket.take(rate, now_us) {
            true => Ok(()),
            false => Err(Limit::ConnectRate),
        }
    }

    /// It is connected.
    pub fn enter(&mut self, addr: IpAddr) -> Result<(), Limit> {
        let per_address = self.per_address;
        // Whoever enters has arrived before, unless the table was full.
        let Some(held) = self.key(addr).and_then(|key| self.addresses.get_mut(&key)) else {
            return Ok(());
        };
        if held.open >= per_address {
            return Err(Limit::PerAddress);
        }
        held.open += 1;
        Ok(())
    }

    /// One of its connections is over.
    pub fn leave(&mut self, addr: IpAddr) {
        if let Some(held) = self.key(addr).and_then(|key| self.addresses.get_mut(&key)) {
            held.open = held.open.saturating_sub(1);
            if held.open == 0 {
                self.free_us = self.free_us.min(held.bucket.full_us);
            }
        }
    }

    /// What is known of an address; none for those without limits.
    fn held(&mut self, addr: IpAddr, now_us: u64) -> Option<&mut Held> {
        let key = self.key(addr)?;
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&key) {
            if now_us >= self.free_us {
                self.forget(now_us);
            }
            if self.addresses.len() >= ADDRESSES_MAX {
                // So many at a time: the limits that hold for all together hold for this one.
                return None;
            }
        }
        let free_us = &mut self.free_us;
        Some(self.addresses.entry(key).or_insert_with(|| {
            *free_us = now_us.min(*free_us);
            Held {
                open: 0,
                bucket: Bucket::new(now_us),
            }
        }))
    }

    /// Forgets those who are not connected and could come as often as somebody new.
    fn forget(&mut self, now_us: u64) {
        let mut free_us = u64::MAX;
        self.addresses.retain(|_, held| {
            let stays = held.open > 0 || !held.bucket.is_full(now_us);
            if stays && held.open == 0 {
                free_us = free_us.min(held.bucket.full_us);
            }
            stays
        });
        self.free_us = free_us;
    }

    /// What an address is counted under; none for those without limits.
    fn key(&self, addr: IpAddr) -> Option<IpAddr> {
        let addr = addr.to_canonical();
        if self.exempt.iter().any(|network| network.contains(&addr)) {
            return None;
        }
        Some(match addr {
            IpAddr::V4(_) => addr,
            // Whoever has one address of IPv6 has the whole network.
            IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from(u128::from(addr) >> 64 << 64)),
        })
    }
}

/// So many a second, with four seconds' worth of them at once.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// When it will be full again.
    full_us: u64,
}

impl Bucket {
    /// A full one.
    pub fn new(now_us: u64) -> Self {
        Self { full_us: now_us }
    }

    /// Whether there is something in it.
    pub fn has(&self, now_us: u64) -> bool {
        self.full_us < now_us.saturating_add(BURST_US)
    }

    fn is_full(&self, now_us: u64) -> bool {
        self.full_us <= now_us
    }

    /// Takes one of `per_s` a second, if there is one.
    pub fn take(&mut self, per_s: u32, now_us: u64) -> bool {
        if !self.has(now_us) {
            return false;
        }
        let step_us = 1_000_000 / u64::from(per_s.max(1));
        self.full_us = self.full_us.max(now_us).saturating_add(step_us);
        true
    }

    /// When there is something in it again; now, if there is.
    pub fn ready_us(&self, now_us: u64) -> u64 {
        now_us.max((self.full_us + 1).saturating_sub(BURST_US))
    }
}

/// How much of a rate may be used at once: a page that is opened in many tabs, a relay's start.
const BURST_US: u64 = 4_000_000;

/// Addresses that are remembered: some 5 MB.
const ADDRESSES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    const ADDR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn gate(connections_per_address: u32, connects_per_s: u32) -> Gate {
        Gate::new(&Config {
            connections_per_address,
            connects_per_s,
            ..Config::default()
        })
    }

    #[test]
    fn connections_of_an_address_are_counted_and_given_back() {
        let mut gate = gate(2, 1000);
        for _ in 0..2 {
            gate.arrive(ADDR, 0).unwrap();
            gate.enter(ADDR).unwrap();
        }
        assert_eq!(gate.look(ADDR, 0), Err(Limit::PerAddress));
        assert_eq!(gate.enter(ADDR), Err(Limit::PerAddress));
        gate.leave(ADDR);
        gate.look(ADDR, 0).unwrap();
        gate.enter(ADDR).unwrap();
        let other = IpAddr::from([192, 0, 2, 8]);
        gate.look(other, 0).unwrap();
    }

    #[test]
    fn a_rate_has_a_burst_and_comes_back() {
        let mut gate = gate(1000, 10);
        let taken = |gate: &mut Gate, at_us| {
            let comes = (0..100).filter(|_| gate.arrive(ADDR, at_us).is_ok());
            comes.count()
        };
        assert_eq!(taken(&mut gate, 0), 40, "four seconds' worth");
        assert_eq!(gate.look(ADDR, 0), Err(Limit::ConnectRate));
        assert_eq!(taken(&mut gate, 1_000_000), 10);
        assert_eq!(taken(&mut gate, 100_000_000), 40);
    }

    #[test]
    fn a_bucket_says_when_it_has_something() {
        let mut bucket = Bucket::new(5);
        assert_eq!(bucket.ready_us(5), 5);
        while bucket.take(100, 5) {}
        let ready_us = bucket.ready_us(5);
        assert!(!bucket.has(ready_us - 1) && bucket.has(ready_us));
        assert!(ready_us <= 5 + 10_000);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_itself() {
        let mut gate = gate(1, 1000);
        let of = |text: &str| text.parse::<IpAddr>().unwrap();
        gate.arrive(of("2001:db8::1"), 0).unwrap();
        gate.enter(of("2001:db8::1")).unwrap();
        assert!(gate.look(of("2001:db8::2"), 0).is_err());
        gate.look(of("2001:db8:0:1::2"), 0).unwrap();
        gate.arrive(ADDR, 0).unwrap();
        gate.enter(ADDR).unwrap();
        assert!(gate.look(of("::ffff:192.0.2.7"), 0).is_err());
    }

    #[test]
    fn some_networks_are_exempt() {
        let mut gate = gate(1, 1);
        for addr in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let addr = addr.parse().unwrap();
            for _ in 0..10 {
                gate.arrive(addr, 0).unwrap();
                gate.enter(addr).unwrap();
            }
        }
        assert!(gate.addresses.is_empty());
    }

    #[test]
    fn table_does_not_grow_without_end() {
        let mut gate = gate(1, 1);
        for number in 0..2 * ADDRESSES_MAX as u32 {
            gate.arrive(IpAddr::from((1 << 24 | number).to_be_bytes()), 0)
                .unwrap();
        }
        assert_eq!(gate.addresses.len(), ADDRESSES_MAX);
        gate.arrive(ADDR, 100_000_000).unwrap();
        assert_eq!(gate.addresses.len(), 1, "those who left are forgotten");
    }
}
