//! `onMetaData`: what an encoder says about its stream. Not to be relied upon, but it comes first.

use super::amf0::{self, Object, Value};
use super::chunk::Message;
use super::command::amf0_part;

/// The properties of `onMetaData`. The accessors are `None` for what is missing, not a number or
/// negative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// All of them, as sent.
    pub object: Object,
}

impl Metadata {
    /// Reads a data message: `onMetaData`, bare or inside of `@setDataFrame`. `None` for other
    /// data.
    ///
    /// # Errors
    ///
    /// When the message is not AMF0.
    pub fn parse(message: &Message) -> Result<Option<Self>, amf0::Error> {
        let mut reader = amf0::Reader::new(amf0_part(message));
        let mut name = reader.next_value()?;
        if name.as_ref().and_then(Value::as_str) == Some("@setDataFrame") {
            name = reader.next_value()?;
        }
        if name.as_ref().and_then(Value::as_str) != Some("onMetaData") {
            return Ok(None);
        }
        let object = match reader.next_value()? {
            Some(Value::Object(object) | Value::EcmaArray(object)) => object,
            _ => Object::new(),
        };
        Ok(Some(Self { object }))
    }

    /// Width in pixels.
    pub fn width(&self) -> Option<f64> {
        self.number("width")
    }

    /// Height in pixels.
    pub fn height(&self) -> Option<f64> {
        self.number("height")
    }

    /// Frames per second.
    pub fn framerate(&self) -> Option<f64> {
        self.number("framerate").or_else(|| self.number("fps"))
    }

    /// Video data rate in kbit/s.
    pub fn video_data_rate_kbps(&self) -> Option<f64> {
        self.number("videodatarate")
    }

    /// Audio data rate in kbit/s.
    pub fn audio_data_rate_kbps(&self) -> Option<f64> {
        self.number("audiodatarate")
    }

    /// Audio samples per second.
    pub fn audio_sample_rate(&self) -> Option<f64> {
        self.number("audiosamplerate")
    }

    /// Whether the audio has two channels.
    pub fn stereo(&self) -> Option<bool> {
        self.field("stereo")?.as_bool()
    }

    /// The program that encodes.
    pub fn encoder(&self) -> Option<&str> {
        self.field("encoder")?
            .as_str()
            .filter(|name| !name.is_empty())
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.field(name)?
            .as_number()
            .filter(|number| number.is_finite() && *number >= 0.0)
    }

    fn field(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.object.iter().find(|(key, _)| key == name)?;
        Some(value)
    }
}
