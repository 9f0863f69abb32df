//! A media file as ffmpeg's `framehash` sees it, and what was pulled compared with what was pushed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::Process;
use super::source::Source;

/// Time for ffmpeg to read a file of some seconds.
const READ: Duration = Duration::from_secs(60);

/// The tracks of a file.
#[derive(Debug)]
pub(crate) struct Media {
    /// The video track, if there is one.
    pub(crate) video: Option<Track>,
    /// The audio track, if there is one.
    pub(crate) audio: Option<Track>,
}

/// A track: its codec, its configuration and the coded frames in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Track {
    /// ffmpeg's name of the codec.
    pub(crate) codec: String,
    /// Size and hash of the codec configuration.
    pub(crate) config: String,
    /// The frames.
    pub(crate) frames: Vec<Frame>,
}

/// A coded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Decoding time in milliseconds.
    pub(crate) dts: i64,
    /// Presentation time in milliseconds.
    pub(crate) pts: i64,
    /// MD5 of the coded bytes.
    pub(crate) hash: String,
}

impl Media {
    /// Reads the file with Debian's ffmpeg.
    #[track_caller]
    pub(crate) fn read(path: &Path) -> Self {
        Self::read_with(Command::new("ffmpeg"), path)
    }

    /// Reads the file with the ffmpeg that `command` starts.
    ///
    /// `-copyinkf` keeps frames in front of the first key frame, which ffmpeg drops otherwise: a
    /// stream that starts in the middle of a group must not look right.
    #[track_caller]
    pub(crate) fn read_with(mut command: Command, path: &Path) -> Self {
        command.args(["-v", "error", "-i"]).arg(path);
        command.args([
            "-map",
            "0",
            "-c",
            "copy",
            "-copyinkf",
            "-f",
            "framehash",
            "-hash",
            "md5",
        ]);
        let hashes = Process::succeed("framehash", command.arg("-"), READ).stdout();
        parse(&hashes)
    }

    /// The video track.
    #[track_caller]
    pub(crate) fn video(&self) -> &Track {
        self.video
            .as_ref()
            .unwrap_or_else(|| panic!("no video track: {self:?}"))
    }

    /// The audio track.
    #[track_caller]
    pub(crate) fn audio(&self) -> &Track {
        self.audio
            .as_ref()
            .unwrap_or_else(|| panic!("no audio track: {self:?}"))
    }

    /// Asserts that this is an unbroken part of `source`, bit for bit, that video starts at a key
    /// frame (every `gop` frames from the first), and that all times are the source's, moved by
    /// one and the same offset. Gives the number of the first video frame within the source.
    #[track_caller]
    pub(crate) fn assert_part_of(&self, source: &Self, gop: usize) -> Option<usize> {
        let tracks = [
            (&self.video, &source.video, "video"),
            (&self.audio, &source.audio, "audio"),
        ];
        let mut offsets = Vec::new();
        let mut first_video = None;
        for (pulled, pushed, name) in tracks {
            assert_eq!(
                pulled.is_some(),
                pushed.is_some(),
                "{name} on one side only"
            );
            let (Some(pulled), Some(pushed)) = (pulled, pushed) else {
                continue;
            };
            assert_eq!(pulled.codec, pushed.codec, "{name}");
            assert_eq!(pulled.config, pushed.config, "the configuration of {name}");
            let first = pulled.position_in(pushed, name);
            offsets.extend(pulled.offsets(pushed, first, name));
            if name == "video" {
                assert_eq!(
                    first % gop,
                    0,
                    "video starts at frame {first}, which is no key frame"
                );
                first_video = Some(first);
            }
        }
        assert!(
            offsets.iter().all(|offset| *offset == offsets[0]),
            "time moved: {offsets:?}"
        );
        first_video
    }
}

impl Track {
    /// Where these frames stand, unbroken, in `source`.
    #[track_caller]
    fn position_in(&self, source: &Self, name: &str) -> usize {
        assert!(!self.frames.is_empty(), "no {name} frame was pulled");
        let same = |window: &[Frame]| {
            window
                .iter()
                .zip(&self.frames)
                .all(|(a, b)| a.hash == b.hash)
        };
        let found = source.frames.windows(self.frames.len()).position(same);
        found.unwrap_or_else(|| {
            let runs = self.runs_in(source);
            panic!("{name} is no unbroken part of the source; (first frame, count): {runs:?}")
        })
    }

    /// The stretches of `source` that these frames are, as (number of the first frame, count);
    /// a frame that is not in the source at all is a stretch of its own with `usize::MAX`.
    pub(crate) fn runs_in(&self, source: &Self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for frame in &self.frames {
            let goes_on = runs.last().copied().filter(|(first, count)| {
                source
                    .frames
                    .get(first.wrapping_add(*count))
                    .is_some_and(|f| f.hash == frame.hash)
            });
            match (goes_on, runs.last_mut()) {
                (Some(_), Some(last)) => last.1 += 1,
                _ => {
                    let at = source.frames.iter().position(|f| f.hash == frame.hash);
                    runs.push((at.unwrap_or(usize::MAX), 1));
                }
            }
        }
        runs
    }

    /// The same of video that was pulled through whatever happened; each starts at a key frame.
    #[track_caller]
    pub(crate) fn group_runs_in(&self, source: &Source) -> Vec<(usize, usize)> {
        let runs = self.runs_in(source.media().video());
        for (first, _) in &runs {
            assert_eq!(first % source.gop, 0, "a hole inside a group: {runs:?}");
        }
        runs
    }

    /// By how many milliseconds the times differ from the source's; one value if all is well.
    #[track_caller]
    fn offsets(&self, source: &Self, first: usize, name: &str) -> Vec<i64> {
        let pairs = self.frames.iter().zip(&source.frames[first..]);
        let mut offsets = Vec::new();
        for (number, (pulled, pushed)) in pairs.enumerate() {
            let offset = pulled.pts - pushed.pts;
            let composition = (pulled.pts - pulled.dts, pushed.pts - pushed.dts);
            assert_eq!(
                composition.0, composition.1,
                "composition time of {name} frame {number}"
            );
            if offsets.last() != Some(&offset) {
                offsets.push(offset);
            }
        }
        offsets
    }
}

fn parse(hashes: &str) -> Media {
    let mut tracks: Vec<(String, Track)> = Vec::new();
    let mut configs = Vec::new();
    for line in hashes.lines() {
        if let Some(config) = line.strip_prefix("#extradata ") {
            let (stream, config) = config.split_once(',').unwrap();
            configs.push((
                stream.to_owned(),
                config.split_whitespace().collect::<String>(),
            ));
        } else if let Some(media) = line.strip_prefix("#media_type ") {
            tracks.push((
                media.split_once(": ").unwrap().1.to_owned(),
                Track::default(),
            ));
        } else if let Some(codec) = line.strip_prefix("#codec_id ") {
            tracks.last_mut().unwrap().1.codec = codec.split_once(": ").unwrap().1.to_owned();
        } else if let Some(base) = line.strip_prefix("#tb ") {
            assert!(
                base.ends_with(": 1/1000"),
                "FLV counts milliseconds: {base}"
            );
        } else if !line.starts_with('#') {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [stream, dts, pts, _, _, hash, ..] = fields[..] else {
                panic!("{line}")
            };
            let track = &mut tracks[stream.parse::<usize>().unwrap()].1;
            let (dts, pts) = (dts.parse().unwrap(), pts.parse().unwrap());
            track.frames.push(Frame {
                dts,
                pts,
                hash: hash.to_owned(),
            });
        }
    }
    for (stream, config) in configs {
        tracks[stream.parse::<usize>().unwrap()].1.config = config;
    }
    let mut media = Media {
        video: None,
        audio: None,
    };
    for (kind, track) in tracks {
        match kind.as_str() {
            "video" => media.video = Some(track),
            "audio" => media.audio = Some(track),
            other => panic!("a track of {other}"),
        }
    }
    media
}
