//! The MSF catalog, draft-01: JSON on the track `catalog`, one whole catalog an object.
//!
//! Weir writes whole catalogs only, never deltas: a reader that takes each object for a catalog of
//! its own understands them too. What Weir reads may come from anyone, so it is bounded before it
//! is parsed, unknown fields are ignored, and numbers and strings may stand for each other where
//! publishers are known to mix them up.

mod lenient;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The name of the catalog's track (MSF draft-01, "Catalog").
pub const TRACK_NAME: &str = "catalog";
/// What `version` says in a catalog of this draft.
pub const VERSION: &str = "draft-01";
/// The packaging of media as [`loc`](crate::loc) has it.
pub const PACKAGING_LOC: &str = "loc";
/// The role of pictures.
pub const ROLE_VIDEO: &str = "video";
/// The role of sound.
pub const ROLE_AUDIO: &str = "audio";

/// Longest catalog that is read, in bytes. A limit of ours: Weir's own are about 1 KiB.
pub const CATALOG_LEN_MAX: usize = 64 << 10;
/// Most tracks of a catalog that is read. A limit of ours: a ladder of renditions in several
/// languages has some twenty.
pub const TRACKS_MAX: usize = 64;

const INLINE: &str = "inline";
/// Tracks of one group are rendered together; Weir's streams have one group.
const RENDER_GROUP: u64 = 1;

/// Why bytes are not a catalog that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// More than [`CATALOG_LEN_MAX`] bytes.
    #[error("a catalog of {0} bytes is longer than {CATALOG_LEN_MAX}")]
    TooLong(usize),
    /// More than [`TRACKS_MAX`] tracks or pieces of initialization data.
    #[error("{0} tracks are more than {TRACKS_MAX}")]
    TooManyTracks(usize),
    /// Something else than a JSON object.
    #[error("a catalog is a JSON object")]
    NotAnObject,
    /// Not JSON, or not of a catalog's form.
    #[error("not a catalog: {0}")]
    Json(#[from] serde_json::Error),
    /// A change to an earlier catalog and not a whole one.
    #[error("the catalog is a delta to an earlier one")]
    Delta,
    /// A track refers to initialization data that is not there.
    #[error("no initialization data `{0}`")]
    NoInitData(String),
    /// Initialization data that is not in the catalog itself, or is not base64.
    #[error("the initialization data `{0}` cannot be read")]
    BadInitData(String),
}

/// A whole catalog.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// The draft of the format.
    pub version: String,
    /// When the catalog was made, in ms since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<u64>,
    /// Whether no track will be added any more.
    #[serde(skip_serializing_if = "is_false")]
    pub is_complete: bool,
    /// The tracks.
    pub tracks: Vec<Track>,
    /// What the tracks' `init_ref` refer to.
    #[serde(rename = "initDataList", skip_serializing_if = "Vec::is_empty")]
    pub init_data: Vec<InitData>,
}

/// A track. What is `None` is not in the catalog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Track {
    /// The track's name.
    pub name: String,
    /// The track's namespace, when it is not the catalog's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How media lie in objects.
    pub packaging: String,
    /// Whether objects are still being added.
    pub is_live: bool,
    /// What the track is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Tracks of the same group are rendered together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::int")]
    pub render_group: Option<u64>,
    /// Tracks of the same group replace each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::int")]
    pub alt_group: Option<u64>,
    /// How far behind live a player should render, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::int")]
    pub target_latency: Option<u64>,
    /// The codec string of WebCodecs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::int")]
    pub width: Option<u64>,
    /// Height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::int")]
    pub height: Option<u64>,
    /// Frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framerate: Option<f64>,
    /// Ticks per second of timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::int")]
    pub timescale: Option<u64>,
    /// The largest bitrate, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::int")]
    pub bitrate: Option<u64>,
    /// Samples per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::int")]
    pub samplerate: Option<u64>,
    /// The channels: their number as text, or a layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::text")]
    pub channel_config: Option<String>,
    /// The language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The id of the decoder's configuration among the catalog's initialization data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "lenient::text")]
    pub init_ref: Option<String>,
}

/// A decoder's configuration, or where it is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitData {
    /// What tracks refer to.
    #[serde(deserialize_with = "lenient::required_text")]
    pub id: String,
    /// `inline`, or which property has it.
    #[serde(rename = "type")]
    pub kind: String,
    /// For `inline`, the bytes in base64.
    #[serde(default)]
    pub data: String,
}

/// A catalog as it may come.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    #[serde(deserialize_with = "lenient::text")]
    version: Option<String>,
    #[serde(deserialize_with = "lenient::int")]
    generated_at: Option<u64>,
    is_complete: bool,
    tracks: Vec<Track>,
    init_data_list: Vec<InitData>,
    delta_update: Option<IgnoredAny>,
}

impl Track {
    /// A live LOC track with timestamps in microseconds.
    pub fn live(name: impl Into<String>, role: &str, codec: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            packaging: PACKAGING_LOC.to_owned(),
            is_live: true,
            role: Some(role.to_owned()),
            render_group: Some(RENDER_GROUP),
            codec: Some(codec.into()),
            timescale: Some(crate::loc::MICROSECONDS),
            ..Self::default()
        }
    }
}

impl Catalog {
    /// The catalog of a live stream, without tracks. `generated_at_ms` is since 1970.
    pub fn live(generated_at_ms: u64) -> Self {
        Self {
            version: VERSION.to_owned(),
            generated_at: Some(generated_at_ms),
            is_complete: false,
            tracks: Vec::new(),
            init_data: Vec::new(),
        }
    }

    /// The catalog that ends a stream: no tracks, and none to come.
    pub fn ended(generated_at_ms: u64) -> Self {
        Self {
            is_complete: true,
            ..Self::live(generated_at_ms)
        }
    }

    /// Adds a track, and the configuration of its decoder when there is one, under the track's
    /// name.
    pub fn push(&mut self, mut track: Track, config: Option<&[u8]>) {
        if let Some(config) = config {
            track.init_ref = Some(track.name.clone());
            self.init_data.push(InitData {
                id: track.name.clone(),
                kind: INLINE.to_owned(),
                data: STANDARD.encode(config),
            });
        }
        self.tracks.push(track);
    }

    /// The track of a role.
    pub fn track_of(&self, role: &str) -> Option<&Track> {
        let mut tracks = self.tracks.iter();
        tracks.find(|track| track.role.as_deref() == Some(role))
    }

    /// The configuration of a track's decoder; `None` when the track names none.
    pub fn config_of(&self, track: &Track) -> Result<Option<Bytes>, CatalogError> {
        let Some(id) = &track.init_ref else {
            return Ok(None);
        };
        let mut list = self.init_data.iter();
        let Some(init) = list.find(|init| init.id == *id) else {
            return Err(CatalogError::NoInitData(id.clone()));
        };
        match STANDARD.decode(&init.data) {
            Ok(config) if init.kind == INLINE => Ok(Some(config.into())),
            _ => Err(CatalogError::BadInitData(id.clone())),
        }
    }

    /// The catalog as JSON. No value of it may contain `%`, which the format keeps for variables.
    pub fn to_json(&self) -> Vec<u8> {
        // Only maps with keys that are no strings cannot be written, and there is none.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a whole catalog.
    pub fn parse(json: &[u8]) -> Result<Self, CatalogError> {
        if json.len() > CATALOG_LEN_MAX {
            return Err(CatalogError::TooLong(json.len()));
        }
        // A derived reader would take an array for a struct, too.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(CatalogError::NotAnObject);
        }
        let mut document: Document = serde_json::from_slice(json)?;
        if document.delta_update.is_some() {
            return Err(CatalogError::Delta);
        }
        let count = document.tracks.len().max(document.init_data_list.len());
        if count > TRACKS_MAX {
            return Err(CatalogError::TooManyTracks(count));
        }
        // Nobody can subscribe to a track without a name.
        document.tracks.retain(|track| !track.name.is_empty());
        Ok(Self {
            version: document.version.unwrap_or_default(),
            generated_at: document.generated_at,
            is_complete: document.is_complete,
            tracks: document.tracks,
            init_data: document.init_data_list,
        })
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
