//! Opus: the identification header.
//!
//! Sources: RFC 7845, 5.1; Enhanced RTMP v2, "Enhanced Audio"; for the `dOps` form, "Encapsulation
//! of Opus in ISO Base Media File Format", 4.3.2.

use super::bits::{Bits, array};
use super::{AudioInfo, Error};

/// Samples per second of what an Opus decoder puts out, in Hz.
pub const SAMPLE_RATE: u32 = 48_000;

/// First bytes of the header of RFC 7845.
const MAGIC: &[u8] = b"OpusHead";

/// What an identification header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Channels of what the decoder puts out.
    pub channels: u8,
    /// Samples at 48 kHz to drop from the start.
    pub pre_skip: u16,
    /// How channels are assigned to the streams of a packet; 0 is mono or stereo.
    pub mapping_family: u8,
}

impl Config {
    /// Reads a header: `OpusHead`, or the same fields as a `dOps` box has them, or nothing at all,
    /// which stands for stereo.
    ///
    /// # Errors
    /// [`Error`] when it is malformed.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        const RECORD: &str = "OpusHead";
        if record.is_empty() {
            return Ok(Self {
                channels: 2,
                pre_skip: 0,
                mapping_family: 0,
            });
        }
        let ogg = record.strip_prefix(MAGIC);
        let mut data = ogg.unwrap_or(record);
        let [version, channels] = array(&mut data, RECORD)?;
        // The upper half of the Ogg version counts incompatible changes; `dOps` has version 0.
        if version >> 4 != 0 || (ogg.is_none() && version != 0) {
            return Err(Error::Version {
                record: RECORD,
                version,
            });
        }
        let pre_skip = array(&mut data, RECORD)?;
        // The rate of the encoder's input, and the gain: neither changes what comes out.
        let _: [u8; 6] = array(&mut data, RECORD)?;
        let [mapping_family] = array(&mut data, RECORD)?;
        check_channels(data, channels, mapping_family)?;
        Ok(Self {
            channels,
            pre_skip: match ogg {
                Some(_) => u16::from_le_bytes(pre_skip),
                None => u16::from_be_bytes(pre_skip),
            },
            mapping_family,
        })
    }

    /// `opus`, as WebCodecs registers it.
    pub fn codec_string(&self) -> String {
        String::from("opus")
    }

    /// What a catalog says.
    pub fn info(&self) -> AudioInfo {
        AudioInfo {
            codec: self.codec_string(),
            sample_rate: SAMPLE_RATE,
            channels: self.channels,
        }
    }
}

/// Checks the channel mapping table (RFC 7845, 5.1.1), of which `table` is what follows the family.
fn check_channels(table: &[u8], channels: u8, mapping_family: u8) -> Result<(), Error> {
    const INVALID: Error = Error::Invalid("Opus channel mapping");
    if channels == 0 || (mapping_family == 0 && channels > 2) {
        return Err(INVALID);
    }
    if mapping_family == 0 {
        return Ok(());
    }
    let mut table = table;
    let [streams, coupled] = array(&mut table, "Opus channel mapping")?;
    let decoded = u16::from(streams) + u16::from(coupled);
    if streams == 0 || coupled > streams || decoded > 255 {
        return Err(INVALID);
    }
    Bits::new(table, "Opus channel mapping").skip(8 * usize::from(channels))
}
