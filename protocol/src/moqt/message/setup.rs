//! SETUP and its options.

use bytes::BytesMut;

use super::{Body, Context, DecodeError, EncodeError};
use crate::moqt::Version;
use crate::moqt::properties::{PairWriter, Pairs, Value};
use crate::moqt::token::Token;
use crate::wire::Reader;

const PATH: u64 = 0x01;
const AUTHORIZATION_TOKEN: u64 = 0x03;
const MAX_AUTH_TOKEN_CACHE_SIZE: u64 = 0x04;
const AUTHORITY: u64 = 0x05;
const MAX_FILTER_RANGES: u64 = 0x06;
const MOQT_IMPLEMENTATION: u64 = 0x07;
const MAX_REQUEST_UPDATES: u64 = 0x08;

/// Most tokens of a SETUP. A limit of ours: each becomes a value in memory.
pub const SETUP_TOKENS_MAX: usize = 64;

/// The first message on each control stream. Options that the draft does not have are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Path and query of the session's URI; from the client on raw QUIC only.
    pub path: Option<String>,
    /// What the sender shows to be let in.
    pub auth_tokens: Vec<Token>,
    /// How many bytes of tokens the peer may register; absent is none.
    pub max_auth_token_cache_size: Option<u64>,
    /// Host and port of the session's URI; from the client on raw QUIC only.
    pub authority: Option<String>,
    /// Draft 19: how many ranges a request may filter by; absent is none.
    pub max_filter_ranges: Option<u64>,
    /// The sender's name and version.
    pub implementation: Option<String>,
    /// Draft 19: how many updates of a request may be unanswered; absent or 0 is any number.
    pub max_request_updates: Option<u64>,
}

impl Body for Setup {
    fn encode(&self, cx: Context, out: &mut BytesMut) -> Result<(), EncodeError> {
        let since_19 = cx.version >= Version::Draft19;
        let mut pairs = PairWriter::new(out);
        if let Some(path) = &self.path {
            pairs.bytes(PATH, path.as_bytes());
        }
        for token in &self.auth_tokens {
            let mut value = BytesMut::new();
            token.encode(&mut value);
            pairs.bytes(AUTHORIZATION_TOKEN, &value);
        }
        if let Some(size) = self.max_auth_token_cache_size {
            pairs.int(MAX_AUTH_TOKEN_CACHE_SIZE, size);
        }
        if let Some(authority) = &self.authority {
            pairs.bytes(AUTHORITY, authority.as_bytes());
        }
        if let Some(ranges) = self.max_filter_ranges.filter(|_| since_19) {
            pairs.int(MAX_FILTER_RANGES, ranges);
        }
        if let Some(implementation) = &self.implementation {
            pairs.bytes(MOQT_IMPLEMENTATION, implementation.as_bytes());
        }
        if let Some(updates) = self.max_request_updates.filter(|_| since_19) {
            pairs.int(MAX_REQUEST_UPDATES, updates);
        }
        Ok(())
    }

    fn decode(cx: Context, body: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let since_19 = cx.version >= Version::Draft19;
        let mut setup = Self::default();
        for pair in Pairs::new(body.rest()) {
            let (kind, value) = pair?;
            let fresh = match (kind, value) {
                (AUTHORIZATION_TOKEN, Value::Bytes(value)) => {
                    if setup.auth_tokens.len() == SETUP_TOKENS_MAX {
                        return Err(DecodeError::TooManyTokens);
                    }
                    setup.auth_tokens.push(decode_token(value)?);
                    true
                }
                (PATH, Value::Bytes(value)) => {
                    let text = text(value).ok_or(DecodeError::MalformedPath)?;
                    setup.path.replace(text).is_none()
                }
                (AUTHORITY, Value::Bytes(value)) => {
                    let text = text(value).ok_or(DecodeError::MalformedAuthority)?;
                    setup.authority.replace(text).is_none()
                }
                (MOQT_IMPLEMENTATION, Value::Bytes(value)) => {
                    // A name for logs and quirks: not worth a session.
                    let text = String::from_utf8_lossy(value).into_owned();
                    setup.implementation.replace(text).is_none()
                }
                (MAX_AUTH_TOKEN_CACHE_SIZE, Value::Int(value)) => {
                    setup.max_auth_token_cache_size.replace(value).is_none()
                }
                (MAX_FILTER_RANGES, Value::Int(value)) if since_19 => {
                    setup.max_filter_ranges.replace(value).is_none()
                }
                (MAX_REQUEST_UPDATES, Value::Int(value)) if since_19 => {
                    setup.max_request_updates.replace(value).is_none()
                }
                _ => true,
            };
            if !fresh {
                return Err(DecodeError::RepeatedOption(kind));
            }
        }
        Ok(setup)
    }
}

fn text(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// A token that stands for itself: no alias can be known to the peer of a session that begins.
fn decode_token(value: &[u8]) -> Result<Token, DecodeError> {
    match Token::decode(value)? {
        Token::Delete { .. } | Token::UseAlias { .. } => Err(DecodeError::AliasInSetup),
        token @ (Token::Register { .. } | Token::UseValue { .. }) => Ok(token),
    }
}
