//! Flags, environment and file into one checked [`Config`].
//!
//! Three layers: flags and their variables ([`Options`], by clap), the file ([`File`], by serde)
//! with the variables of its keys over it ([`Environment`]), and the values that the relay runs
//! with. A flag wins over the environment, which wins over the file, which wins over the default.
//! Each module owns its own part of [`Config`].

mod auth;
mod edge;
mod environment;
mod limits;

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use self::auth::AuthSection;
use self::edge::EdgeSection;
pub use self::environment::Environment;
use self::limits::LimitsSection;
use crate::auth::Policy;
use crate::{endpoint, ingest, play, pressure, registry, session, upstream};

/// What `weir serve` can be told on its command line or by its environment.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Configuration file (TOML); `weir check FILE` says whether it is right
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address for RTMP publishers [default: port 1935 on every address]
    #[arg(long, value_name = "ADDR", env = "WEIR_RTMP")]
    pub rtmp: Option<SocketAddr>,
    /// Address for viewers over QUIC and WebTransport (UDP) [default: port 4443 on every address]
    #[arg(long, value_name = "ADDR", env = "WEIR_QUIC")]
    pub quic: Option<SocketAddr>,
    /// Address for pages, API and metrics [default: port 8080 on every address]
    #[arg(long, value_name = "ADDR", env = "WEIR_HTTP")]
    pub http: Option<SocketAddr>,
    /// Address for RTMP publishers over TLS (RTMPS) [default: none]
    #[arg(long, value_name = "ADDR", env = "WEIR_RTMPS")]
    pub rtmps: Option<SocketAddr>,
    /// Threads that carry media [default: one a core]
    #[arg(long, value_name = "N", env = "WEIR_SHARDS")]
    pub shards: Option<NonZeroU8>,
    /// Certificate chain (PEM) [default: self-made, accepted by browsers by its hash]
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Relay whose streams are served here too, the preferred one first (repeatable):
    /// moqt://HOST:PORT, with ?cert-sha256=HEX or ?insecure for a self-made certificate
    #[arg(long, value_name = "URL", env = "WEIR_UPSTREAM", value_delimiter = ',')]
    pub upstream: Vec<String>,
    /// Address that viewers and edges are sent to when this relay stops
    #[arg(long, value_name = "URL", env = "WEIR_DRAIN_TO")]
    pub drain_to: Option<String>,
    /// Unix socket over which a newer relay takes this one's place: at its start it takes over
    /// the sockets of whoever answers there
    #[arg(long, value_name = "PATH", env = "WEIR_TAKEOVER")]
    pub takeover: Option<PathBuf>,
}

/// The configuration file as it is written. `relay/weir.example.toml` has every key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    shards: Option<NonZeroU8>,
    listen: Listen,
    tls: Tls,
    publisher: PublisherSection,
    stream: StreamSection,
    viewer: ViewerSection,
    player: PlayerSection,
    edge: EdgeSection,
    limits: LimitsSection,
    auth: AuthSection,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Listen {
    rtmp: Option<SocketAddr>,
    rtmps: Option<SocketAddr>,
    quic: Option<SocketAddr>,
    http: Option<SocketAddr>,
    takeover: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PublisherSection {
    publish_timeout_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    max_message_mib: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct StreamSection {
    linger_ms: Option<u64>,
    cache_ms: Option<u64>,
    cache_mib: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ViewerSection {
    behind_limit_ms: Option<u64>,
    play_wait_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct PlayerSection {
    reports: Option<bool>,
}

/// What the relay runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where publishers come.
    pub rtmp: Listener,
    /// Where publishers over TLS come; none for nowhere.
    pub rtmps: Option<SocketAddr>,
    /// Where viewers come.
    pub quic: Listener,
    /// Where pages, API and metrics are.
    pub http: Listener,
    /// Threads that carry media.
    pub shards: u8,
    /// Where a newer relay takes this one's place; none for nowhere.
    pub takeover: Option<PathBuf>,
    /// Certificate chain and key; none for a self-made one.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What the relay takes on.
    pub limits: pressure::Config,
    /// The streams' limits.
    pub registry: registry::Config,
    /// The endpoints' limits.
    pub endpoint: endpoint::Config,
    /// The sessions' limits.
    pub session: session::Config,
    /// The publishers' limits.
    pub ingest: ingest::Config,
    /// The limits of players over RTMP.
    pub play: play::Config,
    /// The relays that this one is an edge of.
    pub upstream: upstream::Config,
    /// Who may do what.
    pub auth: Policy,
    /// Whether keys come from another server, and are fetched anew from time to time.
    pub remote_keys: bool,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// This one, or nothing.
    At(SocketAddr),
    /// This port on every address, IPv4 alone where there is no IPv6.
    Anywhere(u16),
}

/// Why a configuration is refused: one line that says where, what and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {reason}; give a file that weir can read to --config")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}:{line}: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Two settings contradict each other, or a value is out of range.
    #[error("{0}")]
    Contradiction(String),
}

impl File {
    /// The JSON schema of a file, in which the example has a line for every key.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Reads and parses a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_under(path, &Environment::default())
    }

    fn read_under(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable {
            path: shown.clone(),
            reason,
        })?;
        environment.over(&text, &shown)
    }

    /// Parses the text of a file named `path`.
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.get(..at).unwrap_or_default();
            ConfigError::Malformed {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                reason: error.message().replace('\n', "; "),
            }
        })
    }
}

impl Config {
    /// Reads the file that the options name, if they do, and the environment, and puts the layers
    /// together.
    pub fn read(options: &Options) -> Result<Self, ConfigError> {
        let environment = Environment::read()?;
        let file = match &options.config {
            Some(path) => File::read_under(path, &environment)?,
            None => environment.over("", "")?,
        };
        Self::new(options, &file).map_err(|error| environment.blame(error))
    }

    /// Puts the layers together.
    pub fn new(options: &Options, file: &File) -> Result<Self, ConfigError> {
        let cert = options.tls_cert.clone().or_else(|| file.tls.cert.clone());
        let key = options.tls_key.clone().or_else(|| file.tls.key.clone());
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(contradiction("tls.cert is set without tls.key")),
            (None, Some(_)) => return Err(contradiction("tls.key is set without tls.cert")),
        };
        let shards = options.shards.or(file.shards);
        let shards = shards.map_or_else(default_shards, NonZeroU8::get);
        let mut config = Self {
            rtmp: Listener::new(options.rtmp.or(file.listen.rtmp), 1935),
            rtmps: options.rtmps.or(file.listen.rtmps),
            quic: Listener::new(options.quic.or(file.listen.quic), 4443),
            http: Listener::new(options.http.or(file.listen.http), 8080),
            shards,
            takeover: takeover(options, file, shards)?,
            tls,
            limits: file.limits.pressure()?,
            registry: registry::Config::default(),
            endpoint: endpoint::Config::default(),
            session: session::Config::default(),
            ingest: ingest::Config::default(),
            play: play::Config::default(),
            upstream: upstream::Config::default(),
            auth: file.auth.policy()?,
            remote_keys: file.auth.has_remote_keys(),
        };
        file.limits.apply(&mut config)?;
        config.apply_publisher(&file.publisher)?;
        config.apply_stream(&file.stream)?;
        config.apply_viewer(&file.viewer)?;
        let session = &mut config.session;
        session.reports = file.player.reports.unwrap_or(session.reports);
        file.edge.apply(options, &mut config)?;
        Ok(config)
    }

    fn apply_publisher(&mut self, section: &PublisherSection) -> Result<(), ConfigError> {
        if let Some(ms) = section.publish_timeout_ms {
            let ms = bounded("publisher.publish_timeout_ms", ms, 100, 600_000)?;
            self.ingest.publish_timeout = Duration::from_millis(ms);
        }
        if let Some(ms) = section.idle_timeout_ms {
            let ms = bounded("publisher.idle_timeout_ms", ms, 1_000, 600_000)?;
            self.ingest.idle_timeout = Duration::from_millis(ms);
        }
        if let Some(mib) = section.max_message_mib {
            let mib = bounded("publisher.max_message_mib", mib.into(), 1, 16)?;
            let bytes = usize::try_from(mib << 20).unwrap_or(usize::MAX);
            // Beside the largest message others have begun: see the limits' own defaults.
            self.ingest.limits.media_bytes = bytes;
            self.ingest.limits.partial_bytes = bytes + bytes / 2;
        }
        Ok(())
    }

    fn apply_stream(&mut self, section: &StreamSection) -> Result<(), ConfigError> {
        let stream = &mut self.registry.stream;
        if let Some(ms) = section.linger_ms {
            stream.linger_us = bounded("stream.linger_ms", ms, 0, 3_600_000)? * 1000;
        }
        if let Some(ms) = section.cache_ms {
            stream.ring.cache_us = bounded("stream.cache_ms", ms, 0, 3_600_000)? * 1000;
        }
        if let Some(mib) = section.cache_mib {
            stream.ring.cache_bytes = usize::from(mib) << 20;
        }
        Ok(())
    }

    fn apply_viewer(&mut self, section: &ViewerSection) -> Result<(), ConfigError> {
        if let Some(ms) = section.behind_limit_ms {
            let ms = bounded("viewer.behind_limit_ms", ms, 50, 600_000)?;
            self.session.behind_limit_us = ms * 1000;
            self.play.behind_limit_us = ms * 1000;
        }
        if let Some(ms) = section.play_wait_ms {
            let ms = bounded("viewer.play_wait_ms", ms, 0, 600_000)?;
            self.play.wait_limit = Duration::from_millis(ms);
        }
        if let Some(ms) = section.idle_timeout_ms {
            let ms = bounded("viewer.idle_timeout_ms", ms, 1_000, 600_000)?;
            self.endpoint.idle_timeout = Duration::from_millis(ms);
        }
        Ok(())
    }
}

impl Listener {
    fn new(addr: Option<SocketAddr>, default_port: u16) -> Self {
        addr.map_or(Self::Anywhere(default_port), Self::At)
    }
}

fn takeover(options: &Options, file: &File, shards: u8) -> Result<Option<PathBuf>, ConfigError> {
    let path = options.takeover.as_ref().or(file.listen.takeover.as_ref());
    if path.is_some() && shards > TAKEOVER_SHARDS_MAX {
        let reason =
            format!("listen.takeover takes {TAKEOVER_SHARDS_MAX} shards at most: set them");
        return Err(ConfigError::Contradiction(reason));
    }
    Ok(path.cloned())
}

fn contradiction(reason: &str) -> ConfigError {
    ConfigError::Contradiction(format!("{reason}: give both or neither"))
}

fn bounded(key: &str, value: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(ConfigError::Contradiction(format!(
            "{key} is {value}: give a number from {least} to {most}"
        ))),
    }
}

fn default_shards() -> u8 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    u8::try_from(cores).unwrap_or(MAX_DEFAULT_SHARDS)
}

/// Shards of a relay that can be taken over: two relays' fit into a byte.
const TAKEOVER_SHARDS_MAX: u8 = 64;

/// Shards on a machine with more cores than a shard's number can count.
const MAX_DEFAULT_SHARDS: u8 = 255;

#[cfg(test)]
mod tests;
