//! The section `limits` of the file: what the relay takes on.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Config, ConfigError, bounded};
use crate::auth::Addresses;
use crate::client::Address;
use crate::pressure;

/// The section as it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    sessions: Option<u64>,
    publishers: Option<u64>,
    streams: Option<u64>,
    subscriptions: Option<u64>,
    http_connections: Option<u64>,
    handshakes: Option<u64>,
    retry_above: Option<u64>,
    stateless_per_second: Option<u64>,
    connections_per_address: Option<u64>,
    connects_per_second: Option<u64>,
    exempt: Option<Vec<String>>,
    requests_per_session: Option<u64>,
    requests_per_second: Option<u64>,
    busy_percent: Option<u64>,
    lag_ms: Option<u64>,
    memory_mib: Option<u64>,
    cache_mib: Option<u64>,
    redirect: Option<String>,
    drain_ms: Option<u64>,
}

impl LimitsSection {
    /// The limits that the section describes.
    pub(super) fn pressure(&self) -> Result<pressure::Config, ConfigError> {
        let mut limits = pressure::Config::default();
        let numbers = [
            ("sessions", self.sessions, &mut limits.sessions, 1),
            ("publishers", self.publishers, &mut limits.publishers, 1),
            (
                "subscriptions",
                self.subscriptions,
                &mut limits.subscriptions,
                1,
            ),
            (
                "http_connections",
                self.http_connections,
                &mut limits.http_connections,
                1,
            ),
            ("handshakes", self.handshakes, &mut limits.handshakes, 1),
            ("retry_above", self.retry_above, &mut limits.retry_above, 0),
        ];
        for (key, value, limit, least) in numbers {
            if let Some(value) = value {
                let value = bounded(&format!("limits.{key}"), value, least, 1_000_000)?;
                *limit = usize::try_from(value).unwrap_or(usize::MAX);
            }
        }
        let rates = [
            (
                "stateless_per_second",
                self.stateless_per_second,
                &mut limits.stateless_per_s,
            ),
            (
                "connections_per_address",
                self.connections_per_address,
                &mut limits.connections_per_address,
            ),
            (
                "connects_per_second",
                self.connects_per_second,
                &mut limits.connects_per_s,
            ),
            (
                "requests_per_second",
                self.requests_per_second,
                &mut limits.requests_per_s,
            ),
            ("busy_percent", self.busy_percent, &mut limits.busy_percent),
        ];
        for (key, value, limit) in rates {
            if let Some(value) = value {
                let value = bounded(&format!("limits.{key}"), value, 1, 1_000_000)?;
                *limit = u32::try_from(value).unwrap_or(u32::MAX);
            }
        }
        self.apply_load(&mut limits)?;
        Ok(limits)
    }

    /// What is too much, and what holds for whom.
    fn apply_load(&self, limits: &mut pressure::Config) -> Result<(), ConfigError> {
        if let Some(ms) = self.lag_ms {
            limits.lag_us = bounded("limits.lag_ms", ms, 1, 600_000)? * 1000;
        }
        if let Some(mib) = self.memory_mib {
            limits.memory = Some(bounded("limits.memory_mib", mib, 32, 16 << 20)? << 20);
        }
        if let Some(networks) = &self.exempt {
            let networks = networks.iter().map(|text| Addresses::parse(text));
            let wrong = |reason| ConfigError::Contradiction(format!("limits.exempt: {reason}"));
            limits.exempt = networks.collect::<Result<_, _>>().map_err(wrong)?;
        }
        if let Some(url) = &self.redirect {
            let wrong = |error| ConfigError::Contradiction(format!("limits.redirect: {error}"));
            Address::parse(url).map_err(wrong)?;
            limits.redirect = Some(url.clone());
        }
        Ok(())
    }

    /// The limits that belong to other rooms.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        if let Some(requests) = self.requests_per_session {
            let requests = bounded("limits.requests_per_session", requests, 8, 65_536)?;
            config.endpoint.max_requests = u32::try_from(requests).unwrap_or(u32::MAX);
        }
        if let Some(ms) = self.drain_ms {
            let ms = bounded("limits.drain_ms", ms, 0, 3_600_000)?;
            config.session.drain_limit = std::time::Duration::from_millis(ms);
        }
        if let Some(streams) = self.streams {
            let streams = bounded("limits.streams", streams, 1, 1_000_000)?;
            config.registry.max_streams = usize::try_from(streams).unwrap_or(usize::MAX);
        }
        if let Some(mib) = self.cache_mib {
            let bytes = bounded("limits.cache_mib", mib, 1, 16 << 20)? << 20;
            if config.limits.memory.is_some_and(|memory| bytes > memory) {
                let reason = "limits.cache_mib is more than limits.memory_mib: give less";
                return Err(ConfigError::Contradiction(reason.to_owned()));
            }
            config.registry.cache_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        Ok(())
    }
}
