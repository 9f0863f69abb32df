//! Bytes in, values out, with bounds on depth and count.

use super::{Object, Value};

/// How deep objects and arrays may nest: metadata nests two deep, and this is recursion.
pub const MAX_DEPTH: usize = 16;

/// Values in one message. A value takes some 60 bytes in memory and can be one byte on the wire,
/// so the message's length is not bound enough. Metadata has about 20, a connect with all of the
/// Enhanced RTMP properties about 50.
pub const MAX_VALUES: usize = 1024;

/// The bytes are not AMF0, or more of it than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Marker 0x11.
    #[error("AMF3 value in an AMF0 message")]
    Amf3,
    /// The message ends inside a value.
    #[error("AMF0 value is cut off")]
    CutOff,
    /// A marker that the format reserves or does not know.
    #[error("AMF0 marker {0:#04x} is not a value")]
    Marker(u8),
    /// An object whose empty name is not followed by the end marker.
    #[error("AMF0 object does not end where it should")]
    ObjectEnd,
    /// Objects inside objects.
    #[error("AMF0 values nest more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Too many of them.
    #[error("more than {MAX_VALUES} AMF0 values")]
    TooManyValues,
}

/// Reads the values of one message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    values_left: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            values_left: MAX_VALUES,
        }
    }

    /// The bytes that have not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next value; `None` when there are no more bytes.
    ///
    /// # Errors
    ///
    /// When the bytes that are left do not begin with a value.
    pub fn next_value(&mut self) -> Result<Option<Value>, Error> {
        if self.bytes.is_empty() {
            Ok(None)
        } else {
            self.value(0).map(Some)
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth >= MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.values_left = self
            .values_left
            .checked_sub(1)
            .ok_or(Error::TooManyValues)?;
        let [marker] = self.array()?;
        Ok(match marker {
            0 => Value::Number(f64::from_be_bytes(self.array()?)),
            1 => Value::Boolean(self.array::<1>()? != [0]),
            2 => Value::String(self.short_text()?),
            3 => Value::Object(self.object(depth)?),
            5 => Value::Null,
            6 => Value::Undefined,
            7 => Value::Reference(u16::from_be_bytes(self.array()?)),
            8 => {
                // The count is a hint: encoders write 0 or one too few.
                self.array::<4>()?;
                Value::EcmaArray(self.object(depth)?)
            }
            10 => Value::StrictArray(self.strict_array(depth)?),
            11 => {
                let date = f64::from_be_bytes(self.array()?);
                self.array::<2>()?;
                Value::Date(date)
            }
            12 => Value::String(self.long_text()?),
            13 => Value::Unsupported,
            15 => Value::XmlDocument(self.long_text()?),
            16 => Value::TypedObject(self.short_text()?, self.object(depth)?),
            17 => return Err(Error::Amf3),
            other => return Err(Error::Marker(other)),
        })
    }

    fn object(&mut self, depth: usize) -> Result<Object, Error> {
        let mut object = Object::new();
        loop {
            let name = self.short_text()?;
            if name.is_empty() && self.bytes.first() == Some(&9) {
                self.take(1)?;
                return Ok(object);
            }
            if name.is_empty() && self.bytes.is_empty() {
                return Err(Error::ObjectEnd);
            }
            object.push((name, self.value(depth + 1)?));
        }
    }

    fn strict_array(&mut self, depth: usize) -> Result<Vec<Value>, Error> {
        let count = u32::from_be_bytes(self.array()?) as usize;
        if count > self.values_left {
            return Err(Error::TooManyValues);
        }
        (0..count).map(|_| self.value(depth + 1)).collect()
    }

    fn short_text(&mut self) -> Result<String, Error> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(usize::from(length))
    }

    fn long_text(&mut self) -> Result<String, Error> {
        let length = u32::from_be_bytes(self.array()?);
        self.text(length as usize)
    }

    fn text(&mut self, length: usize) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(Error::CutOff)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Error::CutOff)?;
        self.bytes = rest;
        Ok(taken)
    }
}
