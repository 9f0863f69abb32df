//! Values by byte vectors, round trips, bounds.

use super::*;
use bytes::BytesMut;

fn read(bytes: &[u8]) -> Result<Option<Value>, Error> {
    Reader::new(bytes).next_value()
}

fn sample() -> Value {
    Value::Object(object([
        ("number", 25.5.into()),
        ("flag", Value::Boolean(true)),
        ("text", "żółw".into()),
        ("none", Value::Null),
        ("undefined", Value::Undefined),
        ("reference", Value::Reference(3)),
        (
            "array",
            Value::StrictArray(vec!["av01".into(), Value::EcmaArray(object([]))]),
        ),
        (
            "ecma",
            Value::EcmaArray(object([("", 1.0.into()), ("b", 2.0.into())])),
        ),
        ("date", Value::Date(1.7e12)),
        ("unsupported", Value::Unsupported),
        ("xml", Value::XmlDocument("<a/>".into())),
        (
            "typed",
            Value::TypedObject("C".into(), object([("x", 1.0.into())])),
        ),
        ("long", Value::String("x".repeat(70_000))),
    ]))
}

#[test]
fn values_are_what_the_format_says() {
    assert_eq!(
        read(&[0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
        Ok(Some(Value::Number(1.0)))
    );
    assert_eq!(read(&[1, 1]), Ok(Some(Value::Boolean(true))));
    assert_eq!(read(b"\x02\0\x03abc"), Ok(Some("abc".into())));
    assert_eq!(read(&[5]), Ok(Some(Value::Null)));
    assert_eq!(read(&[]), Ok(None));
    let object_bytes = b"\x03\0\x01a\x01\0\0\0\x09";
    assert_eq!(
        read(object_bytes),
        Ok(Some(Value::Object(object([("a", Value::Boolean(false))]))))
    );
    // The count of an ECMA array says 0 and there is one.
    let array = b"\x08\0\0\0\0\0\x01a\x05\0\0\x09";
    assert_eq!(
        read(array),
        Ok(Some(Value::EcmaArray(object([("a", Value::Null)]))))
    );
}

#[test]
fn what_is_written_is_read() {
    let mut bytes = BytesMut::new();
    write(&mut bytes, &sample());
    write_str(&mut bytes, "behind");
    let mut reader = Reader::new(&bytes);
    assert!(reader.next_value() == Ok(Some(sample())));
    assert_eq!(reader.next_value(), Ok(Some("behind".into())));
    assert_eq!(reader.next_value(), Ok(None));
}

#[test]
fn every_truncation_is_cut_off() {
    let mut bytes = BytesMut::new();
    let mut value = sample();
    if let Value::Object(object) = &mut value {
        object.pop();
    }
    write(&mut bytes, &value);
    for length in 1..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        assert!(
            matches!(error, Error::CutOff | Error::ObjectEnd),
            "{length}: {error}"
        );
    }
}

#[test]
fn bounds_and_strangers_are_refused_by_name() {
    assert_eq!(read(&[0x11, 4, 1]), Err(Error::Amf3));
    assert_eq!(read(&[0x04]), Err(Error::Marker(4)));
    assert_eq!(read(&[0x0e]), Err(Error::Marker(14)));
    assert_eq!(
        read(&[0x0a, 0xff, 0xff, 0xff, 0xff]),
        Err(Error::TooManyValues)
    );
    let many = [&[0x0a, 0, 0, 4, 0][..], &[5; 1024]].concat();
    assert_eq!(read(&many), Err(Error::TooManyValues));
    let fits = [&[0x0a, 0, 0, 3, 0xff][..], &[5; 1023]].concat();
    assert!(read(&fits).is_ok());

    let nested = |depth: usize| [[0x0a, 0, 0, 0, 1].repeat(depth), vec![5]].concat();
    assert!(read(&nested(MAX_DEPTH - 1)).is_ok());
    assert_eq!(read(&nested(MAX_DEPTH)), Err(Error::TooDeep));
    assert_eq!(read(&nested(100_000)), Err(Error::TooDeep));
}

#[test]
fn text_that_is_not_utf8_is_kept_as_far_as_it_goes() {
    assert_eq!(read(b"\x02\0\x03a\xffb"), Ok(Some("a\u{fffd}b".into())));
}

#[test]
fn a_name_that_is_too_long_is_cut_at_a_character() {
    let name = "ż".repeat(40_000);
    let mut bytes = BytesMut::new();
    write_object(&mut bytes, &vec![(name.clone(), Value::Null)]);
    let Ok(Some(Value::Object(object))) = read(&bytes) else {
        panic!()
    };
    assert_eq!(object[0].0, name[..65_534]);
}

#[test]
fn fields_are_found_in_objects_of_any_sort() {
    let value = sample();
    assert_eq!(value.field("number").and_then(Value::as_number), Some(25.5));
    assert_eq!(value.field("flag").and_then(Value::as_bool), Some(true));
    assert_eq!(
        value
            .field("array")
            .and_then(Value::as_array)
            .map(<[_]>::len),
        Some(2)
    );
    assert_eq!(
        value.field("typed").and_then(|typed| typed.field("x")),
        Some(&1.0.into())
    );
    assert_eq!(value.field("missing"), None);
    assert_eq!(Value::Null.field("x"), None);
}
