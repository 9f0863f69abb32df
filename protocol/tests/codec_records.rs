//! Configuration records of real encoders, against what ffprobe says of the same streams.
//!
//! `data/codec/README.md` says how the records were made.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;

use weir_protocol::codec::{
    AudioCodec, AudioInfo, Error, MAX_DIMENSION, VideoCodec, VideoInfo, audio_info, avc, video_info,
};

fn record(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/codec");
    std::fs::read(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// File, codec string, size and frame rate.
type Video = (
    VideoCodec,
    &'static str,
    &'static str,
    Option<(u32, u32)>,
    f64,
);

const NTSC: f64 = 30_000.0 / 1001.0;

/// No rate in the record.
const NONE: f64 = 0.0;

const VIDEO: &[Video] = {
    use VideoCodec::{Av1, Avc, Hevc, Vp9};
    &[
        (
            Avc,
            "avc_baseline_320x180.avcc",
            "avc1.42c00c",
            Some((320, 180)),
            25.0,
        ),
        (
            Avc,
            "avc_main_640x360.avcc",
            "avc1.4d401e",
            Some((640, 360)),
            30.0,
        ),
        (
            Avc,
            "avc_high_1920x1080.avcc",
            "avc1.64002a",
            Some((1920, 1080)),
            60.0,
        ),
        (
            Avc,
            "avc_high_322x242.avcc",
            "avc1.64000d",
            Some((322, 242)),
            NTSC,
        ),
        (
            Avc,
            "avc_high422_642x362.avcc",
            "avc1.7a001e",
            Some((642, 362)),
            24.0,
        ),
        (
            Avc,
            "avc_high444_321x241.avcc",
            "avc1.f4000d",
            Some((321, 241)),
            24.0,
        ),
        (
            Avc,
            "avc_interlaced_720x572.avcc",
            "avc1.64001e",
            Some((720, 572)),
            25.0,
        ),
        (
            Hevc,
            "hevc_main_320x180.hvcc",
            "hvc1.1.6.L60.90",
            Some((320, 180)),
            25.0,
        ),
        (
            Hevc,
            "hevc_main_1920x1080.hvcc",
            "hvc1.1.6.L120.90",
            Some((1920, 1080)),
            30.0,
        ),
        (
            Hevc,
            "hevc_main10_322x242.hvcc",
            "hvc1.2.4.L60.90",
            Some((322, 242)),
            25.0,
        ),
        (
            Hevc,
            "hevc_rext444_321x241.hvcc",
            "hvc1.4.10.L60.9e.8",
            Some((321, 241)),
            25.0,
        ),
        (
            Av1,
            "av1_main_320x180.av1c",
            "av01.0.00M.08",
            Some((320, 180)),
            NONE,
        ),
        (
            Av1,
            "av1_main10_1920x1080.av1c",
            "av01.0.08M.10",
            Some((1920, 1080)),
            NONE,
        ),
        (
            Av1,
            "av1_high_322x242.av1c",
            "av01.1.00M.08.0.000.02.02.02.0",
            Some((322, 242)),
            NONE,
        ),
        (
            Av1,
            "av1_bt2020_322x242.av1c",
            "av01.0.00M.10.0.110.02.02.09.0",
            Some((322, 242)),
            NONE,
        ),
        (
            Avc,
            "avc_matrices_616x354.avcc",
            "avc1.64001e",
            Some((616, 354)),
            30.0,
        ),
        (
            Avc,
            "avc_openh264_640x360.avcc",
            "avc1.42c01e",
            Some((640, 360)),
            NONE,
        ),
        (
            Hevc,
            "hevc_kvazaar_640x360.hvcc",
            "hvc1.1.6.L186.80",
            Some((640, 360)),
            30.0,
        ),
        (
            Hevc,
            "hevc_layers_640x360.hvcc",
            "hvc1.1.6.L63.90",
            Some((640, 360)),
            30.0,
        ),
        (
            Hevc,
            "hevc_scaling_640x360.hvcc",
            "hvc1.1.6.L63.90",
            Some((640, 360)),
            30.0,
        ),
        (
            Av1,
            "av1_gray_640x360.av1c",
            "av01.0.01M.08.1.110.02.02.02.1",
            Some((640, 360)),
            NONE,
        ),
        (Av1, "av1_rav1e_640x360.av1c", "av01.0.31M.08", None, NONE),
        (Vp9, "vp9_p0_320x180.vpcc", "vp09.00.11.08", None, NONE),
        (
            Vp9,
            "vp9_p1_322x242.vpcc",
            "vp09.01.20.08.03.02.02.02.00",
            None,
            NONE,
        ),
        (Vp9, "vp9_p2_322x242.vpcc", "vp09.02.20.10", None, NONE),
    ]
};

const AUDIO: &[(AudioCodec, &str, &str, u32, u8)] = {
    use AudioCodec::{Aac, Opus};
    &[
        (Aac, "aac_lc_16000_stereo.asc", "mp4a.40.2", 16_000, 2),
        (Aac, "aac_lc_44100_mono.asc", "mp4a.40.2", 44_100, 1),
        (Aac, "aac_lc_48000_stereo.asc", "mp4a.40.2", 48_000, 2),
        (Aac, "aac_lc_48000_5.1.asc", "mp4a.40.2", 48_000, 6),
        (Opus, "opus_1ch.opus", "opus", 48_000, 1),
        (Opus, "opus_2ch.opus", "opus", 48_000, 2),
        (Opus, "opus_6ch.opus", "opus", 48_000, 6),
    ]
};

#[test]
fn video_records_say_what_ffprobe_says() {
    for &(codec, file, string, size, framerate) in VIDEO {
        let info = video_info(codec, &record(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(info.codec, string, "{file}");
        let found = info.size.map(|size| (size.width, size.height));
        assert_eq!(found, size, "{file}");
        let difference = info.framerate.unwrap_or(NONE) - framerate;
        assert!(difference.abs() < 1e-3, "{file}: {:?}", info.framerate);
        let nal = matches!(codec, VideoCodec::Avc | VideoCodec::Hevc);
        assert_eq!(info.length_size, nal.then_some(4), "{file}");
    }
}

#[test]
fn audio_records_say_what_ffprobe_says() {
    for &(codec, file, string, sample_rate, channels) in AUDIO {
        let expected = AudioInfo {
            codec: string.into(),
            sample_rate,
            channels,
        };
        assert_eq!(audio_info(codec, &record(file)), Ok(expected), "{file}");
    }
}

#[test]
fn every_parameter_set_is_found() {
    let config = avc::Config::parse(&record("avc_high_1920x1080.avcc")).unwrap();
    assert_eq!(config.sequence_parameter_sets.len(), 1);
    assert_eq!(config.sequence_parameter_sets[0][0], 0x67);
    assert_eq!(config.picture_parameter_sets.len(), 1);
    assert_eq!(config.picture_parameter_sets[0][0], 0x68);
}

#[test]
fn truncated_records_are_refused_or_say_the_same() {
    for &(codec, file, ..) in VIDEO {
        let whole = record(file);
        let said = video_info(codec, &whole).unwrap();
        for len in 0..whole.len() {
            // Four bytes are a whole AV1 record, one without a sequence header.
            if codec == VideoCodec::Av1 && len == 4 {
                continue;
            }
            let info = video_info(codec, &whole[..len]);
            assert!(info.is_err() || info == Ok(said.clone()), "{len} of {file}");
        }
    }
    for &(codec, file, ..) in AUDIO {
        let whole = record(file);
        let said = audio_info(codec, &whole).unwrap();
        // Nothing at all stands for stereo Opus.
        for len in 1..whole.len() {
            let info = audio_info(codec, &whole[..len]);
            assert!(info.is_err() || info == Ok(said.clone()), "{len} of {file}");
        }
    }
}

/// A small generator (xorshift) so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[test]
fn damaged_records_are_refused_or_stay_within_bounds() {
    for seed in 1..=200u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for &(codec, file, ..) in VIDEO {
            let mut damaged = record(file);
            for _ in 0..=random.below(4) {
                // The front matters most: behind it an HEVC record is text of its encoder.
                let at = random.below(damaged.len().min(120));
                damaged[at] = random.next() as u8;
            }
            let info = video_info(codec, &damaged);
            assert!(is_bounded(&info), "seed {seed}, {file}: {info:?}");
        }
        for &(codec, file, ..) in AUDIO {
            let mut damaged = record(file);
            let at = random.below(damaged.len());
            damaged[at] = random.next() as u8;
            if let Ok(info) = audio_info(codec, &damaged) {
                let AudioInfo {
                    sample_rate,
                    channels,
                    ..
                } = info;
                assert!((1..=192_000).contains(&sample_rate), "seed {seed}, {file}");
                assert_ne!(channels, 0, "seed {seed}, {file}");
            }
        }
    }
}

fn is_bounded(info: &Result<VideoInfo, Error>) -> bool {
    let Ok(VideoInfo {
        size, framerate, ..
    }) = info
    else {
        return true;
    };
    let bounds = 1..=MAX_DIMENSION;
    size.is_none_or(|size| bounds.contains(&size.width) && bounds.contains(&size.height))
        && framerate.is_none_or(|rate| rate > 0.0 && rate <= 1000.0)
}
