//! Tokens: JWTs whose claims say what their bearer may do.
//!
//! | claim | means |
//! |---|---|
//! | `publish`, `watch` | streams, by name or by a prefix like `live/*`; `*` is all |
//! | `control` | `true` for the dashboard, the API and the metrics |
//! | `exp`, `nbf` | when it ends, which ends its sessions too; when it begins |
//! | `sub` | who it is, for the log |
//! | `iss`, `aud` | checked where the configuration names them |

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};

use super::{Action, Attempt, Denial, DenialKind, Grant};

/// What verifies tokens.
#[derive(Clone)]
pub struct Tokens {
    keys: Vec<VerifyingKey>,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Clone)]
struct VerifyingKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a key set cannot be used. Says nothing of the keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no JSON Web Key Set.
    #[error("no JSON Web Key Set (RFC 7517)")]
    NoKeySet,
    /// One of its keys cannot be used.
    #[error("key {0} cannot be used: it needs \"alg\" HS256 to HS512, ES256, ES384 or EdDSA")]
    Key(usize),
    /// It has none.
    #[error("the key set is empty")]
    Empty,
    /// It has too many.
    #[error("a key set has at most {KEYS_MAX} keys")]
    TooMany,
}

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Claims {
    /// Who the bearer is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// When it begins, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Streams that its bearer may publish.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Streams that its bearer may watch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<String>,
    /// Whether its bearer may see the control pages.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub control: bool,
}

impl Tokens {
    /// Takes tokens that a key of the set has signed.
    ///
    /// # Errors
    ///
    /// When a key cannot be used: a set of which only a part works would refuse tokens for reasons
    /// that nobody sees.
    pub fn new(
        jwks: &str,
        issuer: Option<String>,
        audience: Option<String>,
    ) -> Result<Self, TokenError> {
        let set: JwkSet = serde_json::from_str(jwks).map_err(|_| TokenError::NoKeySet)?;
        if set.keys.len() > KEYS_MAX {
            return Err(TokenError::TooMany);
        }
        let mut keys = Vec::with_capacity(set.keys.len());
        for (index, jwk) in set.keys.iter().enumerate() {
            let named = jwk
                .common
                .key_algorithm
                .map(|algorithm| algorithm.to_string());
            let algorithm = named.and_then(|name| name.parse().ok());
            let algorithm = algorithm.filter(|algorithm| ALGORITHMS.contains(algorithm));
            let key = DecodingKey::from_jwk(jwk).ok();
            let (algorithm, key) = algorithm.zip(key).ok_or(TokenError::Key(index))?;
            keys.push(VerifyingKey {
                id: jwk.common.key_id.clone(),
                algorithm,
                key,
            });
        }
        match keys.is_empty() {
            true => Err(TokenError::Empty),
            false => Ok(Self {
                keys,
                issuer,
                audience,
            }),
        }
    }

    /// Whether a credential has the form of a token: three parts, the first of them JSON.
    pub fn is_token(credential: &str) -> bool {
        credential.starts_with("eyJ") && credential.matches('.').count() == 2
    }

    /// Checks signature, time, issuer and audience.
    pub(super) fn verify(&self, token: &str, now_s: u64) -> Result<Claims, Denial> {
        let wrong = || Denial::new(DenialKind::Wrong, "the token is not one of this relay's");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(wrong());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| wrong())?;
        let candidates = self.keys.iter().filter(|key| {
            let named = header.kid.is_none() || key.id.is_none() || key.id == header.kid;
            named && key.algorithm == header.alg
        });
        let claims = candidates
            .filter_map(|key| {
                let decoded = jsonwebtoken::decode::<Claims>(token, &key.key, &self.rules(key));
                decoded.ok()
            })
            .next();
        let claims = claims.ok_or_else(wrong)?.claims;
        if claims.exp.is_some_and(|end_s| end_s <= now_s) {
            return Err(Denial::new(DenialKind::Expired, "the token has expired"));
        }
        if claims.nbf.is_some_and(|begin_s| begin_s > now_s + SKEW_S) {
            return Err(Denial::new(DenialKind::Wrong, "the token is not valid yet"));
        }
        Ok(claims)
    }

    /// Times are not looked at here, as that would read a clock.
    fn rules(&self, key: &VerifyingKey) -> Validation {
        let mut rules = Validation::new(key.algorithm);
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.required_spec_claims.clear();
        rules.validate_aud = self.audience.is_some();
        if let Some(audience) = &self.audience {
            rules.set_audience(&[audience]);
            rules.required_spec_claims.insert("aud".to_owned());
        }
        if let Some(issuer) = &self.issuer {
            rules.set_issuer(&[issuer]);
            rules.required_spec_claims.insert("iss".to_owned());
        }
        rules
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("keys", &self.keys.len())
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish()
    }
}

impl Claims {
    /// What they allow.
    pub(super) fn grant(self, attempt: &Attempt) -> Result<Grant, Denial> {
        let name = &attempt.name;
        let allowed = match attempt.action {
            Action::Publish => self.publish.iter().any(|scope| covers(scope, name)),
            Action::Watch => self.watch.iter().any(|scope| covers(scope, name)),
            Action::List => self.watch.iter().any(|scope| lists(scope, name)),
            Action::Control => self.control,
        };
        if !allowed {
            let verb = attempt.action.verb();
            let reason = format!("the token is not one to {verb} {name} with");
            return Err(Denial::new(DenialKind::Scope, reason.replace("  ", " ")));
        }
        Ok(Grant {
            name: name.clone(),
            who: self.sub,
            until_s: self.exp,
        })
    }
}

/// Whether a scope has that stream in it.
fn covers(scope: &str, name: &str) -> bool {
    if scope == "*" || scope == name {
        return true;
    }
    let below = scope
        .strip_suffix("/*")
        .and_then(|prefix| name.strip_prefix(prefix));
    below.is_some_and(|rest| rest.starts_with('/'))
}

/// Whether all names below `prefix` are in the scope.
fn lists(scope: &str, prefix: &str) -> bool {
    let whole = scope
        .strip_suffix("/*")
        .is_some_and(|scope| scope == prefix);
    whole || covers(scope, prefix)
}

/// What a token may be signed with: no RSA, whose keys nobody needs for a relay.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Keys of a set: a few in rotation for each issuer.
const KEYS_MAX: usize = 64;

/// Bytes of a token: those with many claims have 2 KiB.
const TOKEN_BYTES_MAX: usize = 8192;

/// How far clocks may differ, in seconds.
const SKEW_S: u64 = 60;
