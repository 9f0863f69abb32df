//! Stream keys: secrets that belong to one stream.

use std::fmt;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use sha2::{Digest, Sha256};

use super::{Action, Attempt, Denial, DenialKind, Grant};

/// One key of a stream.
#[derive(Clone, Debug)]
pub struct Key {
    /// The stream's public name.
    pub stream: String,
    /// The key's public name, for logs and for the person who revokes it.
    pub name: String,
    /// How the key is known.
    pub secret: Secret,
    /// What it is good for.
    pub may: Vec<Action>,
    /// When it ends, in seconds since 1970.
    pub expires_s: Option<u64>,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// A secret as the configuration keeps it. It is never shown.
#[derive(Clone)]
pub enum Secret {
    /// In plain, for those who keep the file safe: its digest.
    Plain([u8; 32]),
    /// The SHA-256 of a key that `weir key` made: too long to be guessed.
    Sha256([u8; 32]),
    /// An Argon2 hash, for secrets that people chose.
    Argon2(String),
}

/// Why a secret cannot be read. Says nothing of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is too short to be one.
    #[error("a key has at least {KEY_CHARS_MIN} characters: make one with `weir key`")]
    TooShort,
    /// It has no known form.
    #[error("a hash is sha256:HEX or $argon2id$..., as `weir key` prints it")]
    Form,
}

impl Secret {
    /// A key in plain.
    ///
    /// # Errors
    ///
    /// When it is too short.
    pub fn plain(text: &str) -> Result<Self, SecretError> {
        match text.len() < KEY_CHARS_MIN {
            true => Err(SecretError::TooShort),
            false => Ok(Self::Plain(Sha256::digest(text).into())),
        }
    }

    /// A hash, as `weir key` prints it.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn hash(text: &str) -> Result<Self, SecretError> {
        if let Some(hex) = text.strip_prefix("sha256:") {
            return unhex(hex).map(Self::Sha256).ok_or(SecretError::Form);
        }
        match PasswordHash::new(text) {
            Ok(hash) if hash.hash.is_some() && hash.algorithm.as_str().starts_with("argon2") => {
                Ok(Self::Argon2(text.to_owned()))
            }
            Ok(_) | Err(_) => Err(SecretError::Form),
        }
    }

    /// The form in which a configuration keeps a key that cannot be guessed.
    pub fn sha256_of(key: &str) -> String {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let hex = digest.iter().map(|byte| format!("{byte:02x}"));
        format!("sha256:{}", hex.collect::<String>())
    }

    /// Whether trying a key takes tens of milliseconds.
    pub fn is_costly(&self) -> bool {
        matches!(self, Self::Argon2(_))
    }

    /// Whether `key` is this secret. Takes as long for a wrong one as for the right one.
    pub fn matches(&self, key: &str) -> bool {
        match self {
            // Digests are compared, so the time says nothing about the key.
            Self::Plain(digest) | Self::Sha256(digest) => {
                <[u8; 32]>::from(Sha256::digest(key)) == *digest
            }
            Self::Argon2(hash) => PasswordHash::new(hash).is_ok_and(|hash| {
                let verified = Argon2::default().verify_password(key.as_bytes(), &hash);
                verified.is_ok()
            }),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "plain",
            Self::Sha256(_) => "sha256",
            Self::Argon2(_) => "argon2",
        })
    }
}

impl Key {
    /// What the key is good for, once it has been shown.
    pub(super) fn grant(&self, attempt: &Attempt) -> Result<Grant, Denial> {
        let Self { name, stream, .. } = self;
        if self.revoked {
            let reason = format!("the key {name:?} of {stream} was revoked");
            return Err(Denial::new(DenialKind::Wrong, reason));
        }
        if self.expires_s.is_some_and(|end_s| end_s <= attempt.now_s) {
            let reason = format!("the key {name:?} of {stream} has expired");
            return Err(Denial::new(DenialKind::Expired, reason));
        }
        if !self.may.contains(&attempt.action) {
            let verb = attempt.action.verb();
            let reason = format!("the key {name:?} of {stream} is not one to {verb} with");
            return Err(Denial::new(DenialKind::Scope, reason));
        }
        Ok(Grant {
            name: stream.clone(),
            who: Some(name.clone()),
            until_s: self.expires_s,
        })
    }
}

fn unhex(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Shorter keys could be guessed.
const KEY_CHARS_MIN: usize = 8;
