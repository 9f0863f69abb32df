//! The configuration, read anew while the relay runs.
//!
//! Who may do what and the certificate change at once, for what comes from then on; nobody is
//! dropped. The rest is named and waits for a restart. A configuration with a mistake changes
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tracing::warn;

use crate::auth::Policy;
use crate::config::{Config, ConfigError, Options};
use crate::endpoint::{self, Certificate, CertificateError};
use crate::session;
use crate::shard::Shared;

/// What came of reading the configuration anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// What is as the configuration says from now on.
    pub applied: Vec<&'static str>,
    /// What differs from what the relay runs with, and stays as it is until a restart.
    pub needs_restart: Vec<&'static str>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has a mistake.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Reads the configuration anew, from where the relay had it.
#[derive(Debug)]
pub struct Reloader {
    pub(super) options: Options,
    /// What the relay was started with.
    pub(super) running: Config,
    pub(super) shared: Arc<Shared>,
}

impl Reloader {
    /// Applies what can change. Reads files, so it is not for the threads that carry media.
    ///
    /// # Errors
    ///
    /// When the configuration has a mistake; then nothing has changed.
    pub fn reload(&self) -> Result<Applied, ReloadError> {
        let config = Config::read(&self.options)?;
        let certificate = match (&config.tls, &self.running.tls) {
            (Some((chain, key)), Some(_)) => Some(Certificate::from_files(chain, key)?),
            (None, _) | (_, None) => None,
        };
        // Everything has been checked: from here on nothing can fail.
        let mut applied = Applied {
            applied: vec!["auth"],
            needs_restart: differences(&self.running, &config),
        };
        self.shared.policy.send_replace(Arc::new(config.auth));
        // What was said before may not hold any more.
        *self.shared.answers.lock() = Default::default();
        if let Some(certificate) = certificate {
            self.shared.certificate.replace(certificate);
            applied.applied.push("tls");
        }
        Ok(applied)
    }

    /// Fetches the keys that come from another server anew. Nothing else changes, and the keys
    /// stay as they are when they cannot be had.
    pub(super) fn refresh_keys(&self) {
        match Config::read(&self.options) {
            Ok(config) => self.shared.policy.send_modify(|policy| {
                let tokens = config.auth.tokens;
                *policy = Arc::new(Policy {
                    tokens,
                    ..Policy::clone(policy)
                });
            }),
            Err(error) => warn!(%error, "the keys stay as they were"),
        }
    }
}

/// The sections that differ, of those that are settled at the start.
fn differences(running: &Config, read: &Config) -> Vec<&'static str> {
    let sections = |config: &Config| {
        let Config {
            rtmp, quic, http, ..
        } = config;
        let session = &config.session;
        let (reports, drain_to) = (session.reports, &session.drain_to);
        // What is said of it in other sections.
        let viewer = session::Config {
            reports: true,
            drain_to: None,
            drain_limit: Duration::ZERO,
            ..session.clone()
        };
        let endpoint = endpoint::Config {
            max_requests: 0,
            ..config.endpoint
        };
        let viewer = (viewer, endpoint, &config.play);
        let names = (config.registry.max_streams, config.registry.cache_bytes);
        let limits = (&config.limits, names, config.endpoint.max_requests);
        let limits = (limits, session.drain_limit);
        [
            (
                "listen",
                format!("{:?}", (rtmp, config.rtmps, quic, http, &config.takeover)),
            ),
            ("shards", config.shards.to_string()),
            ("tls", config.tls.is_some().to_string()),
            ("publisher", format!("{:?}", config.ingest)),
            ("stream", format!("{:?}", config.registry.stream)),
            ("viewer", format!("{viewer:?}")),
            ("player", reports.to_string()),
            ("limits", format!("{limits:?}")),
            ("edge", format!("{:?} {drain_to:?}", config.upstream)),
        ]
    };
    let pairs = sections(running).into_iter().zip(sections(read));
    let differing = pairs.filter(|(running, read)| running != read);
    differing.map(|((name, _), _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    #[test]
    fn sections_that_differ_are_named() {
        let config = |text: &str| {
            let file = File::parse(text, "weir.toml").unwrap();
            Config::new(&Options::default(), &file).unwrap()
        };
        let running = config("shards = 1\n");
        assert!(differences(&running, &running).is_empty());
        let read = config("shards = 1\n[limits]\nsessions = 7\n[auth]\nwatch = \"loopback\"\n");
        assert_eq!(differences(&running, &read), ["limits"]);
        let read = config("shards = 2\n[listen]\nhttp = \"127.0.0.1:1\"\n");
        assert_eq!(differences(&running, &read), ["listen", "shards"]);
        let upstream = "shards = 1\n[edge]\nupstream = [\"moqt://origin.example\"]\n";
        assert_eq!(differences(&running, &config(upstream)), ["edge"]);
        let read = config("shards = 1\n[player]\nreports = false\n");
        assert_eq!(differences(&running, &read), ["player"]);
    }
}
