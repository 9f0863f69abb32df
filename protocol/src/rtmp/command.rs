//! Commands: what a peer calls by name, and what it says of itself in `connect`.
//!
//! RTMP 1.0 section 7.2; the Enhanced RTMP properties of `connect` from its version 2.

use super::amf0::{self, Value};
use super::chunk::{Message, MessageKind};

/// The message is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value in it cannot be read.
    #[error(transparent)]
    Amf0(#[from] amf0::Error),
    /// It does not begin with a name.
    #[error("command without a name")]
    NoName,
}

/// A call, or the answer to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// What is called; `_result` and `_error` are answers.
    pub name: String,
    /// Pairs a call with its answer; 0 when none is expected.
    pub transaction: f64,
    /// The command object; [`Value::Null`] in most commands.
    pub object: Value,
    /// What follows.
    pub arguments: Vec<Value>,
}

impl Command {
    /// Reads a command message of either type.
    ///
    /// # Errors
    ///
    /// When it has no name, or is not AMF0 (inside a type 17 message, behind its zero byte).
    pub fn parse(message: &Message) -> Result<Self, Error> {
        let mut reader = amf0::Reader::new(amf0_part(message));
        let Some(Value::String(name)) = reader.next_value()? else {
            return Err(Error::NoName);
        };
        let transaction = reader
            .next_value()?
            .and_then(|value| value.as_number())
            .unwrap_or(0.0);
        let object = reader.next_value()?.unwrap_or(Value::Null);
        let mut arguments = Vec::new();
        while let Some(argument) = reader.next_value()? {
            arguments.push(argument);
        }
        Ok(Self {
            name,
            transaction,
            object,
            arguments,
        })
    }

    /// The text of an argument.
    pub fn text(&self, index: usize) -> Option<&str> {
        self.arguments.get(index)?.as_str()
    }
}

/// The AMF0 values of a command or data message. Those of the AMF3 types have a zero byte first.
pub(crate) fn amf0_part(message: &Message) -> &[u8] {
    let bytes = message.body.as_slice();
    let amf3 = matches!(
        message.kind,
        MessageKind::CommandAmf3 | MessageKind::DataAmf3
    );
    bytes.strip_prefix(&[0]).filter(|_| amf3).unwrap_or(bytes)
}

/// What a peer says in `connect`. Text that it leaves out is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connect {
    /// The application, maybe with an instance (`live/room`), without slashes around it.
    pub app: String,
    /// What followed a question mark in the application, or else in `tcUrl`.
    pub query: Option<String>,
    /// The URL that the peer was given, without the stream key.
    pub tc_url: String,
    /// The peer's program.
    pub flash_ver: String,
    /// Enhanced RTMP: FourCCs that the peer can send or receive, from all of its lists; `*` is any.
    pub fourcc_list: Vec<String>,
    /// Enhanced RTMP: `capsEx`, see [`CAPS_MOD_EX`] and its relatives.
    pub caps_ex: u32,
    /// 0 for AMF0, 3 for AMF3.
    pub object_encoding: u8,
}

/// `capsEx`: understands a request to reconnect.
pub const CAPS_RECONNECT: u32 = 0x01;
/// `capsEx`: understands several tracks in one stream.
pub const CAPS_MULTITRACK: u32 = 0x02;
/// `capsEx`: understands packets with modifiers.
pub const CAPS_MOD_EX: u32 = 0x04;
/// `capsEx`: understands timestamps in nanoseconds.
pub const CAPS_TIMESTAMP_NANO: u32 = 0x08;

impl Connect {
    /// Reads the command object of `connect`.
    pub fn from_object(object: &Value) -> Self {
        let text = |name| {
            object
                .field(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let number = |name| {
            object
                .field(name)
                .and_then(Value::as_number)
                .unwrap_or_default()
        };
        let (app, app_query) = split_query(text("app"));
        let (_, url_query) = split_query(text("tcUrl"));
        let listed = object
            .field("fourCcList")
            .and_then(Value::as_array)
            .unwrap_or_default();
        let mapped = ["videoFourCcInfoMap", "audioFourCcInfoMap"].into_iter();
        let mapped = mapped
            .filter_map(|name| object.field(name)?.as_object())
            .flatten();
        let mut fourcc_list: Vec<String> = Vec::new();
        let all = listed
            .iter()
            .filter_map(Value::as_str)
            .chain(mapped.map(|(key, _)| key.as_str()));
        for fourcc in all {
            if !fourcc_list.iter().any(|known| known == fourcc) {
                fourcc_list.push(fourcc.to_owned());
            }
        }
        Self {
            app: app.trim_matches('/').to_owned(),
            query: app_query.or(url_query).map(str::to_owned),
            tc_url: text("tcUrl").to_owned(),
            flash_ver: text("flashVer").to_owned(),
            fourcc_list,
            caps_ex: number("capsEx") as u32,
            object_encoding: number("objectEncoding") as u8,
        }
    }
}

impl Connect {
    /// Whether the peer says that it can receive the codec of this FourCC.
    pub fn can_receive(&self, fourcc: &str) -> bool {
        let mut listed = self.fourcc_list.iter();
        listed.any(|listed| listed == fourcc || listed == "*")
    }
}

/// Cuts a name at its question mark; an empty query is none.
pub fn split_query(name: &str) -> (&str, Option<&str>) {
    match name.split_once('?') {
        Some((name, "")) => (name, None),
        Some((name, query)) => (name, Some(query)),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::amf0::object;

    #[test]
    fn connect_reads_what_encoders_write_into_app_and_url() {
        let connect = |app: &str, url: &str| {
            let object = Value::Object(object([("app", app.into()), ("tcUrl", url.into())]));
            let connect = Connect::from_object(&object);
            (connect.app, connect.query)
        };
        assert_eq!(connect("live/", ""), ("live".into(), None));
        assert_eq!(connect("/live/room", ""), ("live/room".into(), None));
        assert_eq!(
            connect("live?t=1", "rtmp://h/live?t=2"),
            ("live".into(), Some("t=1".into()))
        );
        assert_eq!(
            connect("live", "rtmp://h/live?t=2"),
            ("live".into(), Some("t=2".into()))
        );
        assert_eq!(connect("live?", ""), ("live".into(), None));
    }

    #[test]
    fn fourccs_of_the_list_and_of_both_maps_are_one_list() {
        let map = |name: &str| Value::Object(object([(name, 7.0.into())]));
        let connect = Connect::from_object(&Value::Object(object([
            (
                "fourCcList",
                Value::StrictArray(vec!["av01".into(), "hvc1".into()]),
            ),
            ("videoFourCcInfoMap", map("hvc1")),
            ("audioFourCcInfoMap", map("Opus")),
            ("capsEx", 5.0.into()),
        ])));
        assert_eq!(connect.fourcc_list, ["av01", "hvc1", "Opus"]);
        assert_eq!(connect.caps_ex, CAPS_RECONNECT | CAPS_MOD_EX);
    }

    #[test]
    fn absurd_numbers_do_not_panic() {
        let object = object([
            ("capsEx", f64::NAN.into()),
            ("objectEncoding", (-1e300).into()),
        ]);
        let connect = Connect::from_object(&Value::Object(object));
        assert_eq!((connect.caps_ex, connect.object_encoding), (0, 0));
    }
}
