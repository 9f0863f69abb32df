//! The UDP sockets of a relay's shards: one address, and each packet to the shard that it means.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::{steering, udp_socket};

/// The sockets of a relay's shards.
#[derive(Debug)]
pub struct Group {
    /// One a shard.
    pub sockets: Vec<UdpSocket>,
    /// First byte of the connection IDs of the first shard; the others follow.
    pub first_id: u8,
    /// How packets are steered, once an older relay has ended.
    pub steered: Steered,
}

/// The places of the sockets in their group, those of an older relay first.
#[derive(Debug, Default)]
pub struct Steered {
    older: Vec<UdpSocket>,
    /// By their place: the first byte of their connection IDs.
    ids: Vec<u8>,
    fresh: (u8, u32),
    /// One of the group, to reach it by.
    member: Option<UdpSocket>,
}

impl Group {
    /// Binds the sockets of `shards` shards to one address, of which the relay is the only user.
    ///
    /// With more than one shard, or when another relay may join later, the sockets form a
    /// SO_REUSEPORT group, and where the system can, a filter hands each packet to the shard whose
    /// number its connection ID begins with.
    pub fn bind(addr: SocketAddr, shards: u8, joinable: bool) -> io::Result<Self> {
        let shared = shards > 1 || joinable;
        if shared {
            // A group takes in whoever asks, also another relay of the same user, and the two
            // would share the viewers between them; alone, the port is had only if nobody has it.
            drop(udp_socket(addr, false)?);
        }
        let first = udp_socket(addr, shared)?;
        let bound = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..shards {
            sockets.push(udp_socket(bound, true)?);
        }
        let group = Self {
            steered: Steered {
                ids: (0..shards).collect(),
                fresh: (0, shards.into()),
                member: Some(sockets[0].try_clone()?),
                ..Steered::default()
            },
            sockets,
            first_id: 0,
        };
        if shared {
            group.steered.attach()?;
        }
        Ok(group)
    }

    /// Joins the group of an older relay, whose sockets these are, by their place, with the first
    /// byte of their connection IDs. Its packets go on reaching it; what is new comes here.
    pub fn join(older: Vec<(u8, UdpSocket)>, shards: u8) -> io::Result<Self> {
        let (_, member) = older.first().ok_or(io::ErrorKind::InvalidInput)?;
        let addr = member.local_addr()?;
        if shards > SHARDS_MAX || older.len() > usize::from(SHARDS_MAX) {
            let reason = format!("a relay that is taken over has {SHARDS_MAX} shards at most");
            return Err(io::Error::other(reason));
        }
        // The half of the numbers that the older one has not, and a multiple of the shards: see
        // `steering`.
        let first_id = match older.iter().all(|(id, _)| *id < HALF) {
            true => HALF.div_ceil(shards) * shards,
            false => 0,
        };
        let (older_ids, older): (Vec<u8>, Vec<UdpSocket>) = older.into_iter().unzip();
        let sockets: Vec<UdpSocket> = (0..shards)
            .map(|_| udp_socket(addr, true))
            .collect::<io::Result<_>>()?;
        let ids = older_ids.into_iter();
        let steered = Steered {
            ids: ids.chain((first_id..).take(usize::from(shards))).collect(),
            fresh: (first_id, shards.into()),
            member: Some(sockets[0].try_clone()?),
            older,
        };
        steered.attach()?;
        Ok(Self {
            sockets,
            first_id,
            steered,
        })
    }
}

impl Steered {
    fn attach(&self) -> io::Result<()> {
        let Some(member) = &self.member else {
            return Ok(());
        };
        let table = steering::Table {
            places: self.ids.iter().copied().zip(0..).collect(),
            fresh: self.fresh,
        };
        steering::attach(member, &table)
    }

    /// Takes an older relay's sockets out of the group: it has ended. As long as they are here,
    /// nobody else has a right to their places, so the others keep theirs. Returns the first bytes
    /// of the IDs of those that are left, by their place.
    pub fn forget_older(mut self) -> io::Result<Vec<u8>> {
        for older in self.older.drain(..).rev() {
            drop(older);
        }
        let left = self.ids.len();
        let newer = usize::try_from(self.fresh.1).unwrap_or(left).min(left);
        // The last of a group takes the place of one that leaves (Linux, reuseport_detach_sock).
        for place in (0..left - newer).rev() {
            self.ids.swap_remove(place);
        }
        self.attach()?;
        Ok(self.ids)
    }
}

/// Where the numbers of one of two relays begin; the other's begin at 0.
const HALF: u8 = 128;

/// Shards of relays of which one takes over: two fit into the numbers, also rounded up.
const SHARDS_MAX: u8 = 64;

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn packets_reach_the_shard_that_their_connection_id_names() {
        let sockets = Group::bind(([127, 0, 0, 1], 0).into(), 3, false)
            .unwrap()
            .sockets;
        let target = sockets[0].local_addr().unwrap();
        for socket in &sockets {
            socket.set_nonblocking(false).unwrap();
            let patience = Some(Duration::from_secs(5));
            socket.set_read_timeout(patience).unwrap();
        }
        let mut buffer = [0; 64];
        for attempt in 0..20 {
            // A new address each time: the hash alone would scatter these.
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            for (shard, socket) in sockets.iter().enumerate() {
                let short = [0x40, shard as u8, 1, 2, 3, 4, 5, 6, attempt];
                client.send_to(&short, target).unwrap();
                assert_eq!(socket.recv(&mut buffer).unwrap(), short.len());
                let handshake = [0xe0, 0, 0, 0, 1, 8, shard as u8, 1, 2, 3, attempt, 5];
                client.send_to(&handshake, target).unwrap();
                assert_eq!(socket.recv(&mut buffer).unwrap(), handshake.len());
            }
        }
    }

    fn reaches(target: SocketAddr, socket: &UdpSocket, packet: &[u8]) {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(packet, target).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(
            socket.recv(&mut buffer).unwrap(),
            packet.len(),
            "{packet:?}"
        );
        assert_eq!(buffer[..packet.len()], *packet);
    }

    /// A packet of a connection of each socket, and first packets that go to `fresh` alone.
    fn assert_steered(target: SocketAddr, sockets: &[(u8, &UdpSocket)], fresh: &[&UdpSocket]) {
        for _ in 0..10 {
            for (id, socket) in sockets {
                reaches(target, socket, &[0x40, *id, 1, 2, 3]);
                reaches(target, socket, &[0xe0, 0, 0, 0, 1, 8, *id, 1, 2]);
            }
            for id in 0..=255 {
                let socket = fresh[usize::from(id) % fresh.len()];
                reaches(target, socket, &[0xc0, 0, 0, 0, 1, 8, id, 1, 2]);
            }
        }
    }

    fn patient(sockets: &[UdpSocket]) {
        for socket in sockets {
            socket.set_nonblocking(false).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
        }
    }

    #[test]
    fn a_newer_relay_gets_what_is_new_and_the_older_one_what_is_its_own() {
        let addr = ([127, 0, 0, 1], 0).into();
        let older = Group::bind(addr, 2, true).unwrap();
        let target = older.sockets[0].local_addr().unwrap();
        let given = older.sockets.iter().map(|s| s.try_clone().unwrap());
        let newer = Group::join((0..).zip(given).collect(), 3).unwrap();
        assert_eq!(newer.first_id % 3, 0);
        patient(&older.sockets);
        patient(&newer.sockets);
        let numbered =
            |group: &Group| -> Vec<u8> { (group.first_id..).take(group.sockets.len()).collect() };
        let (old_ids, new_ids) = (numbered(&older), numbered(&newer));
        let new: Vec<(u8, &UdpSocket)> = new_ids.iter().copied().zip(&newer.sockets).collect();
        let old = old_ids.iter().copied().zip(&older.sockets);
        let both: Vec<(u8, &UdpSocket)> = old.chain(new.iter().copied()).collect();
        let fresh: Vec<&UdpSocket> = newer.sockets.iter().collect();
        assert_steered(target, &both, &fresh);
        // The older process ends; its sockets stay in the group as long as the newer has them.
        drop(older);
        assert_steered(target, &new, &fresh);
        let Group {
            steered,
            first_id,
            sockets,
        } = newer;
        let mut ids = steered.forget_older().unwrap();
        ids.sort_unstable();
        assert_eq!(ids, new_ids);
        let new: Vec<(u8, &UdpSocket)> = (first_id..).zip(&sockets).collect();
        let fresh: Vec<&UdpSocket> = sockets.iter().collect();
        assert_steered(target, &new, &fresh);
    }
}
