//! Weir beside its peers: the same work through each of them, in turns.
//!
//! Each contestant is started anew for each run, on free ports of this machine, in the
//! configuration that its own documentation gives for such work, and stopped behind it. Runs are
//! interleaved (one of each, then again), so that a machine that gets slower gets slower for all.

mod start;
mod table;

pub use start::{PeerError, Running};
pub use table::{Sitting, markdown};

use std::path::PathBuf;

use crate::load::{Plan, Publish, Transport};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// Weir as it is started without arguments.
    Weir,
    /// Weir on one core.
    WeirOneShard,
    /// moq-relay as it is started without arguments about threads.
    MoqRelay,
    /// moq-relay on one core. Its io_uring runtime speaks moq-lite and no MoQT, so that viewers of
    /// MoQT cannot be served by it.
    MoqRelayOneWorker,
    /// nginx with its RTMP module, one worker, by RTMP throughout and without encryption.
    Nginx,
}

impl Contestant {
    /// Everybody, Weir first.
    pub const ALL: [Self; 5] = [
        Self::Weir,
        Self::WeirOneShard,
        Self::MoqRelay,
        Self::MoqRelayOneWorker,
        Self::Nginx,
    ];

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::WeirOneShard => "weir-1",
            Self::MoqRelay => "moq-relay",
            Self::MoqRelayOneWorker => "moq-relay-1",
            Self::Nginx => "nginx",
        }
    }

    /// What it is called in a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Weir => "Weir",
            Self::WeirOneShard => "Weir, 1 shard",
            Self::MoqRelay => "moq-relay, default",
            Self::MoqRelayOneWorker => "moq-relay, 1 worker",
            Self::Nginx => "nginx-rtmp, plaintext TCP",
        }
    }

    /// Whether it is ours, by which the others are measured.
    pub fn is_weir(self) -> bool {
        matches!(self, Self::Weir | Self::WeirOneShard)
    }

    /// The plan as this one can take it: who speaks RTMP only is watched by RTMP, and who does not
    /// speak it is published to by MoQT.
    pub fn plan(self, plan: &Plan) -> Plan {
        let (publish, transport) = match self {
            Self::Weir | Self::WeirOneShard => (Publish::Rtmp, plan.transport),
            Self::MoqRelay | Self::MoqRelayOneWorker => (Publish::Moqt, plan.transport),
            Self::Nginx => (Publish::Rtmp, Transport::Rtmp),
        };
        Plan {
            label: self.title().into(),
            publish,
            transport,
            ..plan.clone()
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `weir`.
    pub weir: PathBuf,
    /// `moq-relay`.
    pub moq_relay: PathBuf,
    /// `nginx`.
    pub nginx: PathBuf,
    /// nginx's RTMP module.
    pub nginx_rtmp: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> =
            Contestant::ALL.into_iter().map(Contestant::name).collect();
        assert_eq!(names.len(), Contestant::ALL.len());
    }
}
