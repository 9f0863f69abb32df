//! Track namespaces and full track names: tuples of bytes, compared byte by byte.

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::wire::{Incomplete, Reader, put_prefixed, put_vi64};

/// Most fields of a namespace (draft 18, "Track Naming").
pub const NAMESPACE_FIELDS_MAX: usize = 32;
/// Most bytes of all namespace fields and the track name together (draft 18, "Track Naming").
pub const FULL_NAME_LEN_MAX: usize = 4096;

/// Why bytes are not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A namespace field without a byte.
    #[error("a namespace field is empty")]
    EmptyField,
    /// More than [`NAMESPACE_FIELDS_MAX`] fields.
    #[error("{0} namespace fields are more than {NAMESPACE_FIELDS_MAX}")]
    TooManyFields(u64),
    /// More than [`FULL_NAME_LEN_MAX`] bytes.
    #[error("a name of {0} bytes is longer than {FULL_NAME_LEN_MAX}")]
    TooLong(u64),
    /// A backslash in a path that starts no escape.
    #[error("a backslash must be followed by `/`, `\\` or `x` and two hex digits")]
    BadEscape,
    /// The bytes end inside the name.
    #[error("a name is cut short")]
    Incomplete,
}

impl From<Incomplete> for NameError {
    fn from(_: Incomplete) -> Self {
        Self::Incomplete
    }
}

/// A track namespace, a prefix of one, or the rest after a prefix: 0 to 32 non-empty fields.
/// Cloning shares the fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<[Bytes]>);

impl Namespace {
    /// Checks the fields against the limits of the draft.
    pub fn new(fields: impl IntoIterator<Item = Bytes>) -> Result<Self, NameError> {
        let fields: Arc<[Bytes]> = fields.into_iter().collect();
        if fields.len() > NAMESPACE_FIELDS_MAX {
            return Err(NameError::TooManyFields(fields.len() as u64));
        }
        if fields.iter().any(Bytes::is_empty) {
            return Err(NameError::EmptyField);
        }
        let namespace = Self(fields);
        match namespace.byte_len() {
            len if len > FULL_NAME_LEN_MAX => Err(NameError::TooLong(len as u64)),
            _ => Ok(namespace),
        }
    }

    /// The namespace without fields: the prefix of all.
    pub fn empty() -> Self {
        Self(Arc::new([]))
    }

    /// Splits a path as [`Display`](fmt::Display) writes it: fields separated by `/`, where
    /// `\/`, `\\` and `\xNN` stand for a slash, a backslash and any byte. An empty path has no
    /// fields.
    pub fn from_path(path: &str) -> Result<Self, NameError> {
        if path.is_empty() {
            return Ok(Self::empty());
        }
        let mut fields = vec![Vec::new()];
        let mut bytes = path.bytes();
        while let Some(byte) = bytes.next() {
            let literal = match byte {
                b'/' => {
                    fields.push(Vec::new());
                    continue;
                }
                b'\\' => unescape(&mut bytes)?,
                byte => byte,
            };
            if let Some(field) = fields.last_mut() {
                field.push(literal);
            }
        }
        Self::new(fields.into_iter().map(Bytes::from))
    }

    /// The fields in order.
    pub fn fields(&self) -> &[Bytes] {
        &self.0
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the first fields are those of `prefix`.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The fields after `prefix`, or `None` when this does not start with it.
    pub fn suffix_after(&self, prefix: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(prefix.fields())?;
        Some(Self(rest.into()))
    }

    /// Whether the first field starts with a dot: such namespaces belong to the protocol
    /// (draft 18, "Reserved Namespaces").
    pub fn is_reserved(&self) -> bool {
        self.0.first().is_some_and(|field| field.starts_with(b"."))
    }

    /// Bytes of all fields together, without lengths.
    pub fn byte_len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Writes the field count and each field with its length.
    pub fn encode(&self, out: &mut impl BufMut) {
        put_vi64(out, self.0.len() as u64);
        for field in self.fields() {
            put_prefixed(out, field);
        }
    }

    /// Reads what [`Self::encode`] writes. The fields are copied out of the input.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, NameError> {
        let count = reader.vi64()?;
        if count > NAMESPACE_FIELDS_MAX as u64 {
            return Err(NameError::TooManyFields(count));
        }
        let mut fields = Vec::new();
        for _ in 0..count {
            fields.push(Bytes::copy_from_slice(reader.prefixed()?));
        }
        Self::new(fields)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields().iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            write_escaped(f, field)?;
        }
        Ok(())
    }
}

/// A track's name in full: namespace and track name, within the limits together. The track name
/// may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullTrackName {
    namespace: Namespace,
    track: Bytes,
}

impl FullTrackName {
    /// Joins the two, when they are short enough together.
    pub fn new(namespace: Namespace, track: Bytes) -> Result<Self, NameError> {
        match namespace.byte_len() + track.len() {
            len if len > FULL_NAME_LEN_MAX => Err(NameError::TooLong(len as u64)),
            _ => Ok(Self { namespace, track }),
        }
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The track's name within the namespace.
    pub fn track(&self) -> &Bytes {
        &self.track
    }

    /// Writes the namespace, then the track name with its length.
    pub fn encode(&self, out: &mut impl BufMut) {
        self.namespace.encode(out);
        put_prefixed(out, &self.track);
    }

    /// Reads what [`Self::encode`] writes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, NameError> {
        let namespace = Namespace::decode(reader)?;
        let track = Bytes::copy_from_slice(reader.prefixed()?);
        Self::new(namespace, track)
    }
}

impl fmt::Display for FullTrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.namespace)?;
        write_escaped(f, &self.track)
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, field: &[u8]) -> fmt::Result {
    for chunk in field.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '/' => f.write_str("\\/")?,
                '\\' => f.write_str("\\\\")?,
                char if char.is_control() => {
                    let mut utf8 = [0; 4];
                    write_hex(f, char.encode_utf8(&mut utf8).as_bytes())?;
                }
                char => fmt::Write::write_char(f, char)?,
            }
        }
        write_hex(f, chunk.invalid())?;
    }
    Ok(())
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// The byte that an escape stands for, after its backslash.
fn unescape(bytes: &mut std::str::Bytes<'_>) -> Result<u8, NameError> {
    let digit = |bytes: &mut std::str::Bytes<'_>| {
        let char = bytes.next().map(char::from);
        char.and_then(|char| char.to_digit(16))
            .map(|digit| digit as u8)
    };
    match bytes.next() {
        Some(byte @ (b'/' | b'\\')) => Ok(byte),
        Some(b'x') => {
            let high = digit(bytes).ok_or(NameError::BadEscape)?;
            let low = digit(bytes).ok_or(NameError::BadEscape)?;
            Ok(high << 4 | low)
        }
        _ => Err(NameError::BadEscape),
    }
}

#[cfg(test)]
mod tests;
