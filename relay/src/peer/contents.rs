//! What a peer's catalog says that its tracks carry, for the API.

use weir_protocol::catalog::{hang, msf};
use weir_protocol::codec::{AudioCodec, VideoCodec};

use crate::stats::Kind;
use crate::stats::snapshot::TrackSnapshot;
use crate::stream::Stream;

/// Reads a catalog that came on the track `name`, and describes the stream by it. What cannot be
/// read, or says that there is nothing, changes nothing: viewers get it as it came all the same.
pub(super) fn learn(stream: &Stream, name: &[u8], payload: &[u8]) {
    let catalog = match name == hang::TRACK_NAME.as_bytes() {
        // The same tracks in other words, where a publisher has both.
        true if stream.track(msf::TRACK_NAME.as_bytes()).is_some() => return,
        true => hang::parse(payload),
        false => msf::Catalog::parse(payload),
    };
    let Ok(catalog) = catalog else { return };
    let tracks: Vec<_> = catalog.tracks.iter().filter_map(described).collect();
    if !tracks.is_empty() {
        stream.describe(tracks);
    }
}

fn described(track: &msf::Track) -> Option<(Kind, TrackSnapshot)> {
    let codec = track.codec.clone().unwrap_or_default();
    let kind = match track.role.as_deref() {
        Some(msf::ROLE_VIDEO) => Kind::Video,
        Some(msf::ROLE_AUDIO) => Kind::Audio,
        Some(_) => return None,
        // There are publishers that give no roles.
        None if VideoCodec::from_codec_string(&codec).is_some() => Kind::Video,
        None if AudioCodec::from_codec_string(&codec).is_some() => Kind::Audio,
        None => return None,
    };
    let number = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
    let channels = track.channel_config.as_deref();
    let snapshot = TrackSnapshot {
        name: track.name.clone(),
        codec,
        width: number(track.width),
        height: number(track.height),
        samplerate: number(track.samplerate),
        channels: channels.and_then(|channels| channels.parse().ok()),
        ..TrackSnapshot::default()
    };
    Some((kind, snapshot))
}
