//! The hang catalog of moq-dev's players: JSON on the track `catalog.json`.
//!
//! Weir writes it from the MSF catalog, for tracks in the "legacy" container: a timestamp in front
//! of each chunk. What the players refuse is left out: descriptions are hexadecimal, numbers whole.
//! What publishers write is read into the terms of MSF, with [`PACKAGING_LEGACY`].

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::msf::{self, CatalogError, ROLE_AUDIO, ROLE_VIDEO};
use crate::wire::{Incomplete, Reader};

/// The name of the catalog's track.
pub const TRACK_NAME: &str = "catalog.json";

/// The packaging of media in the "legacy" container: see [`split_prefix`].
pub const PACKAGING_LEGACY: &str = "legacy";

/// Most bytes of the timestamp in front of a chunk.
pub const PREFIX_LEN_MAX: usize = 8;

#[derive(Serialize)]
struct Document {
    #[serde(skip_serializing_if = "Renditions::is_empty")]
    video: Renditions<Video>,
    #[serde(skip_serializing_if = "Renditions::is_empty")]
    audio: Renditions<Audio>,
}

#[derive(Serialize)]
struct Renditions<T> {
    renditions: BTreeMap<String, T>,
}

impl<T> Renditions<T> {
    fn is_empty(&self) -> bool {
        self.renditions.is_empty()
    }
}

#[derive(Serialize)]
struct Container {
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Video {
    codec: String,
    container: Container,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coded_width: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coded_height: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framerate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate: Option<u64>,
    /// How far apart frames may be, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Audio {
    codec: String,
    container: Container,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    sample_rate: u64,
    number_of_channels: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate: Option<u64>,
}

/// The hang catalog of the LOC tracks of an MSF catalog, which stand in it under the names that
/// `name` gives them.
pub fn from_msf(catalog: &msf::Catalog, name: impl Fn(&str) -> String) -> Vec<u8> {
    let mut document = Document {
        video: Renditions {
            renditions: BTreeMap::new(),
        },
        audio: Renditions {
            renditions: BTreeMap::new(),
        },
    };
    let loc = |track: &&msf::Track| track.packaging == msf::PACKAGING_LOC;
    for track in catalog.tracks.iter().filter(loc) {
        let config = catalog.config_of(track).ok().flatten();
        let description = config.map(|config| hex(&config));
        let Some(codec) = track.codec.clone() else {
            continue;
        };
        let container = Container { kind: "legacy" };
        match track.role.as_deref() {
            Some(ROLE_VIDEO) => {
                let video = Video {
                    codec,
                    container,
                    description,
                    coded_width: track.width,
                    coded_height: track.height,
                    framerate: track.framerate,
                    bitrate: track.bitrate,
                    jitter: track.framerate.and_then(frame_ms),
                };
                document.video.renditions.insert(name(&track.name), video);
            }
            Some(ROLE_AUDIO) => {
                let channels = track.channel_config.as_deref();
                let Some(sample_rate) = track.samplerate else {
                    continue;
                };
                let audio = Audio {
                    codec,
                    container,
                    description,
                    sample_rate,
                    number_of_channels: channels.and_then(|text| text.parse().ok()).unwrap_or(2),
                    bitrate: track.bitrate,
                };
                document.audio.renditions.insert(name(&track.name), audio);
            }
            _ => {}
        }
    }
    // Only maps with keys that are no strings cannot be written, and there is none.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// A catalog as it may come: what is of no use here is not looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Found {
    video: FoundRenditions,
    audio: FoundRenditions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FoundRenditions {
    renditions: BTreeMap<String, FoundTrack>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FoundTrack {
    codec: String,
    container: Option<FoundContainer>,
    description: Option<String>,
    coded_width: Option<u64>,
    coded_height: Option<u64>,
    framerate: Option<f64>,
    bitrate: Option<u64>,
    sample_rate: Option<u64>,
    number_of_channels: Option<u64>,
}

#[derive(Deserialize)]
struct FoundContainer {
    kind: String,
}

/// Reads a whole catalog, in the terms of MSF. Each kind's renditions stand in it by name; the
/// container of one that names none is the legacy one.
///
/// # Errors
///
/// What is no such catalog, or too large.
pub fn parse(json: &[u8]) -> Result<msf::Catalog, CatalogError> {
    if json.len() > msf::CATALOG_LEN_MAX {
        return Err(CatalogError::TooLong(json.len()));
    }
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(CatalogError::NotAnObject);
    }
    let found: Found = serde_json::from_slice(json)?;
    let count = found.video.renditions.len() + found.audio.renditions.len();
    if count > msf::TRACKS_MAX {
        return Err(CatalogError::TooManyTracks(count));
    }
    let mut catalog = msf::Catalog::live(0);
    catalog.generated_at = None;
    let kinds = [(ROLE_VIDEO, found.video), (ROLE_AUDIO, found.audio)];
    for (role, renditions) in kinds {
        for (name, track) in renditions.renditions {
            let kind = track.container.map(|container| container.kind);
            let config = track.description.as_deref().and_then(unhex);
            let found = msf::Track {
                packaging: kind.unwrap_or_else(|| PACKAGING_LEGACY.to_owned()),
                width: track.coded_width,
                height: track.coded_height,
                framerate: track.framerate,
                bitrate: track.bitrate,
                samplerate: track.sample_rate,
                channel_config: track.number_of_channels.map(|count| count.to_string()),
                ..msf::Track::live(name, role, track.codec)
            };
            catalog.push(found, config.as_deref());
        }
    }
    Ok(catalog)
}

/// The timestamp in front of a chunk of the legacy container, in microseconds, and how many bytes
/// it takes.
///
/// # Errors
///
/// A payload that ends inside it.
pub fn split_prefix(payload: &[u8]) -> Result<(u64, usize), Incomplete> {
    let mut reader = Reader::new(payload);
    let first = reader.u8()?;
    let len = 1 << (first >> 6);
    let mut value = u64::from(first & 0x3f);
    for byte in reader.bytes(len - 1)? {
        value = value << 8 | u64::from(*byte);
    }
    Ok((value, len))
}

/// The timestamp in front of a chunk, in microseconds: a QUIC variable-length integer, which
/// MoQT itself no longer uses. What does not fit its 62 bits is cut.
pub fn put_prefix(out: &mut impl bytes::BufMut, timestamp_us: u64) {
    let value = timestamp_us.min((1 << 62) - 1);
    match value {
        0..=0x3f => out.put_uint(value, 1),
        0x40..=0x3fff => out.put_uint(value | 1 << 14, 2),
        0x4000..=0x3fff_ffff => out.put_uint(value | 2 << 30, 4),
        _ => out.put_uint(value | 3 << 62, 8),
    }
}

fn frame_ms(framerate: f64) -> Option<u64> {
    let whole = framerate.is_finite() && framerate > 0.0;
    // Between a frame every 17 minutes and a thousand a second, so the cast cannot surprise.
    whole.then(|| (1000.0 / framerate).ceil().clamp(1.0, 1_000_000.0) as u64)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::msf::{Catalog, Track};

    fn catalog() -> Catalog {
        let mut catalog = Catalog::live(0);
        let video = Track {
            width: Some(640),
            height: Some(360),
            framerate: Some(30.0),
            bitrate: Some(1_000_000),
            ..Track::live("video", ROLE_VIDEO, "avc1.42c01f")
        };
        catalog.push(video, Some(&[1, 0x42, 0xff]));
        let audio = Track {
            samplerate: Some(48_000),
            channel_config: Some("2".to_owned()),
            ..Track::live("audio", ROLE_AUDIO, "opus")
        };
        catalog.push(audio, None);
        catalog
    }

    #[test]
    fn catalog_has_what_the_players_ask_for() {
        let json = from_msf(&catalog(), |name| format!("{name}.hang"));
        let expected = serde_json::json!({
            "video": { "renditions": { "video.hang": {
                "codec": "avc1.42c01f", "container": { "kind": "legacy" },
                "description": "0142ff", "codedWidth": 640, "codedHeight": 360,
                "framerate": 30.0, "bitrate": 1_000_000, "jitter": 34,
            } } },
            "audio": { "renditions": { "audio.hang": {
                "codec": "opus", "container": { "kind": "legacy" },
                "sampleRate": 48_000, "numberOfChannels": 2,
            } } },
        });
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json, expected);
    }

    #[test]
    fn what_the_players_would_refuse_is_left_out() {
        let mut catalog = catalog();
        catalog.tracks[0].packaging = "cmaf".to_owned();
        catalog.tracks[1].samplerate = None;
        assert_eq!(from_msf(&catalog, str::to_owned), b"{}");
    }

    #[test]
    fn what_is_written_is_read() {
        let written = catalog();
        let read = parse(&from_msf(&written, |name| format!("{name}.hang"))).unwrap();
        let video = read.track_of(ROLE_VIDEO).unwrap();
        assert_eq!(
            (video.name.as_str(), video.packaging.as_str()),
            ("video.hang", "legacy")
        );
        assert_eq!(
            (video.width, video.height, video.framerate),
            (Some(640), Some(360), Some(30.0))
        );
        assert_eq!(read.config_of(video).unwrap().unwrap()[..], [1, 0x42, 0xff]);
        let audio = read.track_of(ROLE_AUDIO).unwrap();
        assert_eq!(audio.codec.as_deref(), Some("opus"));
        assert_eq!(
            (audio.samplerate, audio.channel_config.as_deref()),
            (Some(48_000), Some("2"))
        );
    }

    #[test]
    fn containers_keep_their_kind_and_what_is_unknown_does_not_matter() {
        let json = br#"{"video":{"renditions":{"a":{"codec":"vp8","container":{"kind":"cmaf",
            "init":"AA=="},"jitter":3}},"display":{"width":1}},"chat":{}}"#;
        let read = parse(json).unwrap();
        assert_eq!(read.track_of(ROLE_VIDEO).unwrap().packaging, "cmaf");
        assert!(read.track_of(ROLE_AUDIO).is_none());
    }

    #[test]
    fn what_is_no_catalog_is_refused() {
        for json in ["", "[]", "{\"video\":3}", "{\"video\":{\"renditions\":[]}}"] {
            assert!(parse(json.as_bytes()).is_err(), "{json}");
        }
        let long = format!("{{{}}}", " ".repeat(msf::CATALOG_LEN_MAX));
        assert!(matches!(
            parse(long.as_bytes()),
            Err(CatalogError::TooLong(_))
        ));
    }

    #[test]
    fn prefix_is_read_as_it_is_written() {
        for us in [
            0,
            37,
            63,
            64,
            15_293,
            16_383,
            16_384,
            33_333,
            1 << 30,
            (1 << 62) - 1,
        ] {
            let mut out = Vec::new();
            put_prefix(&mut out, us);
            assert_eq!(split_prefix(&out), Ok((us, out.len())));
            assert!(split_prefix(&out[..out.len() - 1]).is_err());
        }
    }

    #[test]
    fn timestamps_are_quic_integers() {
        let prefix = |us| {
            let mut out = Vec::new();
            put_prefix(&mut out, us);
            out
        };
        assert_eq!(prefix(37), [37]);
        assert_eq!(prefix(33_333), [0x80, 0, 0x82, 0x35]);
        assert_eq!(prefix(15_293), [0x7b, 0xbd]);
        assert_eq!(prefix(u64::MAX), [0xff; 8]);
        assert_eq!(prefix(1 << 30).len(), PREFIX_LEN_MAX);
    }
}
