//! Files that are damaged, endless or not FLV.

use super::*;

fn demuxer(bytes: &[u8]) -> Demuxer {
    let mut demuxer = Demuxer::new(1000);
    demuxer
        .handle_bytes(b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00")
        .unwrap();
    demuxer.handle_bytes(bytes).unwrap();
    demuxer
}

#[test]
fn other_files_are_refused() {
    for (header, error) in [
        (b"RIFF\x01\x00\x00\x00\x09", Error::Signature),
        (b"FLV\x02\x05\x00\x00\x00\x09", Error::Version(2)),
        (b"FLV\x01\x05\x00\x00\x00\x08", Error::HeaderLength(8)),
        (b"FLV\x01\x05\x00\x00\x04\x01", Error::HeaderLength(1025)),
    ] {
        let mut demuxer = Demuxer::default();
        demuxer.handle_bytes(header).unwrap();
        assert_eq!(demuxer.next_tag(), Err(error));
    }
}

#[test]
fn longer_file_header_is_skipped() {
    let mut demuxer = Demuxer::default();
    demuxer
        .handle_bytes(b"FLV\x01\x05\x00\x00\x00\x0bxx\x00\x00\x00\x00")
        .unwrap();
    demuxer
        .handle_bytes(b"\x08\x00\x00\x01\x00\x00\x07\x00\x00\x00\x00\xaf")
        .unwrap();
    let tag = demuxer.next_tag().unwrap().unwrap();
    assert_eq!((tag.timestamp_ms, &tag.body[..]), (7, &[0xaf][..]));
}

#[test]
fn damaged_tags_are_refused_by_name() {
    let mut unknown = demuxer(b"\x07\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00");
    assert_eq!(unknown.next_tag(), Err(Error::TagType(7)));
    let mut encrypted = demuxer(b"\x29\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00");
    assert_eq!(encrypted.next_tag(), Err(Error::Encrypted));
    let mut long = demuxer(b"\x09\x00\x03\xe9\x00\x00\x00\x00\x00\x00\x00");
    let refused = Error::BodyTooLong {
        len: 1001,
        limit: 1000,
    };
    assert_eq!(long.next_tag(), Err(refused));
}

#[test]
fn buffer_does_not_grow_without_end() {
    let mut demuxer = demuxer(&[8; 2000]);
    assert_eq!(demuxer.handle_bytes(b"x"), Err(Error::NotDrained(2013)));
}

#[test]
fn last_tag_comes_out_without_the_size_behind_it() {
    let mut demuxer = demuxer(b"\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
    assert!(demuxer.next_tag().unwrap().unwrap().body.is_empty());
    assert_eq!(demuxer.next_tag(), Ok(None));
}
