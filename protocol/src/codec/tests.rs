//! Configuration records made by hand, for what no encoder at hand writes.

use super::*;

/// Writes bits, most significant first.
#[derive(Default)]
struct Writer {
    bits: Vec<bool>,
}

impl Writer {
    fn u(mut self, count: u32, value: u32) -> Self {
        self.bits
            .extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn ue(self, value: u32) -> Self {
        let width = (value + 1).ilog2();
        self.u(width, 0).u(width + 1, value + 1)
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter()
                .enumerate()
                .fold(0, |byte, (at, &bit)| byte | u8::from(bit) << (7 - at))
        };
        self.bits.chunks(8).map(byte).collect()
    }
}

fn aac(bits: Writer) -> Result<AudioInfo, Error> {
    audio_info(AudioCodec::Aac, &bits.bytes())
}

fn info(codec: &str, sample_rate: u32, channels: u8) -> Result<AudioInfo, Error> {
    Ok(AudioInfo {
        codec: codec.into(),
        sample_rate,
        channels,
    })
}

#[test]
fn he_aac_announced_first_has_the_rate_of_the_extension() {
    // Type 5, 24 kHz, stereo, extended to 48 kHz, base type 2.
    let sbr = Writer::default()
        .u(5, 5)
        .u(4, 6)
        .u(4, 2)
        .u(4, 3)
        .u(5, 2)
        .u(3, 0);
    assert_eq!(aac(sbr), info("mp4a.40.5", 48_000, 2));
    // Type 29, 22.05 kHz, mono, extended to 44.1 kHz.
    let ps = Writer::default()
        .u(5, 29)
        .u(4, 7)
        .u(4, 1)
        .u(4, 4)
        .u(5, 2)
        .u(3, 0);
    assert_eq!(aac(ps), info("mp4a.40.29", 44_100, 2));
}

#[test]
fn he_aac_announced_behind_the_base_configuration_is_seen() {
    let lc = || Writer::default().u(5, 2).u(4, 6).u(4, 1).u(3, 0);
    let sbr = || lc().u(11, 0x2b7).u(5, 5).u(1, 1).u(4, 3);
    assert_eq!(aac(lc()), info("mp4a.40.2", 24_000, 1));
    assert_eq!(aac(sbr()), info("mp4a.40.5", 48_000, 1));
    let ps = sbr().u(11, 0x548).u(1, 1);
    assert_eq!(aac(ps), info("mp4a.40.29", 48_000, 2));
    // Said to be absent.
    let none = lc().u(11, 0x2b7).u(5, 5).u(1, 0);
    assert_eq!(aac(none), info("mp4a.40.2", 24_000, 1));
}

#[test]
fn aac_escapes_are_read() {
    let rate = Writer::default()
        .u(5, 2)
        .u(4, 15)
        .u(24, 47_999)
        .u(4, 7)
        .u(3, 0);
    assert_eq!(aac(rate), info("mp4a.40.2", 47_999, 8));
    // Type 42 (USAC) is 31 and 10.
    let usac = Writer::default().u(5, 31).u(6, 10).u(4, 3).u(4, 2);
    assert_eq!(aac(usac), info("mp4a.40.42", 48_000, 2));
}

#[test]
fn aac_channels_come_from_the_program_config_element() {
    let base = Writer::default().u(5, 2).u(4, 3).u(4, 0).u(3, 0);
    // One front pair, one front centre, one side single, one LFE.
    let element = base
        .u(4, 0)
        .u(2, 1)
        .u(4, 3)
        .u(4, 2)
        .u(4, 1)
        .u(4, 0)
        .u(2, 1)
        .u(3, 0)
        .u(4, 0)
        .u(3, 0)
        .u(5, 0b1_0000)
        .u(5, 0)
        .u(5, 0)
        .u(4, 0);
    let padding = element.bits.len().next_multiple_of(8) - element.bits.len();
    let whole = element.u(padding as u32, 0).u(8, 0);
    assert_eq!(aac(whole), info("mp4a.40.2", 48_000, 5));
    let cut = Writer::default().u(5, 2).u(4, 3).u(4, 0).u(3, 0);
    assert_eq!(aac(cut), Err(Error::Truncated("AudioSpecificConfig")));
}

#[test]
fn impossible_aac_is_refused_by_name() {
    let no_type = Writer::default().u(16, 0);
    assert_eq!(aac(no_type), Err(Error::Invalid("audio object type")));
    let no_rate = Writer::default().u(5, 2).u(4, 15).u(24, 0).u(7, 0);
    assert_eq!(aac(no_rate), Err(Error::SampleRate(0)));
    let reserved = Writer::default().u(5, 2).u(4, 13).u(7, 0);
    assert_eq!(
        aac(reserved),
        Err(Error::Invalid("sampling frequency index"))
    );
    let channels = Writer::default().u(5, 2).u(4, 3).u(4, 15).u(3, 0);
    assert_eq!(aac(channels), Err(Error::Invalid("channel configuration")));
}

#[test]
fn opus_header_is_optional_and_has_two_forms() {
    let stereo = opus::Config::parse(&[]).unwrap();
    assert_eq!((stereo.channels, stereo.pre_skip), (2, 0));
    let d_ops = [0, 1, 0x01, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0];
    let mono = opus::Config::parse(&d_ops).unwrap();
    assert_eq!((mono.channels, mono.pre_skip), (1, 312));
    assert!(opus::Config::parse(b"OpusTags").is_err());
    let three_channels = [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        opus::Config::parse(&three_channels),
        Err(Error::Invalid("Opus channel mapping"))
    );
}

/// An SPS of the baseline profile of so many macroblocks.
fn avc_sps(width_in_blocks: u32, height_in_blocks: u32) -> Vec<u8> {
    Writer::default()
        .u(8, 0x67)
        .u(24, 0x42_c0_1e)
        .ue(0)
        .ue(0)
        .ue(2)
        .ue(1)
        .u(1, 0)
        .ue(width_in_blocks - 1)
        .ue(height_in_blocks - 1)
        .u(1, 1)
        .u(1, 1)
        .u(1, 0)
        .u(1, 0)
        .u(1, 1)
        .bytes()
}

fn avcc(lengths: u8, sps: &[u8]) -> Vec<u8> {
    let mut record = vec![1, 0x42, 0xc0, 0x1e, 0xfc | lengths, 0xe1, 0];
    record.push(u8::try_from(sps.len()).unwrap());
    record.extend_from_slice(sps);
    record.extend_from_slice(&[1, 0, 2, 0x68, 0xce]);
    record
}

#[test]
fn size_that_no_decoder_takes_is_refused_by_name() {
    let largest = avcc(3, &avc_sps(1024, 1024));
    let info = video_info(VideoCodec::Avc, &largest).unwrap();
    assert_eq!(info.size, Some(Size::new(16_384, 16_384).unwrap()));
    let too_wide = avcc(3, &avc_sps(1025, 1));
    let refused = Error::Size {
        width: 16_400,
        height: 16,
    };
    assert_eq!(video_info(VideoCodec::Avc, &too_wide), Err(refused));
    assert!(Size::new(0, 1).is_err() && Size::new(1, 0).is_err());
    let huge = avcc(3, &avc_sps(u32::MAX - 1, u32::MAX - 1));
    assert!(video_info(VideoCodec::Avc, &huge).is_err());
}

#[test]
fn record_without_parameter_sets_is_refused_by_name() {
    let parse = |record: &[u8]| video_info(VideoCodec::Avc, record);
    let no_sps = [1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 1, 0, 2, 0x68, 0xce];
    assert_eq!(parse(&no_sps), Err(Error::Missing("SPS")));
    let mut no_pps = avcc(3, &avc_sps(1, 1));
    no_pps.truncate(no_pps.len() - 5);
    no_pps.push(0);
    assert_eq!(parse(&no_pps), Err(Error::Missing("PPS")));
    assert_eq!(parse(&[]), Err(Error::Empty));
    let hvcc: Vec<u8> = [&[1][..], &[0; 22]].concat();
    assert_eq!(
        video_info(VideoCodec::Hevc, &hvcc),
        Err(Error::Missing("VPS"))
    );
}

#[test]
fn unknown_record_version_is_refused_by_name() {
    for (codec, record) in [
        (VideoCodec::Avc, [0; 8]),
        (VideoCodec::Hevc, [0; 8]),
        (VideoCodec::Av1, [0; 8]),
    ] {
        let info = video_info(codec, &record);
        assert!(matches!(info, Err(Error::Version { version: 0, .. })));
    }
}

#[test]
fn lengths_of_other_sizes_are_rewritten_to_four_bytes() {
    let two = [0, 3, 1, 2, 3, 0, 0, 0, 1, 9];
    let four = [0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 1, 9];
    assert_eq!(avc::rewrite_lengths(&two, 2).unwrap(), four);
    let one = [3, 1, 2, 3, 0, 1, 9];
    assert_eq!(avc::rewrite_lengths(&one, 1).unwrap(), four);
    assert_eq!(avc::rewrite_lengths(&four, 4).unwrap(), four);
    assert_eq!(avc::rewrite_lengths(&two[..9], 2), Err(Error::NalLength));
    assert_eq!(avc::rewrite_lengths(&[0xff; 8], 4), Err(Error::NalLength));
    assert!(avc::rewrite_lengths(&two, 3).is_err());
}

#[test]
fn rewritten_record_says_four() {
    let record = avcc(1, &avc_sps(2, 2));
    let before = avc::Config::parse(&record).unwrap();
    let after = avc::Config::parse(&avc::rewrite_record(&record).unwrap()).unwrap();
    assert_eq!((before.length_size, after.length_size), (2, 4));
    assert_eq!(before.sps, after.sps);
    let three = avc::Config::parse(&avcc(2, &avc_sps(2, 2)));
    assert_eq!(three, Err(Error::Invalid("NAL unit length size of 3")));
    assert!(avc::rewrite_record(&[1, 2]).is_err());
}

#[test]
fn hevc_codec_string_has_every_part_that_is_not_zero() {
    let sps = hevc::Sps {
        size: Size::new(1, 1).unwrap(),
        framerate: None,
    };
    let mut config = hevc::Config {
        profile_space: 0,
        high_tier: false,
        profile: 1,
        compatibility: 0x6000_0000,
        constraints: [0xb0, 0, 0, 0, 0, 0],
        level: 93,
        average_framerate: None,
        length_size: 4,
        sps,
    };
    assert_eq!(config.codec_string(), "hvc1.1.6.L93.b0");
    config.constraints = [0; 6];
    assert_eq!(config.codec_string(), "hvc1.1.6.L93");
    config.profile_space = 1;
    config.high_tier = true;
    config.constraints = [0x90, 0, 0x08, 0, 0, 0];
    assert_eq!(config.codec_string(), "hvc1.A1.6.H93.90.0.8");
}

#[test]
fn av1_codec_string_is_long_when_something_is_not_default() {
    // The example of the binding: Main profile, level 2.0, Main tier, 10 bits, BT.2100 PQ.
    let mut config = av1::Config {
        profile: 0,
        level: 0,
        high_tier: false,
        bit_depth: 10,
        monochrome: false,
        subsampling_x: true,
        subsampling_y: true,
        chroma_sample_position: 2,
        sequence: Some(av1::SequenceHeader {
            size: Size::new(1, 1).unwrap(),
            framerate: None,
            color: av1::Color {
                primaries: 9,
                transfer: 16,
                matrix: 9,
                full_range: false,
            },
        }),
    };
    assert_eq!(config.codec_string(), "av01.0.00M.10.0.112.09.16.09.0");
    config.sequence = None;
    config.chroma_sample_position = 0;
    assert_eq!(config.codec_string(), "av01.0.00M.10");
    assert_eq!(config.info().size, None);
    config.monochrome = true;
    config.level = 19;
    config.high_tier = true;
    assert_eq!(config.codec_string(), "av01.0.19H.10.1.110.02.02.02.0");
}

#[test]
fn vp9_codec_string_is_long_when_something_is_not_default() {
    // The example of the binding, in a vpcC box and without one.
    let record = [2, 10, 0xa3, 9, 16, 9, 0, 0];
    let boxed: Vec<u8> = [&[1, 0, 0, 0], &record[..]].concat();
    let config = vp9::Config::parse(&record).unwrap();
    assert_eq!(vp9::Config::parse(&boxed), Ok(config));
    assert_eq!(config.codec_string(), "vp09.02.10.10.01.09.16.09.01");
    let plain = vp9::Config::parse(&[0, 0, 0x82, 2, 2, 2, 0, 0]).unwrap();
    assert_eq!(plain.codec_string(), "vp09.00.10.08");
    assert!(vp9::Config::parse(&[4, 10, 0x80, 1, 1, 1]).is_err());
    assert!(vp9::Config::parse(&[0, 10, 0x90, 1, 1, 1]).is_err());
}
