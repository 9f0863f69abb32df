//! The section `auth` of the file: who may do what.

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::value::Datetime;

use super::{ConfigError, bounded};
use crate::ask;
use crate::auth::{Action, Addresses, Door, Key, Policy, Secret, Tokens, Webhook};

/// The section as it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthSection {
    publish: Option<Door>,
    watch: Option<Door>,
    control: Option<Door>,
    allow: Vec<String>,
    deny: Vec<String>,
    key: Vec<KeySection>,
    tokens: Option<TokensSection>,
    webhook: Option<WebhookSection>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeySection {
    stream: String,
    name: String,
    plain: Option<String>,
    hash: Option<String>,
    may: Option<Vec<Action>>,
    #[schemars(with = "Option<String>")]
    expires: Option<Datetime>,
    #[serde(default)]
    revoked: bool,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WebhookSection {
    url: String,
    timeout_ms: Option<u64>,
    cache_ms: Option<u64>,
    on_failure: Option<OnFailure>,
}

/// What holds while the webhook cannot be asked.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    Deny,
    Allow,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokensSection {
    jwks: String,
    issuer: Option<String>,
    audience: Option<String>,
}

impl AuthSection {
    /// Whether keys come from another server, which may have others later.
    pub(super) fn has_remote_keys(&self) -> bool {
        self.tokens
            .as_ref()
            .is_some_and(|tokens| is_url(&tokens.jwks))
    }

    /// The policy that the section describes. Reads the files that it names.
    pub(super) fn policy(&self) -> Result<Policy, ConfigError> {
        let default = Policy::default();
        if self.key.len() > KEYS_MAX {
            return Err(wrong("auth.key", format!("there may be {KEYS_MAX} keys")));
        }
        let keys = self.key.iter().map(KeySection::key);
        let tokens = self
            .tokens
            .as_ref()
            .map(TokensSection::tokens)
            .transpose()?;
        Ok(Policy {
            addresses: Addresses {
                allow: networks("auth.allow", &self.allow)?,
                deny: networks("auth.deny", &self.deny)?,
            },
            publish: self.publish.unwrap_or(default.publish),
            watch: self.watch.unwrap_or(default.watch),
            control: self.control.unwrap_or(default.control),
            keys: keys.collect::<Result<_, _>>()?,
            tokens,
            webhook: self
                .webhook
                .as_ref()
                .map(WebhookSection::hook)
                .transpose()?,
        })
    }
}

impl KeySection {
    fn key(&self) -> Result<Key, ConfigError> {
        let at = format!("auth.key {:?}", self.name);
        let secret = match (&self.plain, &self.hash) {
            (Some(plain), None) => Secret::plain(plain),
            (None, Some(hash)) => Secret::hash(hash),
            (Some(_), Some(_)) | (None, None) => {
                return Err(wrong(&at, "give either plain or hash".to_owned()));
            }
        };
        let stream = weir_protocol::moqt::Namespace::from_path(&self.stream);
        let stream = stream.map_err(|error| wrong(&at, format!("stream: {error}")))?;
        let expires = self.expires.as_ref().map(unix_s).transpose();
        Ok(Key {
            stream: stream.to_string(),
            name: self.name.clone(),
            secret: secret.map_err(|error| wrong(&at, error.to_string()))?,
            may: self.may.clone().unwrap_or_else(|| vec![Action::Publish]),
            expires_s: expires.map_err(|reason| wrong(&at, reason))?,
            revoked: self.revoked,
        })
    }
}

impl TokensSection {
    fn tokens(&self) -> Result<Tokens, ConfigError> {
        let text = match is_url(&self.jwks) {
            true => ask::get(&self.jwks, JWKS_PATIENCE)
                .map_err(|error| wrong("auth.tokens.jwks", format!("{}: {error}", self.jwks)))?,
            false => read(Path::new(&self.jwks))?,
        };
        Tokens::new(&text, self.issuer.clone(), self.audience.clone())
            .map_err(|error| wrong("auth.tokens.jwks", error.to_string()))
    }
}

impl WebhookSection {
    fn hook(&self) -> Result<Webhook, ConfigError> {
        if !is_url(&self.url) {
            let reason = "give a URL that begins with http:// or https://".to_owned();
            return Err(wrong("auth.webhook.url", reason));
        }
        let timeout_ms = self.timeout_ms.unwrap_or(2_000);
        let timeout_ms = bounded("auth.webhook.timeout_ms", timeout_ms, 50, 30_000)?;
        let cache_ms = self.cache_ms.unwrap_or(10_000);
        Ok(Webhook {
            url: self.url.clone(),
            timeout: Duration::from_millis(timeout_ms),
            open: matches!(self.on_failure, Some(OnFailure::Allow)),
            cache_us: bounded("auth.webhook.cache_ms", cache_ms, 0, 3_600_000)? * 1000,
        })
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable {
        path: path.display().to_string(),
        reason,
    })
}

fn networks(key: &str, texts: &[String]) -> Result<Vec<ipnet::IpNet>, ConfigError> {
    if texts.len() > NETWORKS_MAX {
        return Err(wrong(key, format!("there may be {NETWORKS_MAX} networks")));
    }
    let networks = texts.iter().map(|text| Addresses::parse(text));
    networks
        .collect::<Result<_, _>>()
        .map_err(|reason| wrong(key, reason))
}

/// Seconds since 1970 of a date and time with its offset; a date alone is its first moment in UTC.
fn unix_s(datetime: &Datetime) -> Result<u64, String> {
    let form = || "expires: give a time like 2027-01-31T12:00:00Z".to_owned();
    let date = datetime.date.ok_or_else(form)?;
    let month = time::Month::try_from(date.month).map_err(|_| form())?;
    let day = time::Date::from_calendar_date(date.year.into(), month, date.day);
    let clock = match datetime.time {
        Some(at) => time::Time::from_hms(at.hour, at.minute, at.second.unwrap_or(0)),
        None => Ok(time::Time::MIDNIGHT),
    };
    let moment = day
        .map_err(|_| form())?
        .with_time(clock.map_err(|_| form())?);
    let minutes = match datetime.offset {
        Some(toml::value::Offset::Custom { minutes }) => minutes,
        Some(toml::value::Offset::Z) => 0,
        None if datetime.time.is_none() => 0,
        None => return Err(form()),
    };
    let local_s = moment.assume_utc().unix_timestamp();
    u64::try_from(local_s - i64::from(minutes) * 60).map_err(|_| form())
}

fn wrong(key: &str, reason: String) -> ConfigError {
    ConfigError::Contradiction(format!("{key}: {reason}"))
}

/// How long a key set may take to come.
const JWKS_PATIENCE: Duration = Duration::from_secs(5);

/// Keys in a file: more belong into a service that is asked.
const KEYS_MAX: usize = 10_000;

/// Networks in a list: every new connection is compared with each.
const NETWORKS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<Policy, String> {
        let section: AuthSection = toml::from_str(text).map_err(|error| error.to_string())?;
        section.policy().map_err(|error| error.to_string())
    }

    #[test]
    fn section_becomes_a_policy() {
        let read = policy(
            "watch = \"credential\"\nallow = [\"10.0.0.0/8\"]\n\
             [[key]]\nstream = \"live/cam\"\nname = \"studio\"\nplain = \"long enough\"\n\
             expires = 2027-01-01T01:00:00+01:00\nmay = [\"publish\", \"watch\"]\n",
        )
        .unwrap();
        assert_eq!(read.watch, Door::Credential);
        assert_eq!(read.publish, Door::Loopback);
        assert_eq!(read.keys[0].expires_s, Some(1_798_761_600));
        assert_eq!(read.keys[0].may, [Action::Publish, Action::Watch]);
        let shown = format!("{read:?}");
        assert!(!shown.contains("long enough"), "{shown}");
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        let key = |rest: &str| policy(&format!("[[key]]\nstream = \"a/b\"\nname = \"n\"\n{rest}"));
        let short = key("plain = \"secret\"\n").unwrap_err();
        assert!(
            short.contains("\"n\"") && short.contains("weir key"),
            "{short}"
        );
        assert!(!short.contains("secret"), "{short}");
        assert!(key("").unwrap_err().contains("either plain or hash"));
        assert!(key("hash = \"md5:00\"\n").unwrap_err().contains("sha256:"));
        let time = key("plain = \"long enough\"\nexpires = 2027-01-01T00:00:00\n").unwrap_err();
        assert!(time.contains("2027-01-31T12:00:00Z"), "{time}");
        assert!(
            policy("allow = [\"ten\"]\n")
                .unwrap_err()
                .contains("10.0.0.0/8")
        );
        let hook = policy("[webhook]\nurl = \"ftp://x\"\n").unwrap_err();
        assert!(hook.contains("http://"), "{hook}");
        let file = policy("[tokens]\njwks = \"/nowhere\"\n").unwrap_err();
        assert!(file.starts_with("/nowhere"), "{file}");
    }
}
