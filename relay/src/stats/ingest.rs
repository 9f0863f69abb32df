//! What ingest records about one stream: arrival, rates and the `ingest` stage; one writer.

use super::STAGE_SLICE_US;
use super::arrival::Transit;
use super::health::{MAX_JITTER_US, Vitals};
use super::rate::{ByteRate, FrameRate};
use super::series::Series;

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// A media message as it came from the publisher.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Which of the two clocks it is measured against.
    pub kind: Kind,
    /// Its decode time on the publisher's media clock, in microseconds.
    pub media_us: u64,
    /// Its payload's length.
    pub bytes: u64,
    /// Whether it starts a group: a key frame. Only looked at for video.
    pub key_frame: bool,
}

/// What is measured of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrackRates {
    /// Frames per second over the last 256 frames, by their media times; `None` for audio and
    /// before the second frame.
    pub fps: Option<f64>,
    /// Bits per second over the last ten seconds of arrival.
    pub bitrate_bps: u64,
    /// Media time between the last two key frames in milliseconds; `None` for audio and before the
    /// second key frame.
    pub gop_ms: Option<u64>,
}

/// What ingest records about one stream.
///
/// It outlives its publisher's connection: a publisher that returns is counted here.
#[derive(Clone, Debug)]
pub struct IngestRecorder {
    object: Series,
    jitter: Series,
    video: Track,
    audio: Track,
    reorder: Reorder,
    /// When the newest key frame arrived.
    key_frame_at_us: Option<u64>,
    bytes_in: u64,
    reconnects: u64,
}

#[derive(Clone, Debug, Default)]
struct Track {
    transit: Transit,
    bytes: ByteRate,
    frames: FrameRate,
    key_frame_us: Option<u64>,
    gop_ms: Option<u64>,
    arrived_us: Option<u64>,
}

/// The largest distance of a picture's decoding from its presentation, in this and the last slice.
#[derive(Clone, Copy, Debug, Default)]
struct Reorder {
    epoch: u64,
    largest_us: [u64; 2],
}

impl Reorder {
    fn record(&mut self, micros: u64, now_us: u64) {
        self.turn(now_us);
        self.largest_us[0] = self.largest_us[0].max(micros);
    }

    fn turn(&mut self, now_us: u64) {
        let epoch = now_us / STAGE_SLICE_US;
        self.largest_us = match epoch.saturating_sub(self.epoch) {
            0 => self.largest_us,
            1 => [0, self.largest_us[0]],
            _ => [0, 0],
        };
        self.epoch = self.epoch.max(epoch);
    }

    fn largest_us(mut self, now_us: u64) -> u64 {
        self.turn(now_us);
        self.largest_us[0].max(self.largest_us[1])
    }
}

impl IngestRecorder {
    /// A recorder whose windows start at `now_us`.
    pub fn new(now_us: u64) -> Self {
        Self {
            object: Series::new(STAGE_SLICE_US, now_us),
            jitter: Series::new(STAGE_SLICE_US, now_us),
            video: Track::default(),
            audio: Track::default(),
            reorder: Reorder::default(),
            key_frame_at_us: None,
            bytes_in: 0,
            reconnects: 0,
        }
    }

    /// Counts bytes read from the publisher's socket.
    pub fn on_bytes_in(&mut self, bytes: u64) {
        self.bytes_in += bytes;
    }

    /// Records a media message whose first byte was read at `now_us`. The first byte is the fair
    /// moment: a key frame's last one is late because it is big.
    pub fn on_arrival(&mut self, arrival: Arrival, now_us: u64) {
        let track = match arrival.kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        };
        let late_us = track.transit.record(arrival.media_us, now_us);
        track.bytes.record(arrival.bytes, now_us);
        track.arrived_us = Some(now_us);
        if arrival.kind == Kind::Video {
            track.frames.record(arrival.media_us);
            if arrival.key_frame {
                self.key_frame_at_us = Some(now_us);
                track.on_key_frame(arrival.media_us);
            }
        }
        self.jitter.record(late_us, now_us);
    }

    /// Records how much later than it is decoded a picture is shown, in microseconds.
    pub fn on_reorder(&mut self, micros: u64, now_us: u64) {
        self.reorder.record(micros, now_us);
    }

    /// Records that an object was complete `micros` after its first byte: the `ingest` stage.
    pub fn on_object(&mut self, micros: u64, now_us: u64) {
        self.object.record(micros, now_us);
    }

    /// Records that the publisher came back; its media clock may start anew.
    pub fn on_reconnect(&mut self) {
        self.reconnects += 1;
        for track in [&mut self.video, &mut self.audio] {
            track.transit.forget();
            track.key_frame_us = None;
            track.gop_ms = None;
            track.arrived_us = None;
        }
        self.key_frame_at_us = None;
        self.reorder = Reorder::default();
    }

    /// Bytes read from the publisher's sockets since the start.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// How often the publisher came back.
    pub fn reconnects(&self) -> u64 {
        self.reconnects
    }

    /// How much later video arrives than audio of the same media time, in microseconds, smoothed;
    /// negative when audio is the later one, `None` unless both arrived.
    pub fn av_skew_us(&self) -> Option<i64> {
        let video_us = self.video.transit.smoothed_us()?;
        let audio_us = self.audio.transit.smoothed_us()?;
        Some((video_us - audio_us).round() as i64)
    }

    /// The media time of what arrives at `now_us`, on average over the last second or two; `None`
    /// before anything arrived. The video's, or the audio's where there is no video.
    pub fn media_now_us(&self, now_us: u64) -> Option<u64> {
        let video_us = self.video.transit.smoothed_us();
        let transit_us = video_us.or_else(|| self.audio.transit.smoothed_us())?;
        let media_us = i128::from(now_us) - transit_us.round() as i128;
        u64::try_from(media_us).ok()
    }

    /// The rates of the stream's video or audio.
    pub fn rates(&self, kind: Kind, now_us: u64) -> TrackRates {
        let track = match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        };
        TrackRates {
            fps: track.frames.frames_per_second(),
            bitrate_bps: track.bytes.bits_per_second(now_us),
            gop_ms: track.gop_ms,
        }
    }

    /// What warnings look at; `live_us` and the peak are for the caller to fill in.
    pub fn vitals(&self, now_us: u64) -> Vitals {
        let age = |at_us: Option<u64>| at_us.map(|at_us| now_us.saturating_sub(at_us));
        // Sixty seconds of every stream's histogram is more to read than all else that is looked
        // at each second: only where something was late enough to matter.
        let mut jitter = None;
        if self.jitter.largest(now_us) > MAX_JITTER_US {
            self.jitter.add_window_to(&mut jitter, now_us);
        }
        Vitals {
            live_us: None,
            gop_ms: self.video.gop_ms,
            key_frame_age_us: age(self.key_frame_at_us),
            video_age_us: age(self.video.arrived_us),
            audio_age_us: age(self.audio.arrived_us),
            jitter_p99_us: jitter.map(|jitter| jitter.value_at_quantile(0.99)),
            av_skew_us: self.av_skew_us(),
            reorder_us: self.reorder.largest_us(now_us),
            video_bps: self.video.bytes.bits_per_second(now_us),
            video_peak_bps: 0,
        }
    }

    pub(super) fn jitter(&self) -> &Series {
        &self.jitter
    }

    pub(super) fn object(&self) -> &Series {
        &self.object
    }
}

impl Track {
    fn on_key_frame(&mut self, media_us: u64) {
        let last_us = self.key_frame_us.replace(media_us);
        if let Some(gop_us) = last_us.and_then(|last_us| media_us.checked_sub(last_us)) {
            // Rounded: RTMP's clock has milliseconds, its sender's often had fractions of them.
            self.gop_ms = Some((gop_us + 500) / 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, media_us: u64, bytes: u64) -> Arrival {
        Arrival {
            kind,
            media_us,
            bytes,
            key_frame: kind == Kind::Video && media_us.is_multiple_of(2_000_000),
        }
    }

    /// Ten seconds of 25 fps video and 50 Hz audio, the video `late_us` after the audio.
    fn record_ten_seconds(late_us: i64) -> IngestRecorder {
        let mut recorder = IngestRecorder::new(0);
        for tick in 0..500_u64 {
            let media_us = tick * 20_000;
            let now_us = 1_000_000 + media_us;
            recorder.on_arrival(frame(Kind::Audio, media_us, 320), now_us);
            if tick % 2 == 0 {
                let now_us = now_us.saturating_add_signed(late_us);
                recorder.on_arrival(frame(Kind::Video, media_us, 6_000), now_us);
            }
        }
        recorder
    }

    #[test]
    fn rates_are_those_of_the_stream() {
        let recorder = record_ten_seconds(0);
        let video = recorder.rates(Kind::Video, 11_000_000);
        assert_eq!(video.fps, Some(25.0));
        assert_eq!(video.gop_ms, Some(2_000));
        assert!(video.bitrate_bps.abs_diff(1_200_000) < 30_000, "{video:?}");
        let audio = recorder.rates(Kind::Audio, 11_000_000);
        assert_eq!((audio.fps, audio.gop_ms), (None, None));
        assert!(audio.bitrate_bps.abs_diff(128_000) < 3_000, "{audio:?}");
    }

    #[test]
    fn skew_is_positive_when_video_is_late() {
        assert_eq!(record_ten_seconds(40_000).av_skew_us(), Some(40_000));
        assert_eq!(record_ten_seconds(-15_000).av_skew_us(), Some(-15_000));
    }

    #[test]
    fn a_stream_without_audio_has_no_skew() {
        let mut recorder = IngestRecorder::new(0);
        recorder.on_arrival(frame(Kind::Video, 0, 10), 0);
        assert_eq!(recorder.av_skew_us(), None);
    }

    #[test]
    fn a_constant_skew_is_not_jitter() {
        let recorder = record_ten_seconds(40_000);
        assert_eq!(recorder.jitter().totals().sum_us(), 0);
        assert_eq!(recorder.jitter().totals().count(), 750);
    }

    #[test]
    fn a_reconnect_starts_the_media_clock_anew() {
        let mut recorder = record_ten_seconds(0);
        recorder.on_reconnect();
        recorder.on_arrival(frame(Kind::Video, 9_970_000, 10), 30_000_000);
        assert_eq!(recorder.jitter().totals().sum_us(), 0);
        assert_eq!(recorder.reconnects(), 1);
    }

    #[test]
    fn reordering_is_remembered_for_two_slices() {
        let mut recorder = IngestRecorder::new(0);
        recorder.on_reorder(66_000, 1_000_000);
        recorder.on_reorder(0, 12_000_000);
        assert_eq!(recorder.vitals(12_000_000).reorder_us, 66_000);
        assert_eq!(recorder.vitals(25_000_000).reorder_us, 0);
        let jump = recorder.vitals(3_600_000_000);
        assert_eq!(jump.reorder_us, 0);
    }

    #[test]
    fn lateness_is_told_when_it_is_more_than_a_player_bears() {
        let mut recorder = record_ten_seconds(0);
        assert_eq!(recorder.vitals(11_000_000).jitter_p99_us, None);
        for tick in 500..520_u64 {
            let media_us = tick * 20_000;
            recorder.on_arrival(frame(Kind::Audio, media_us, 320), 1_500_000 + media_us);
        }
        let late_us = recorder.vitals(12_000_000).jitter_p99_us.unwrap();
        assert!(late_us.abs_diff(500_000) < 10_000, "{late_us}");
        assert_eq!(recorder.vitals(80_000_000).jitter_p99_us, None, "long ago");
    }

    #[test]
    fn vitals_are_ages_of_what_arrived() {
        let recorder = record_ten_seconds(0);
        let vitals = recorder.vitals(20_000_000);
        let last_us = 20_000_000 - 1_000_000 - 499 * 20_000;
        assert_eq!(vitals.audio_age_us, Some(last_us));
        assert_eq!(vitals.video_age_us, Some(last_us + 20_000));
        assert_eq!(
            vitals.key_frame_age_us,
            Some(20_000_000 - 1_000_000 - 8_000_000)
        );
        assert_eq!(vitals.gop_ms, Some(2_000));
        let fresh = IngestRecorder::new(0).vitals(5);
        assert_eq!((fresh.video_age_us, fresh.jitter_p99_us), (None, None));
    }
}
