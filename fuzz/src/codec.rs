//! Target `codec`: the first byte chooses a codec, the rest is its configuration record.

use weir_protocol::codec::{
    AudioCodec, MAX_DIMENSION, VideoCodec, VideoInfo, audio_info, av1, avc, hevc, video_info, vp9,
};

/// The highest rates that are believed: of samples, and of frames.
const MAX_SAMPLE_RATE: u32 = 192_000;
const MAX_FRAMERATE: f64 = 1000.0;

/// Reads a record and a key frame of the chosen codec: what they say must be within its bounds.
pub fn codec(data: &[u8]) {
    let Some((choice, record)) = data.split_first() else {
        return;
    };
    match choice % 6 {
        0 => video(VideoCodec::Avc, record),
        1 => video(VideoCodec::Hevc, record),
        2 => video(VideoCodec::Av1, record),
        3 => video(VideoCodec::Vp9, record),
        4 => audio(AudioCodec::Aac, record),
        _ => audio(AudioCodec::Opus, record),
    }
    lengths(record);
}

fn video(codec: VideoCodec, record: &[u8]) {
    if let Ok(mut info) = video_info(codec, record) {
        check(&info);
        // The record is no frame, but must not be trusted more as one.
        if info.learn_from_key_frame(codec, record).is_ok() {
            check(&info);
        }
        rewritten(codec, record, &info);
    }
    let _ = vp9::key_frame_size(record);
    let _ = av1::sequence_header(record);
}

fn check(info: &VideoInfo) {
    let bounds = 1..=MAX_DIMENSION;
    if let Some(size) = info.size {
        assert!(bounds.contains(&size.width) && bounds.contains(&size.height));
    }
    if let Some(rate) = info.framerate {
        assert!(rate > 0.0 && rate <= MAX_FRAMERATE, "{rate}");
    }
    assert!(
        info.length_size
            .is_none_or(|size| matches!(size, 1 | 2 | 4))
    );
}

/// A record with another length size says the same otherwise.
fn rewritten(codec: VideoCodec, record: &[u8], info: &VideoInfo) {
    let again = match codec {
        VideoCodec::Avc => avc::rewrite_record(record),
        VideoCodec::Hevc => hevc::rewrite_record(record),
        VideoCodec::Av1 | VideoCodec::Vp9 => return,
    };
    let again = again.and_then(|record| video_info(codec, &record));
    let expected = VideoInfo {
        length_size: Some(4),
        ..info.clone()
    };
    assert_eq!(again, Ok(expected));
}

fn audio(codec: AudioCodec, record: &[u8]) {
    if let Ok(info) = audio_info(codec, record) {
        assert!((1..=MAX_SAMPLE_RATE).contains(&info.sample_rate));
        assert_ne!(info.channels, 0);
    }
}

/// Rewritten lengths are 4 bytes, so that rewriting them again changes nothing.
fn lengths(frame: &[u8]) {
    for from_size in [1, 2, 4] {
        if let Ok(once) = avc::rewrite_lengths(frame, from_size) {
            assert!(once.len() <= frame.len() * 4);
            assert_eq!(avc::rewrite_lengths(&once, 4), Ok(once.clone()));
        }
    }
}
