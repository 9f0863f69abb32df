//! A stream as its catalog describes it, in the terms of RTMP.

use bytes::Bytes;
use weir_protocol::catalog::hang;
use weir_protocol::catalog::msf::{self, Catalog};
use weir_protocol::codec::{AudioCodec, VideoCodec};
use weir_protocol::flv::mux::{self, Value};
use weir_protocol::rtmp::command::Connect;

use super::cursor::Kind;

/// What a stream carries from some object on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Description {
    /// When the catalog was complete: objects from then on are as it says.
    pub(super) since_us: u64,
    pub(super) video: Option<Selected<VideoCodec>>,
    pub(super) audio: Option<Selected<AudioCodec>>,
    numbers: Vec<(&'static str, f64)>,
    stereo: Option<bool>,
    /// Why RTMP cannot carry it at all.
    unfit: Option<String>,
}

/// The track that is played.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Selected<Codec> {
    pub(super) name: String,
    pub(super) codec: Codec,
    /// The decoder's configuration, where the catalog has it.
    pub(super) config: Option<Bytes>,
    /// Whether frames begin with their timestamp, as in moq-dev's legacy container.
    pub(super) prefixed: bool,
}

impl Description {
    /// The description of a stream before it says what it carries.
    pub(super) fn of(catalog: &Catalog, since_us: u64) -> Self {
        let mut description = Self {
            since_us,
            video: None,
            audio: None,
            numbers: Vec::new(),
            stereo: None,
            unfit: None,
        };
        if let Some(track) = catalog.track_of(msf::ROLE_VIDEO) {
            description.video = description.select(catalog, track, VideoCodec::from_codec_string);
            description.describe_video(track);
        }
        if let Some(track) = catalog.track_of(msf::ROLE_AUDIO) {
            description.audio = description.select(catalog, track, AudioCodec::from_codec_string);
            description.describe_audio(track);
        }
        description
    }

    fn select<Codec>(
        &mut self,
        catalog: &Catalog,
        track: &msf::Track,
        known: impl Fn(&str) -> Option<Codec>,
    ) -> Option<Selected<Codec>> {
        let name = track.name.clone();
        let text = track.codec.as_deref().unwrap_or_default();
        let prefixed = track.packaging == hang::PACKAGING_LEGACY;
        if !prefixed && track.packaging != msf::PACKAGING_LOC {
            let packaging = &track.packaging;
            self.unfit = Some(format!("RTMP cannot carry the packaging {packaging:?}"));
        }
        let Some(codec) = known(text) else {
            self.unfit = Some(format!("RTMP cannot carry the codec {text:?}"));
            return None;
        };
        // A catalog that names what it does not have: the objects may have it.
        let config = catalog.config_of(track).unwrap_or_default();
        if prefixed && config.is_none() && needs_config(text) {
            self.unfit = Some(format!(
                "{name} has its decoder's configuration within the frames, which RTMP cannot \
                 carry: publish it with a description"
            ));
        }
        Some(Selected {
            name,
            codec,
            config,
            prefixed,
        })
    }

    fn describe_video(&mut self, track: &msf::Track) {
        let codec = self.video.as_ref().map(|video| video.codec);
        let id = codec.map(|codec| match codec {
            VideoCodec::Avc => LEGACY_AVC,
            VideoCodec::Hevc | VideoCodec::Av1 | VideoCodec::Vp9 => number_of(codec.fourcc()),
        });
        let entries = [
            ("videocodecid", id),
            ("width", track.width.map(|width| width as f64)),
            ("height", track.height.map(|height| height as f64)),
            ("framerate", track.framerate),
            ("videodatarate", track.bitrate.map(kbps)),
        ];
        self.add(entries);
    }

    fn describe_audio(&mut self, track: &msf::Track) {
        let codec = self.audio.as_ref().map(|audio| audio.codec);
        let id = codec.map(|codec| match codec {
            AudioCodec::Aac => LEGACY_AAC,
            AudioCodec::Opus => number_of(codec.fourcc()),
        });
        let rate = track.samplerate.map(|rate| rate as f64);
        let entries = [
            ("audiocodecid", id),
            ("audiosamplerate", rate),
            ("audiodatarate", track.bitrate.map(kbps)),
        ];
        self.add(entries);
        self.stereo = track.channel_config.as_deref().map(|count| count == "2");
    }

    fn add<const N: usize>(&mut self, entries: [(&'static str, Option<f64>); N]) {
        let known = entries.into_iter();
        self.numbers
            .extend(known.filter_map(|(name, value)| Some((name, value?))));
    }

    /// The names of the tracks that are played.
    pub(super) fn names(&self) -> Vec<String> {
        let video = self.video.as_ref().map(|video| video.name.clone());
        let audio = self.audio.as_ref().map(|audio| audio.name.clone());
        video.into_iter().chain(audio).collect()
    }

    /// Whether the frames of a track begin with their timestamp.
    pub(super) fn is_prefixed(&self, kind: Kind) -> bool {
        match kind {
            Kind::Video => self.video.as_ref().is_some_and(|video| video.prefixed),
            Kind::Audio => self.audio.as_ref().is_some_and(|audio| audio.prefixed),
        }
    }

    /// Whether there is anything to play.
    pub(super) fn has_media(&self) -> bool {
        self.video.is_some() || self.audio.is_some() || self.unfit.is_some()
    }

    /// Why this peer cannot be given the stream, and what would help; none if it can.
    pub(super) fn refusal(&self, connect: &Connect) -> Option<String> {
        if self.unfit.is_some() {
            return self.unfit.clone();
        }
        let video = self.video.as_ref().map(|video| video.codec);
        let video = video.filter(|codec| *codec != VideoCodec::Avc);
        let video = video.map(|codec| (codec.to_string(), codec.fourcc()));
        let audio = self.audio.as_ref().map(|audio| audio.codec);
        let audio = audio.filter(|codec| *codec != AudioCodec::Aac);
        let audio = audio.map(|codec| (codec.to_string(), codec.fourcc()));
        let mut enhanced = video.into_iter().chain(audio);
        let (codec, fourcc) = enhanced.find(|(_, fourcc)| !connect.can_receive(fourcc))?;
        Some(format!(
            "this stream is {codec}, which this player does not say it can receive: use one that \
             lists {fourcc} in fourCcList (ffmpeg 6.1 and later: -rtmp_enhanced_codecs {fourcc})"
        ))
    }

    /// The body of `onMetaData`.
    pub(super) fn metadata(&self) -> Vec<u8> {
        let numbers = self.numbers.iter();
        let mut entries: Vec<(&str, Value<'_>)> = numbers
            .map(|(name, value)| (*name, Value::Number(*value)))
            .collect();
        entries.extend(self.stereo.map(|stereo| ("stereo", Value::Boolean(stereo))));
        entries.push(("server", Value::Text(SERVER)));
        // Names and texts are short constants, the only thing that could not be written.
        mux::metadata(&entries).unwrap_or_default()
    }
}

/// Whether a decoder of that codec needs a configuration, which FLV has apart from the frames.
fn needs_config(codec: &str) -> bool {
    ["avc", "hvc", "hev", "mp4a"]
        .iter()
        .any(|family| codec.starts_with(family))
}

/// An Enhanced RTMP codec id: the FourCC as a number.
fn number_of(fourcc: &str) -> f64 {
    let bytes = fourcc.bytes();
    f64::from(bytes.fold(0u32, |number, byte| number << 8 | u32::from(byte)))
}

fn kbps(bps: u64) -> f64 {
    bps as f64 / 1000.0
}

/// `videocodecid` and `audiocodecid` of FLV's own codecs (Adobe's specification, E.5).
const LEGACY_AVC: f64 = 7.0;
const LEGACY_AAC: f64 = 10.0;

const SERVER: &str = concat!("weir ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use weir_protocol::catalog::msf::Track;

    fn description(video: &str, audio: &str) -> Description {
        let mut catalog = Catalog::live(0);
        catalog.push(Track::live("v", msf::ROLE_VIDEO, video), Some(b"record"));
        catalog.push(Track::live("a", msf::ROLE_AUDIO, audio), None);
        Description::of(&catalog, 5)
    }

    fn connect(fourccs: &[&str]) -> Connect {
        Connect {
            fourcc_list: fourccs.iter().map(|name| (*name).to_owned()).collect(),
            ..Connect::default()
        }
    }

    #[test]
    fn enhanced_codecs_are_for_those_who_say_they_can() {
        let plain = description("avc1.42c01f", "mp4a.40.2");
        assert_eq!(plain.refusal(&connect(&[])), None);
        let hevc = description("hvc1.1.6.L93.B0", "mp4a.40.2");
        let refusal = hevc.refusal(&connect(&["av01"])).unwrap();
        assert!(
            refusal.contains("HEVC") && refusal.contains("hvc1"),
            "{refusal}"
        );
        assert_eq!(hevc.refusal(&connect(&["hvc1"])), None);
        assert_eq!(hevc.refusal(&connect(&["*"])), None);
        let opus = description("avc1.42c01f", "opus");
        assert!(opus.refusal(&connect(&["avc1"])).unwrap().contains("Opus"));
        let other = description("vp8", "opus")
            .refusal(&connect(&["*"]))
            .unwrap();
        assert!(other.contains("vp8"), "{other}");
    }

    #[test]
    fn metadata_names_codecs_as_players_know_them() {
        let found = |metadata: &[u8], name: &str, number: f64| {
            let entry = [name.as_bytes(), &[0], &number.to_be_bytes()].concat();
            metadata.windows(entry.len()).any(|window| window == entry)
        };
        let plain = description("avc1.42c01f", "mp4a.40.2").metadata();
        assert!(found(&plain, "videocodecid", 7.0) && found(&plain, "audiocodecid", 10.0));
        let enhanced = description("hvc1.1.6.L93.B0", "opus").metadata();
        assert!(found(&enhanced, "videocodecid", f64::from(0x6876_6331)));
        assert!(found(&enhanced, "audiocodecid", f64::from(0x4f70_7573)));
    }
}
