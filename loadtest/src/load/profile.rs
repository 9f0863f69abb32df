//! Workloads that have a name.
//!
//! draft-evens-moq-bench-00 describes three scenarios, and its authors' tool (`qperf`) has the
//! numbers of their tracks: audio of 120 bytes every 20 ms, an object a group, as datagrams; and
//! video of 360p, 150 objects a group every 33.33 ms, 21,333 bytes and then 2,666 each. A
//! publisher that speaks RTMP cannot ask for datagrams: there the relay decides.

use super::media::{Kind, Track};

/// A workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// What it stands for.
    pub about: &'static str,
    /// How many streams.
    pub streams: usize,
    /// How many viewers.
    pub viewers: usize,
    /// The tracks of each stream.
    pub tracks: Vec<Track>,
}

/// The workload of a run that names none.
pub const DEFAULT: &str = "fanout";

/// Every workload with a name.
pub fn all() -> Vec<Profile> {
    let fanout = || vec![Track::constant(30.0, 60, 16_000)];
    let live = vec![Track::encoder(30.0, 60, 16_667), Track::aac(128_000)];
    let rows = [
        (
            1,
            100,
            fanout(),
            DEFAULT,
            "3.84 Mbit/s (16 kB x 30/s) to 100 viewers",
        ),
        (
            1,
            400,
            vec![Track::constant(30.0, 60, 4_000)],
            "small-frames",
            "0.96 Mbit/s (4 kB x 30/s) to 400 viewers",
        ),
        (
            1,
            100,
            live,
            "live",
            "4 Mbit/s in sizes like an encoder's, and audio of 128 kbit/s, to 100 viewers",
        ),
        (
            100,
            400,
            fanout(),
            "many-streams",
            "100 streams of 3.84 Mbit/s to 4 viewers each",
        ),
        (
            1,
            1_000,
            vec![Track::constant(30.0, 60, 1_250)],
            "crowd",
            "300 kbit/s to 1,000 viewers",
        ),
        (
            300,
            1,
            vec![Track::constant(30.0, 60, 4_167)],
            "ingest",
            "300 publishers of 1 Mbit/s, and one viewer",
        ),
    ];
    let profile = |(streams, viewers, tracks, name, about)| Profile {
        name,
        about,
        streams,
        viewers,
        tracks,
    };
    rows.into_iter().chain(bench()).map(profile).collect()
}

/// Streams, viewers, tracks, name, and what it stands for.
type Row = (usize, usize, Vec<Track>, &'static str, &'static str);

/// The scenarios of the draft.
fn bench() -> [Row; 3] {
    [
        (
            1,
            100,
            vec![bench_audio()],
            "moq-bench-audio",
            "one publisher of audio, 100 viewers",
        ),
        (
            1,
            100,
            vec![bench_video(), bench_audio()],
            "moq-bench-av",
            "one publisher of audio and video, 100 viewers",
        ),
        (
            10,
            90,
            vec![bench_video(), bench_audio()],
            "moq-bench-meeting",
            "ten publishers of audio and video, each watched by nine",
        ),
    ]
}

/// The workload of a name.
pub fn find(name: &str) -> Option<Profile> {
    all().into_iter().find(|profile| profile.name == name)
}

fn bench_audio() -> Track {
    Track {
        kind: Kind::Audio,
        interval_ns: 20_000_000,
        group: 1,
        first_bytes: 120,
        rest_bytes: 120,
        varied: false,
        datagrams: true,
    }
}

fn bench_video() -> Track {
    Track {
        kind: Kind::Video,
        interval_ns: 33_330_000,
        group: 150,
        first_bytes: 21_333,
        rest_bytes: 2_666,
        varied: false,
        datagrams: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_once_and_the_default_is_one() {
        let names: Vec<_> = all().into_iter().map(|profile| profile.name).collect();
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(find(DEFAULT).is_some() && find("none").is_none());
    }

    #[test]
    fn the_rates_are_those_that_the_names_promise() {
        let rate = |name: &str| -> f64 {
            let profile = find(name).unwrap();
            profile.tracks.iter().map(Track::bitrate_bps).sum()
        };
        for (name, bps) in [
            (DEFAULT, 3_840_000.0),
            ("small-frames", 960_000.0),
            ("live", 4_128_000.0),
            ("crowd", 300_000.0),
            ("moq-bench-audio", 48_000.0),
        ] {
            assert!(
                (rate(name) / bps - 1.0).abs() < 0.01,
                "{name} {}",
                rate(name)
            );
        }
    }
}
