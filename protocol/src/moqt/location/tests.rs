//! Locations and filters: where they start, and each draft's form.

use super::*;

use Version::{Draft18, Draft19, Draft20, Draft21, Draft22};

fn encode(version: Version, filter: Filter) -> Result<Vec<u8>, FilterError> {
    let mut out = Vec::new();
    filter.encode(version, &mut out).map(|()| out)
}

fn decode(version: Version, bytes: &[u8]) -> Result<Filter, FilterError> {
    let mut reader = Reader::new(bytes);
    let filter = Filter::decode(version, &mut reader)?;
    assert!(reader.is_empty());
    Ok(filter)
}

fn range(start: Location, group: u64, object: u64) -> Filter {
    let end = Some(Location::new(group, object));
    Filter::Absolute { start, end }
}

#[test]
fn filters_start_where_the_draft_says() {
    let largest = Some(Location::new(7, 3));
    assert_eq!(Filter::NextObject.start(largest), Location::new(7, 4));
    assert_eq!(Filter::Unfiltered.start(largest), Location::new(7, 4));
    assert_eq!(Filter::Relative(0).start(largest), Location::new(8, 0));
    assert_eq!(Filter::Relative(1).start(largest), Location::new(7, 0));
    assert_eq!(Filter::Relative(99).start(largest), Location::new(0, 0));
    assert_eq!(Filter::NextObject.start(None), Location::new(0, 0));
    let start = Location::new(2, 1);
    let range = range(start, 4, 9);
    assert_eq!(range.start(largest), start);
    assert_eq!(range.end(), Some(Location::new(4, 9)));
}

#[test]
fn filters_round_trip_in_every_draft_that_has_them() {
    let start = Location::new(300, 2);
    let always = [
        Filter::NextObject,
        Filter::Relative(0),
        Filter::Absolute { start, end: None },
        range(start, 300, LAST_OBJECT),
        range(start, u64::MAX, LAST_OBJECT),
    ];
    let since_20 = [
        Filter::Unfiltered,
        Filter::Relative(1),
        Filter::Relative(u64::MAX),
        range(start, 300, 2),
        range(Location::default(), 0, 0),
        range(start, 301, 0),
    ];
    for version in Version::ALL {
        let more = since_20.iter().filter(|_| version >= Draft20);
        for &filter in always.iter().chain(more) {
            let out = encode(version, filter).unwrap();
            assert_eq!(decode(version, &out), Ok(filter), "{version}");
            for cut in 0..out.len() {
                let cut = decode(version, &out[..cut]);
                assert_eq!(cut, Err(FilterError::Incomplete), "{version} {filter:?}");
            }
        }
    }
}

#[test]
fn each_draft_has_its_own_bytes_for_a_filter() {
    let start = Location::new(2, 1);
    let filters = [
        Filter::NextObject,
        Filter::Relative(0),
        Filter::Absolute { start, end: None },
        range(start, 5, LAST_OBJECT),
    ];
    let tagged: [&[u8]; 4] = [&[1, 2], &[1, 1], &[3, 3, 2, 1], &[4, 4, 2, 1, 3]];
    let counted: [&[u8]; 4] = [&[2, 0, 0], &[1, 0], &[2, 2, 1], &[3, 2, 1, 3]];
    let typed: [&[u8]; 4] = [&[5], &[1, 0], &[2, 2, 1], &[3, 2, 1, 3]];
    for (version, bytes) in [
        (Draft18, tagged),
        (Draft19, tagged),
        (Draft20, counted),
        (Draft21, counted),
        (Draft22, typed),
    ] {
        for (filter, bytes) in filters.into_iter().zip(bytes) {
            assert_eq!(encode(version, filter).unwrap(), bytes, "{version}");
        }
    }
    assert_eq!(encode(Draft20, Filter::Unfiltered).unwrap(), [0]);
    assert_eq!(encode(Draft22, Filter::Unfiltered).unwrap(), [0]);
    let ends_within = range(start, 5, 7);
    assert_eq!(encode(Draft20, ends_within).unwrap(), [4, 2, 1, 3, 7]);
    assert_eq!(encode(Draft22, ends_within).unwrap(), [4, 2, 1, 3, 7]);
    let everything = Filter::Absolute {
        start: Location::default(),
        end: None,
    };
    assert_eq!(encode(Draft20, everything).unwrap(), [0], "as no filter");
    assert_eq!(encode(Draft22, everything).unwrap(), [2, 0, 0]);
}

#[test]
fn what_a_draft_cannot_say_is_an_error() {
    for version in [Draft18, Draft19] {
        let not_in_draft = Err(FilterError::NotInDraft(version));
        assert_eq!(encode(version, Filter::Relative(1)), not_in_draft);
        assert_eq!(encode(version, Filter::Unfiltered), not_in_draft);
        let within = range(Location::new(2, 0), 2, 5);
        assert_eq!(encode(version, within), not_in_draft);
        let unknown = Err(FilterError::UnknownType(5));
        assert_eq!(decode(version, &[1, 5]), unknown);
    }
    assert_eq!(decode(Draft22, &[6]), Err(FilterError::UnknownType(6)));
}

#[test]
fn ranges_that_cannot_be_are_named() {
    let backwards = range(Location::new(2, 0), 1, 0);
    for version in Version::ALL {
        assert_eq!(encode(version, backwards), Err(FilterError::EndBeforeStart));
    }
    assert_eq!(decode(Draft19, &[2, 2, 0]), Err(FilterError::Trailing));
    assert_eq!(
        decode(Draft20, &[5, 1, 1, 1, 1, 1]),
        Err(FilterError::Trailing)
    );
    for (version, bytes) in [(Draft20, [4, 1, 5, 0, 4]), (Draft22, [4, 1, 5, 0, 4])] {
        assert_eq!(decode(version, &bytes), Err(FilterError::EndBeforeStart));
    }
    for (version, head) in [
        (Draft19, &[12, 4, 1, 0][..]),
        (Draft20, &[11, 1, 0]),
        (Draft22, &[3, 1, 0]),
    ] {
        let mut overflow = head.to_vec();
        overflow.extend([0xff; 9]);
        assert_eq!(decode(version, &overflow), Err(FilterError::EndOverflow));
    }
}

#[test]
fn locations_order_by_group_first() {
    assert!(Location::new(1, 9) < Location::new(2, 0));
    assert!(Location::new(2, 0) < Location::new(2, 1));
}
