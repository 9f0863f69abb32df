//! AMF0: the values in commands and metadata.
//!
//! Action Message Format 0 (Adobe, 2007). AMF3, which a value can switch to with its marker 0x11,
//! is refused by name: no encoder sends it.

mod reader;
mod writer;

pub use reader::{Error, MAX_DEPTH, MAX_VALUES, Reader};
pub use writer::{write, write_number, write_object, write_str};

/// The pairs of an object in the order of the wire; a name may occur twice.
pub type Object = Vec<(String, Value)>;

/// One AMF0 value. Text that is not UTF-8 has replacement characters in the place of what is not.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Marker 1.
    Boolean(bool),
    /// Marker 11: milliseconds since 1970 (UTC); the time zone on the wire is reserved.
    Date(f64),
    /// Marker 8: an object that says how many pairs it has, not always truly.
    EcmaArray(Object),
    /// Marker 5.
    Null,
    /// Marker 0.
    Number(f64),
    /// Marker 3.
    Object(Object),
    /// Marker 7: the index of an object that occurred before.
    Reference(u16),
    /// Marker 10.
    StrictArray(Vec<Self>),
    /// Markers 2 and 12: up to 64 KiB, and longer.
    String(String),
    /// Marker 16: the name of a class, and an object.
    TypedObject(String, Object),
    /// Marker 6.
    Undefined,
    /// Marker 13: a value that the sender could not serialise.
    Unsupported,
    /// Marker 15.
    XmlDocument(String),
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The value of a number.
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(boolean) = self {
            Some(*boolean)
        } else {
            None
        }
    }

    /// The pairs of an object of any sort.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) | Self::EcmaArray(object) | Self::TypedObject(_, object) = self
        {
            Some(object)
        } else {
            None
        }
    }

    /// The elements of a strict array.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::StrictArray(array) = self {
            Some(array)
        } else {
            None
        }
    }

    /// The value of the pair with this name, in an object of any sort.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let (_, value) = self.as_object()?.iter().find(|(key, _)| key == name)?;
        Some(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// An object of these pairs.
pub fn object<const N: usize>(pairs: [(&str, Value); N]) -> Object {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests;
