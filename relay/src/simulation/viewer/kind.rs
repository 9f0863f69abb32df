//! The kinds of viewers, and their networks.

use std::num::NonZeroU64;
use std::time::Duration;

use weir_loadtest::impair::{LinkConfig, Window};

use crate::simulation::chance::Chance;
use crate::simulation::wire::Grants;

/// What kind of viewer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Kind {
    /// A near network that carries everything.
    Perfect,
    /// Loss, jitter, reordering; enough rate on average.
    Rough,
    /// A network with less room than the stream needs.
    Slow,
    /// Nothing passes for some time.
    Blackhole,
    /// Does not read for some time, or never.
    Stalls,
    /// Grants no more streams than a few.
    Stingy,
    /// Stops some of its streams.
    Picky,
    /// Pauses, goes on, starts elsewhere, wants less or more.
    Fickle,
}

/// As often as they are to be.
pub(super) const KINDS: [Kind; 10] = [
    Kind::Perfect,
    Kind::Perfect,
    Kind::Perfect,
    Kind::Rough,
    Kind::Slow,
    Kind::Blackhole,
    Kind::Stalls,
    Kind::Stingy,
    Kind::Picky,
    Kind::Fickle,
];

/// What a viewer does of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Deed {
    Join,
    Leave,
    Stall(bool),
    Update,
}

impl Kind {
    /// The way to the viewer, the way back, and what the viewer grants.
    pub(super) fn network(
        self,
        chance: &mut Chance,
        rate_bps: u64,
    ) -> (LinkConfig, LinkConfig, Grants) {
        let ms = Duration::from_millis;
        let mut down = LinkConfig::delayed(ms(chance.between(1, 60)));
        let mut up = down.clone();
        let mut grants = Grants {
            credit: 4 << 20,
            streams: 200,
        };
        match self {
            Self::Perfect => down.delay = down.delay.min(ms(8)),
            Self::Rough => {
                down.jitter = ms(chance.between(0, 20));
                down.loss = chance.pick(&[0.01, 0.05, 0.2]);
                down.reorder = 0.05;
                down.duplicate = 0.02;
                up.loss = 0.05;
                down.rate_bps = NonZeroU64::new(rate_bps * 4 + 64_000);
            }
            Self::Slow => {
                let part = chance.between(2, 10);
                down.rate_bps = NonZeroU64::new(rate_bps / part + 8_000);
            }
            Self::Blackhole => {
                let from_us = chance.between(2_000_000, 6_000_000);
                let to_us = from_us + chance.pick(&[500_000, 3_000_000, 30_000_000]);
                down.blackholes = vec![Window { from_us, to_us }];
            }
            Self::Stalls => grants.credit = chance.pick(&[2_000, 50_000, 400_000]),
            Self::Stingy => grants.streams = chance.between(1, 4),
            Self::Picky | Self::Fickle => {}
        }
        (down, up, grants)
    }
}
