//! The section `edge` of the file: the relays that this one is an edge of.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Config, ConfigError, Options, bounded};
use crate::client::Address;

/// The section as it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EdgeSection {
    upstream: Vec<String>,
    linger_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    drain_to: Option<String>,
}

impl EdgeSection {
    /// Puts the section and the options into the configuration.
    pub(super) fn apply(&self, options: &Options, config: &mut Config) -> Result<(), ConfigError> {
        let address = |key: &str, url: &String| {
            let wrong = |error| ConfigError::Contradiction(format!("{key}: {error}"));
            Address::parse(url).map_err(wrong)
        };
        let upstreams = match options.upstream.is_empty() {
            true => &self.upstream,
            false => &options.upstream,
        };
        let upstreams = upstreams.iter().map(|url| address("upstream", url));
        config.upstream.upstreams = upstreams.collect::<Result<_, _>>()?;
        let drain_to = options.drain_to.as_ref().or(self.drain_to.as_ref());
        if let Some(url) = drain_to {
            address("drain_to", url)?;
            config.session.drain_to = Some(url.clone());
        }
        if let Some(ms) = self.linger_ms {
            let ms = bounded("edge.linger_ms", ms, 0, 3_600_000)?;
            config.upstream.linger = Duration::from_millis(ms);
        }
        if let Some(ms) = self.idle_timeout_ms {
            let ms = bounded("edge.idle_timeout_ms", ms, 500, 60_000)?;
            config.upstream.idle_timeout = Duration::from_millis(ms);
        }
        Ok(())
    }
}
