//! Values in, bytes out.

use super::{Object, Value};
use bytes::{BufMut, BytesMut};

/// Appends a value.
pub fn write(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Number(number) => write_number(out, *number),
        Value::Boolean(boolean) => out.put_slice(&[1, u8::from(*boolean)]),
        Value::String(text) => write_str(out, text),
        Value::Object(object) => write_object(out, object),
        Value::Null => out.put_u8(5),
        Value::Undefined => out.put_u8(6),
        Value::Reference(index) => {
            out.put_u8(7);
            out.put_u16(*index);
        }
        Value::EcmaArray(object) => {
            out.put_u8(8);
            out.put_u32(object.len() as u32);
            put_pairs(out, object);
        }
        Value::StrictArray(array) => {
            out.put_u8(10);
            out.put_u32(array.len() as u32);
            for value in array {
                write(out, value);
            }
        }
        Value::Date(date) => {
            out.put_u8(11);
            out.put_f64(*date);
            out.put_u16(0);
        }
        Value::Unsupported => out.put_u8(13),
        Value::XmlDocument(text) => {
            out.put_u8(15);
            out.put_u32(text.len() as u32);
            out.put_slice(text.as_bytes());
        }
        Value::TypedObject(class, object) => {
            out.put_u8(16);
            put_short_text(out, class);
            put_pairs(out, object);
        }
    }
}

/// Appends a string; one of more than 64 KiB in the long form.
pub fn write_str(out: &mut BytesMut, text: &str) {
    if text.len() > usize::from(u16::MAX) {
        out.put_u8(12);
        out.put_u32(text.len() as u32);
        out.put_slice(text.as_bytes());
    } else {
        out.put_u8(2);
        put_short_text(out, text);
    }
}

/// Appends a number.
pub fn write_number(out: &mut BytesMut, number: f64) {
    out.put_u8(0);
    out.put_f64(number);
}

/// Appends an object.
pub fn write_object(out: &mut BytesMut, object: &Object) {
    out.put_u8(3);
    put_pairs(out, object);
}

fn put_pairs(out: &mut BytesMut, object: &Object) {
    for (name, value) in object {
        put_short_text(out, name);
        write(out, value);
    }
    out.put_slice(&[0, 0, 9]);
}

/// A name has no long form: what does not fit is cut at a character.
fn put_short_text(out: &mut BytesMut, text: &str) {
    let mut length = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    out.put_u16(length as u16);
    out.put_slice(text.as_bytes().get(..length).unwrap_or_default());
}
