//! Authorization tokens, and the aliases that stand for them.

use bytes::{BufMut, Bytes};

use crate::wire::{Incomplete, Reader, put_vi64};

/// A token as it stands in a message (draft 18, "AUTHORIZATION TOKEN Parameter"). The form of
/// `value` is given by `kind`; kind 0 is agreed upon elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// Forget an alias.
    Delete {
        /// The alias.
        alias: u64,
    },
    /// Use a token and keep it under an alias.
    Register {
        /// The alias.
        alias: u64,
        /// The token's type.
        kind: u64,
        /// The token.
        value: Bytes,
    },
    /// Use the token that is kept under an alias.
    UseAlias {
        /// The alias.
        alias: u64,
    },
    /// Use a token once.
    UseValue {
        /// The token's type.
        kind: u64,
        /// The token.
        value: Bytes,
    },
}

/// Why bytes are not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// An alias type that the draft does not have.
    #[error("unknown token alias type {0:#x}")]
    UnknownAliasType(u64),
    /// The token's bytes end early.
    #[error("a token is cut short")]
    Incomplete,
    /// Bytes follow a token that has no value.
    #[error("bytes follow a token alias")]
    Trailing,
}

impl From<Incomplete> for TokenError {
    fn from(_: Incomplete) -> Self {
        Self::Incomplete
    }
}

impl Token {
    /// Writes the token without its length.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Delete { alias } => {
                put_vi64(out, 0);
                put_vi64(out, *alias);
            }
            Self::Register { alias, kind, value } => {
                put_vi64(out, 1);
                put_vi64(out, *alias);
                put_vi64(out, *kind);
                out.put_slice(value);
            }
            Self::UseAlias { alias } => {
                put_vi64(out, 2);
                put_vi64(out, *alias);
            }
            Self::UseValue { kind, value } => {
                put_vi64(out, 3);
                put_vi64(out, *kind);
                out.put_slice(value);
            }
        }
    }

    /// Reads a token that fills `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, TokenError> {
        let mut reader = Reader::new(bytes);
        let token = match reader.vi64()? {
            0 => Self::Delete {
                alias: reader.vi64()?,
            },
            1 => Self::Register {
                alias: reader.vi64()?,
                kind: reader.vi64()?,
                value: Bytes::copy_from_slice(reader.rest()),
            },
            2 => Self::UseAlias {
                alias: reader.vi64()?,
            },
            3 => Self::UseValue {
                kind: reader.vi64()?,
                value: Bytes::copy_from_slice(reader.rest()),
            },
            other => return Err(TokenError::UnknownAliasType(other)),
        };
        match reader.is_empty() {
            true => Ok(token),
            false => Err(TokenError::Trailing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let value = Bytes::from_static(b"Bearer t");
        let tokens = [
            Token::Delete { alias: 1 },
            Token::Register {
                alias: 300,
                kind: 0,
                value: value.clone(),
            },
            Token::UseAlias { alias: 1 },
            Token::UseValue { kind: 0, value },
        ];
        for token in tokens {
            let mut out = Vec::new();
            token.encode(&mut out);
            assert_eq!(Token::decode(&out), Ok(token));
        }
    }

    #[test]
    fn malformed_tokens_are_refused_by_name() {
        assert_eq!(Token::decode(&[]), Err(TokenError::Incomplete));
        assert_eq!(Token::decode(&[1, 2]), Err(TokenError::Incomplete));
        assert_eq!(Token::decode(&[2, 1, 0]), Err(TokenError::Trailing));
        assert_eq!(Token::decode(&[4]), Err(TokenError::UnknownAliasType(4)));
    }
}
