//! Numbers that come as strings, strings that come as numbers, integers that come with a point.

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Int(u64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn into_int(self) -> Option<u64> {
        match self {
            Self::Int(value) => Some(value),
            // Within 53 bits a float is the integer that it looks like.
            Self::Float(value) if (0.0..=9_007_199_254_740_992.0).contains(&value) => {
                Some(value.round() as u64)
            }
            Self::Float(_) => None,
            Self::Text(value) => value.trim().parse().ok(),
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => value,
        }
    }
}

/// An integer, rounded; `None` when it is none.
pub(super) fn int<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::<Scalar>::deserialize(input)?.and_then(Scalar::into_int))
}

/// A text, or a number as text.
pub(super) fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Scalar>::deserialize(input)?.map(Scalar::into_text))
}

/// As [`text`], but it must be there.
pub(super) fn required_text<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Scalar::deserialize(input).map(Scalar::into_text)
}
