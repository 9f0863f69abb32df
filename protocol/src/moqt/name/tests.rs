//! Names: limits, prefixes, and the form for people.

use super::*;

fn path(path: &str) -> Namespace {
    Namespace::from_path(path).unwrap()
}

#[test]
fn a_path_is_split_at_slashes_and_written_back() {
    let namespace = path("live/cam");
    assert_eq!(namespace.fields(), ["live", "cam"]);
    assert_eq!(namespace.to_string(), "live/cam");
    assert!(path("").is_empty());
    for bad in ["/", "a/", "/a", "a//b"] {
        assert_eq!(
            Namespace::from_path(bad),
            Err(NameError::EmptyField),
            "{bad}"
        );
    }
}

#[test]
fn bytes_that_are_not_for_people_are_escaped_and_come_back() {
    let fields = [&b"a/b\\"[..], b"\xff\x00tail", "caf\u{e9}\u{85}".as_bytes()];
    let namespace = Namespace::new(fields.map(Bytes::from_static)).unwrap();
    assert_eq!(
        namespace.to_string(),
        "a\\/b\\\\/\\xff\\x00tail/caf\u{e9}\\xc2\\x85"
    );
    assert_eq!(path(&namespace.to_string()), namespace);
    for bad in ["a\\", "a\\q", "a\\x", "a\\x1", "a\\xg0"] {
        assert_eq!(
            Namespace::from_path(bad),
            Err(NameError::BadEscape),
            "{bad}"
        );
    }
}

#[test]
fn prefixes_match_field_by_field() {
    let namespace = path("live/cam/left");
    assert!(namespace.starts_with(&path("live/cam")));
    assert!(namespace.starts_with(&Namespace::empty()));
    assert!(!namespace.starts_with(&path("live/ca")));
    assert_eq!(
        namespace.suffix_after(&path("live")),
        Some(path("cam/left"))
    );
    assert_eq!(namespace.suffix_after(&namespace), Some(Namespace::empty()));
    assert_eq!(namespace.suffix_after(&path("cam")), None);
    assert!(path(".session/x").is_reserved());
    assert!(!path("live/.x").is_reserved());
}

#[test]
fn limits_are_refused_by_name() {
    let fields = |count| std::iter::repeat_n(Bytes::from_static(b"f"), count);
    assert!(Namespace::new(fields(32)).is_ok());
    assert_eq!(
        Namespace::new(fields(33)),
        Err(NameError::TooManyFields(33))
    );
    assert_eq!(
        Namespace::decode(&mut Reader::new(&[33])),
        Err(NameError::TooManyFields(33))
    );
    assert_eq!(
        Namespace::decode(&mut Reader::new(&[1, 0])),
        Err(NameError::EmptyField)
    );
    let long = Namespace::new([Bytes::from(vec![b'n'; 4000])]).unwrap();
    assert!(FullTrackName::new(long.clone(), Bytes::from(vec![b't'; 96])).is_ok());
    assert_eq!(
        FullTrackName::new(long, Bytes::from(vec![b't'; 97])),
        Err(NameError::TooLong(4097))
    );
    assert_eq!(
        Namespace::new([Bytes::from(vec![b'n'; 4097])]),
        Err(NameError::TooLong(4097))
    );
}

#[test]
fn names_round_trip_and_a_cut_is_incomplete() {
    let name = FullTrackName::new(path("live/cam"), Bytes::from_static(b"video")).unwrap();
    let mut out = Vec::new();
    name.encode(&mut out);
    assert_eq!(out, b"\x02\x04live\x03cam\x05video");
    assert_eq!(
        FullTrackName::decode(&mut Reader::new(&out)),
        Ok(name.clone())
    );
    for cut in 0..out.len() {
        assert_eq!(
            FullTrackName::decode(&mut Reader::new(&out[..cut])),
            Err(NameError::Incomplete)
        );
    }
    assert_eq!(name.to_string(), "live/cam/video");
}
