//! Flags, environment and file into one checked [`Config`].
//!
//! Three layers: flags and environment ([`Options`], by clap), the file ([`File`], by serde), and
//! the values that the relay runs with. A flag wins over the environment, which wins over the
//! file, which wins over the default. Each module owns its own part of [`Config`].

mod auth;
mod limits;

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use self::auth::AuthSection;
use self::limits::LimitsSection;
use crate::auth::Policy;
use crate::client::Address;
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
}

/// The configuration file as it is written. `relay/weir.example.toml` has every key.
#[derive(Clone, Debug, Default, Deserialize)]
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

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Listen {
    rtmp: Option<SocketAddr>,
    quic: Option<SocketAddr>,
    http: Option<SocketAddr>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PublisherSection {
    publish_timeout_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    max_message_mib: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StreamSection {
    linger_ms: Option<u64>,
    cache_ms: Option<u64>,
    cache_mib: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ViewerSection {
    behind_limit_ms: Option<u64>,
    play_wait_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PlayerSection {
    reports: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EdgeSection {
    upstream: Vec<String>,
    linger_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    drain_to: Option<String>,
}

/// What the relay runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where publishers come.
    pub rtmp: Listener,
    /// Where viewers come.
    pub quic: Listener,
    /// Where pages, API and metrics are.
    pub http: Listener,
    /// Threads that carry media.
    pub shards: u8,
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
    /// Reads and parses a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable {
            path: shown.clone(),
            reason,
        })?;
        Self::parse(&text, &shown)
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
    /// Reads the file that the options name, if they do, and puts the layers together.
    pub fn read(options: &Options) -> Result<Self, ConfigError> {
        let file = match &options.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        Self::new(options, &file)
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
        let mut config = Self {
            rtmp: Listener::new(options.rtmp.or(file.listen.rtmp), 1935),
            quic: Listener::new(options.quic.or(file.listen.quic), 4443),
            http: Listener::new(options.http.or(file.listen.http), 8080),
            shards: options
                .shards
                .or(file.shards)
                .map_or_else(default_shards, NonZeroU8::get),
            tls,
            limits: file.limits.pressure()?,
            registry: registry::Config::default(),
            endpoint: endpoint::Config::default(),
            session: session::Config::default(),
            ingest: ingest::Config::default(),
            play: play::Config::default(),
            upstream: upstream::Config::default(),
            auth: file.auth.policy()?,
        };
        file.limits.apply(&mut config)?;
        config.apply_publisher(&file.publisher)?;
        config.apply_stream(&file.stream)?;
        config.apply_viewer(&file.viewer)?;
        let session = &mut config.session;
        session.reports = file.player.reports.unwrap_or(session.reports);
        config.apply_edge(options, &file.edge)?;
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

impl Config {
    fn apply_edge(&mut self, options: &Options, section: &EdgeSection) -> Result<(), ConfigError> {
        let address = |key: &str, url: &String| {
            let wrong = |error| ConfigError::Contradiction(format!("{key}: {error}"));
            Address::parse(url).map_err(wrong)
        };
        let upstreams = match options.upstream.is_empty() {
            true => &section.upstream,
            false => &options.upstream,
        };
        let upstreams = upstreams.iter().map(|url| address("upstream", url));
        self.upstream.upstreams = upstreams.collect::<Result<_, _>>()?;
        let drain_to = options.drain_to.as_ref().or(section.drain_to.as_ref());
        if let Some(url) = drain_to {
            address("drain_to", url)?;
            self.session.drain_to = Some(url.clone());
        }
        if let Some(ms) = section.linger_ms {
            let ms = bounded("edge.linger_ms", ms, 0, 3_600_000)?;
            self.upstream.linger = Duration::from_millis(ms);
        }
        if let Some(ms) = section.idle_timeout_ms {
            let ms = bounded("edge.idle_timeout_ms", ms, 500, 60_000)?;
            self.upstream.idle_timeout = Duration::from_millis(ms);
        }
        Ok(())
    }
}

impl Listener {
    fn new(addr: Option<SocketAddr>, default_port: u16) -> Self {
        addr.map_or(Self::Anywhere(default_port), Self::At)
    }
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

/// Shards on a machine with more cores than a shard's number can count.
const MAX_DEFAULT_SHARDS: u8 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, ConfigError> {
        Config::new(&Options::default(), &File::parse(text, "weir.toml")?)
    }

    #[test]
    fn flag_wins_over_file_and_file_over_default() {
        let file = File::parse("shards = 3\n[listen]\nrtmp = \"127.0.0.1:1\"\n", "f").unwrap();
        let options = Options {
            shards: NonZeroU8::new(2),
            ..Options::default()
        };
        let config = Config::new(&options, &file).unwrap();
        assert_eq!(config.shards, 2);
        assert_eq!(config.rtmp, Listener::At(([127, 0, 0, 1], 1).into()));
        assert_eq!(config.quic, Listener::Anywhere(4443));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let unknown = config("shards = 1\n[listen]\nrmtp = \"127.0.0.1:1\"\n").unwrap_err();
        let text = unknown.to_string();
        assert!(text.starts_with("weir.toml:3: "), "{text}");
        assert!(text.contains("rmtp") && text.contains("rtmp"), "{text}");
        let kind = config("[stream]\nlinger_ms = \"long\"\n").unwrap_err();
        assert!(kind.to_string().starts_with("weir.toml:2: "), "{kind}");
        let range = config("[viewer]\nbehind_limit_ms = 1\n").unwrap_err();
        assert!(range.to_string().contains("50 to 600000"), "{range}");
        let half = config("[tls]\ncert = \"c.pem\"\n").unwrap_err();
        assert!(half.to_string().contains("tls.key"), "{half}");
    }

    #[test]
    fn example_file_has_every_key_with_its_default() {
        let example = include_str!("../weir.example.toml");
        let uncommented: String = example
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        File::parse(&uncommented, "weir.example.toml").unwrap();
        // Of those without a fixed default some name files, which are not here.
        let file = File::parse(example, "weir.example.toml").unwrap();
        let told = Config::new(&Options::default(), &file).unwrap();
        let silent = config("").unwrap();
        let shown = |config: &Config| {
            let parts = (&config.registry, &config.session, &config.ingest);
            let others = (&config.endpoint, &config.play, &config.upstream);
            format!("{parts:?} {others:?} {:?}", config.auth)
        };
        assert_eq!(shown(&told), shown(&silent));
        assert_eq!(told.limits, silent.limits);
    }
}
