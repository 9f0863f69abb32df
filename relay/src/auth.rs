//! Who may do what: one policy for every door; pure.
//!
//! 1. May this address come at all? ([`Addresses`]) If not: [`DenialKind::Address`].
//! 2. Does it show a credential, a token ([`Tokens`]) or one of the stream's keys ([`Key`])? It
//!    must be good: [`DenialKind::Wrong`], [`DenialKind::Expired`], [`DenialKind::Scope`].
//! 3. May it do without one? ([`Door`]) If not: [`DenialKind::Missing`].
//!
//! Where a [`Webhook`] is configured, it is asked about whom 2 and 3 do not let in.
//!
//! Without configuration everybody may watch, and publishing and the control pages are for the
//! relay's own machine. A stream that has keys is published with one of them, from there too.
//!
//! No credential is part of a [`Grant`] or a [`Denial`], whose texts go to peers and into the log.

mod address;
mod delay;
mod key;
#[cfg(test)]
mod tests;
mod token;
mod webhook;

use std::net::IpAddr;

pub use address::Addresses;
pub use delay::Delays;
pub use key::{Key, Secret, SecretError};
pub use token::{Claims, TokenError, Tokens};
pub use webhook::{Answer, Answers, Leave, Question, Webhook};

/// What somebody wants to do.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    serde::Deserialize,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Publish a stream.
    Publish,
    /// Watch a stream, live or past.
    Watch,
    /// Learn the names below a prefix.
    List,
    /// See the dashboard, the API and the metrics.
    Control,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Watch => "watch",
            Self::List => "list",
            Self::Control => "control",
        }
    }
}

/// Who needs no credential for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// Everybody.
    Anyone,
    /// Programs on the relay's own machine.
    Loopback,
    /// Nobody.
    Credential,
}

/// The policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Addresses that may come at all.
    pub addresses: Addresses,
    /// Who publishes streams that have no keys.
    pub publish: Door,
    /// Who watches.
    pub watch: Door,
    /// Who sees the control pages.
    pub control: Door,
    /// The streams' keys.
    pub keys: Vec<Key>,
    /// How tokens are verified; none to take none.
    pub tokens: Option<Tokens>,
    /// Who decides about whom nothing else lets in; none for nobody.
    pub webhook: Option<Webhook>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            publish: Door::Loopback,
            watch: Door::Anyone,
            control: Door::Loopback,
            keys: Vec::new(),
            tokens: None,
            webhook: None,
        }
    }
}

/// Somebody at a door.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What it wants to do.
    pub action: Action,
    /// The stream, as `live/cam`; a prefix for [`Action::List`]; empty for [`Action::Control`].
    pub name: String,
    /// Where it comes from.
    pub addr: IpAddr,
    /// What it shows: keys or tokens, the most particular first.
    pub credentials: Vec<String>,
    /// Whether the last part of the name may be a key, as encoders have one field for both.
    pub key_in_name: bool,
    /// Seconds since 1970.
    pub now_s: u64,
}

/// What was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The stream's public name.
    pub name: String,
    /// Who it is, by the public name of the key or the subject of the token.
    pub who: Option<String>,
    /// When the grant is over, in seconds since 1970.
    pub until_s: Option<u64>,
}

/// Why somebody was turned away. Its text is for the peer and for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denial {
    /// For the program.
    pub kind: DenialKind,
    /// For the person.
    pub reason: String,
}

/// The kinds of denials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialKind {
    /// The address may not come.
    Address,
    /// A credential is needed and there is none.
    Missing,
    /// The credential is not known, or not what it says.
    Wrong,
    /// The credential was good once.
    Expired,
    /// The credential is good, for something else.
    Scope,
}

impl DenialKind {
    /// A few words for a list, without the name of a stream: it may be a mistyped key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "the address may not come",
            Self::Missing => "no credential",
            Self::Wrong => "wrong credential",
            Self::Expired => "expired credential",
            Self::Scope => "credential for something else",
        }
    }
}

impl Denial {
    fn new(kind: DenialKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }
}

impl Policy {
    /// Decides about one attempt. Takes tens of milliseconds where [`Policy::is_costly`] says so.
    ///
    /// # Errors
    ///
    /// The reason, in words that name the remedy.
    pub fn decide(&self, attempt: &Attempt) -> Result<Grant, Denial> {
        self.admit(attempt.addr)?;
        let mut denied = None;
        for credential in &attempt.credentials {
            match self.verify(attempt, credential) {
                Ok(grant) => return Ok(grant),
                // The first one is the most particular, and its refusal the most useful.
                Err(denial) => denied = denied.or(Some(denial)),
            }
        }
        if let Some(denial) = denied {
            return Err(denial);
        }
        if attempt.key_in_name
            && let Some(granted) = self.key_in_name(attempt)
        {
            return granted;
        }
        self.without(attempt)
    }

    /// Whether somebody may come at all.
    ///
    /// # Errors
    ///
    /// [`DenialKind::Address`] when not.
    pub fn admit(&self, addr: IpAddr) -> Result<(), Denial> {
        if self.addresses.admit(addr) {
            return Ok(());
        }
        let reason = "this address may not use the relay (auth.allow, auth.deny)";
        Err(Denial::new(DenialKind::Address, reason))
    }

    /// Whether a decision takes so long that it must not be made where media is carried.
    pub fn is_costly(&self, attempt: &Attempt) -> bool {
        let costly = |key: &Key| key.secret.is_costly() && key.stream == attempt.name;
        !attempt.credentials.is_empty() && self.keys.iter().any(costly)
    }

    /// Checks one credential that was shown.
    fn verify(&self, attempt: &Attempt, credential: &str) -> Result<Grant, Denial> {
        if Tokens::is_token(credential) {
            let Some(tokens) = &self.tokens else {
                let reason = "this relay takes no tokens (auth.tokens)";
                return Err(Denial::new(DenialKind::Wrong, reason));
            };
            let claims = tokens.verify(credential, attempt.now_s)?;
            return claims.grant(attempt);
        }
        let of_stream = |key: &&Key| match attempt.action {
            Action::Control => key.may.contains(&Action::Control),
            Action::Publish | Action::Watch | Action::List => key.stream == attempt.name,
        };
        let mut keys = self.keys.iter().filter(of_stream);
        match keys.find(|key| key.secret.matches(credential)) {
            Some(key) => key.grant(attempt),
            None => {
                let reason = match attempt.action {
                    Action::Control => "the credential is not known".to_owned(),
                    Action::Publish | Action::Watch | Action::List => {
                        format!("the credential is not one for {}", attempt.name)
                    }
                };
                Err(Denial::new(DenialKind::Wrong, reason))
            }
        }
    }

    /// A key as the last part of the name: `rtmp://host/live/KEY`. Those that are costly to try
    /// are not, as every name would have to be tried with each.
    fn key_in_name(&self, attempt: &Attempt) -> Option<Result<Grant, Denial>> {
        let (_, last) = attempt.name.rsplit_once('/')?;
        let mut keys = self.keys.iter().filter(|key| !key.secret.is_costly());
        let key = keys.find(|key| key.secret.matches(last))?;
        Some(key.grant(attempt))
    }

    /// What is granted to somebody who shows nothing.
    fn without(&self, attempt: &Attempt) -> Result<Grant, Denial> {
        let has_keys = |key: &Key| key.stream == attempt.name && key.may.contains(&attempt.action);
        let needs_key = self.keys.iter().any(has_keys);
        let door = match attempt.action {
            Action::Publish => self.publish,
            Action::Watch | Action::List => self.watch,
            Action::Control => self.control,
        };
        let open = match door {
            Door::Anyone => true,
            Door::Loopback => is_loopback(attempt.addr),
            Door::Credential => false,
        };
        if open && !needs_key {
            return Ok(Grant {
                name: attempt.name.clone(),
                who: None,
                until_s: None,
            });
        }
        Err(Denial::new(DenialKind::Missing, remedy(attempt, needs_key)))
    }
}

fn remedy(attempt: &Attempt, needs_key: bool) -> String {
    let name = &attempt.name;
    match attempt.action {
        Action::Publish if needs_key => {
            format!("{name} has keys: use rtmp://host/{name}?key=KEY with one of them")
        }
        Action::Publish => format!(
            "publishing {name} from another machine needs a key: make one with `weir key {name}`, \
             add it to the relay's configuration, and use rtmp://host/{name}?key=KEY"
        ),
        Action::Watch | Action::List => {
            format!("watching {name} needs a credential: add ?token=TOKEN or ?key=KEY")
        }
        Action::Control => "from another machine this needs a credential: send it as \
             `Authorization: Bearer TOKEN` (made by `weir token --control`)"
            .to_owned(),
    }
}

/// Whether the address is the machine's own, also when it is written as IPv6.
fn is_loopback(addr: IpAddr) -> bool {
    addr.to_canonical().is_loopback()
}

/// The credentials of a query: `key` and `token`, in this order.
pub fn credentials_of_query(query: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let of = |wanted: &'static [&'static str]| {
        let found = pairs.clone().filter(move |(name, _)| wanted.contains(name));
        found.filter_map(|(_, value)| percent_decoded(value))
    };
    let all = of(&["key"]).chain(of(&["token", "jwt"]));
    all.filter(|value| !value.is_empty())
        .take(CREDENTIALS_MAX)
        .collect()
}

/// Credentials of one attempt that are looked at: a key and a token, and as many again.
pub const CREDENTIALS_MAX: usize = 4;

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = behind.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}
