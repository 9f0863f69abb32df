//! Request ids: ours in order, the peer's in whatever order its streams arrive.

/// How many of the peer's ids below the largest one are remembered. A limit of ours: an id can
/// only be this late when as many requests overtook it, and a session has far fewer streams.
pub const WINDOW: usize = 1024;

const WORD: usize = u64::BITS as usize;

/// A side of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Has the even ids.
    Client,
    /// Has the odd ids.
    Server,
}

impl Side {
    /// The other side.
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    fn parity(self) -> u64 {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// Why the peer's request id is refused. Both end the session with INVALID_REQUEST_ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestIdError {
    /// The id is one of our side's.
    #[error("request id {0} has the parity of the other side")]
    WrongParity(u64),
    /// The id was used before, or is so old that this is no longer known (see [`WINDOW`]).
    #[error("request id {0} was used before")]
    Duplicate(u64),
}

/// Gives out our request ids and checks the peer's, in memory that does not grow.
///
/// The peer's ids may have gaps and come out of order, so a bitmap slides below the largest one
/// seen, as a receiver of numbered packets does against replays.
#[derive(Clone, Debug)]
pub struct RequestIds {
    side: Side,
    next: u64,
    /// The peer's largest id, halved.
    newest: Option<u64>,
    /// Bit `n % WINDOW` is set when id `2n + parity` was seen, for the last `WINDOW` values of n.
    seen: [u64; WINDOW / WORD],
}

impl RequestIds {
    /// A session seen from `side`.
    pub fn new(side: Side) -> Self {
        Self {
            side,
            next: side.parity(),
            newest: None,
            seen: [0; WINDOW / WORD],
        }
    }

    /// The next id of ours. There are more than any session can use up.
    pub fn next_id(&mut self) -> u64 {
        let id = self.next;
        self.next = id.wrapping_add(2);
        id
    }

    /// The id after the largest that the peer used: what GOAWAY of draft 18 says is not served.
    pub fn peer_next(&self) -> u64 {
        let parity = self.side.peer().parity();
        self.newest.map_or(parity, |newest| {
            newest
                .saturating_add(1)
                .saturating_mul(2)
                .saturating_add(parity)
        })
    }

    /// Takes note of an id that the peer used.
    pub fn accept(&mut self, peer_id: u64) -> Result<(), RequestIdError> {
        if peer_id % 2 != self.side.peer().parity() {
            return Err(RequestIdError::WrongParity(peer_id));
        }
        let index = peer_id / 2;
        self.slide_to(index);
        let behind = self.newest.map_or(0, |newest| newest - index);
        let (word, bit) = Self::place(index);
        let seen = self.seen.get_mut(word);
        match seen.filter(|seen| behind < WINDOW as u64 && **seen & bit == 0) {
            Some(seen) => {
                *seen |= bit;
                Ok(())
            }
            None => Err(RequestIdError::Duplicate(peer_id)),
        }
    }

    /// Moves the window up so that it ends at `index`, forgetting what falls out of it.
    fn slide_to(&mut self, index: u64) {
        let Some(newest) = self.newest else {
            self.newest = Some(index);
            return;
        };
        if index <= newest {
            return;
        }
        if index - newest >= WINDOW as u64 {
            self.seen = [0; WINDOW / WORD];
        } else {
            for fresh in newest + 1..=index {
                let (word, bit) = Self::place(fresh);
                if let Some(seen) = self.seen.get_mut(word) {
                    *seen &= !bit;
                }
            }
        }
        self.newest = Some(index);
    }

    fn place(index: u64) -> (usize, u64) {
        let slot = (index % WINDOW as u64) as usize;
        (slot / WORD, 1 << (slot % WORD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_counts_in_twos_with_its_parity() {
        let mut client = RequestIds::new(Side::Client);
        let mut server = RequestIds::new(Side::Server);
        assert_eq!([client.next_id(), client.next_id()], [0, 2]);
        assert_eq!([server.next_id(), server.next_id()], [1, 3]);
        assert_eq!(client.peer_next(), 1);
        assert_eq!(client.accept(1), Ok(()));
        assert_eq!(client.peer_next(), 3);
        assert_eq!(client.accept(2), Err(RequestIdError::WrongParity(2)));
        assert_eq!(server.accept(1), Err(RequestIdError::WrongParity(1)));
    }

    #[test]
    fn ids_come_in_any_order_but_each_once() {
        let mut ids = RequestIds::new(Side::Server);
        for id in [10, 0, 4, 2, 8, 6, 2040] {
            assert_eq!(ids.accept(id), Ok(()), "{id}");
        }
        for id in [10, 0, 4, 2, 8, 6, 2040] {
            assert_eq!(ids.accept(id), Err(RequestIdError::Duplicate(id)));
        }
        assert_eq!(ids.accept(12), Ok(()));
    }

    #[test]
    fn the_window_slides_and_what_is_below_it_is_refused() {
        let mut ids = RequestIds::new(Side::Server);
        assert_eq!(ids.accept(0), Ok(()));
        assert_eq!(ids.accept(2 * WINDOW as u64), Ok(()));
        assert_eq!(ids.accept(0), Err(RequestIdError::Duplicate(0)));
        assert_eq!(ids.accept(2), Ok(()), "inside the window");
        let huge = u64::MAX - 1;
        assert_eq!(ids.accept(huge), Ok(()));
        assert_eq!(ids.accept(huge), Err(RequestIdError::Duplicate(huge)));
        assert_eq!(ids.accept(4), Err(RequestIdError::Duplicate(4)));
        assert_eq!(ids.accept(huge - 2), Ok(()), "not seen before the jump");
    }

    #[test]
    fn a_long_session_agrees_with_a_set() {
        let mut ids = RequestIds::new(Side::Client);
        let mut set = std::collections::HashSet::new();
        let mut seed = 7_u64;
        for step in 0..20_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Near the front, sometimes late, sometimes twice.
            let id = (step + (seed >> 40) % 500) * 2 + 1;
            assert_eq!(
                ids.accept(id).is_ok(),
                set.insert(id),
                "step {step}, id {id}"
            );
        }
    }
}
