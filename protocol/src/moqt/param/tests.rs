//! Parameters: vectors, scopes, duplicates, bad values.

use bytes::BytesMut;

use super::*;
use crate::moqt::Version;
use crate::wire::Reader;

use Version::{Draft18, Draft19, Draft20, Draft22};

fn decode(version: Version, scope: Scope, bytes: &[u8]) -> Result<Params, ParamError> {
    let mut reader = Reader::new(bytes);
    let params = Params::decode(version, scope, &mut reader)?;
    assert!(reader.is_empty());
    Ok(params)
}

fn encode(version: Version, scope: Scope, params: &Params) -> Result<BytesMut, ParamError> {
    let mut out = BytesMut::new();
    params.encode(version, scope, &mut out).map(|()| out)
}

#[test]
fn subscribe_parameters_match_the_vector() {
    let bytes = [0x03, 0x10, 0x01, 0x10, 0x80, 0x02, 0x02];
    let params = Params {
        forward: Some(true),
        subscriber_priority: Some(128),
        group_order: Some(GroupOrder::Descending),
        ..Default::default()
    };
    for version in Version::ALL {
        let encoded = encode(version, Scope::Subscribe, &params).unwrap();
        assert_eq!(encoded[..], bytes);
        assert_eq!(
            decode(version, Scope::Subscribe, &bytes),
            Ok(params.clone())
        );
    }
}

#[test]
fn largest_object_is_odd_and_bare_and_a_prefix_even_and_a_namespace() {
    let largest = decode(Draft19, Scope::SubscribeOk, &[1, 0x09, 5, 3]).unwrap();
    assert_eq!(largest.largest, Some(Location::new(5, 3)));
    let prefix = decode(Draft18, Scope::PrefixUpdate, &[1, 0x34, 1, 1, b'a']).unwrap();
    assert_eq!(prefix.namespace_prefix, Namespace::from_path("a").ok());
}

#[test]
fn scopes_differ_between_drafts_where_the_drafts_do() {
    // GROUP_ORDER ascending.
    let order = [1, 0x22, 1];
    let param = id::GROUP_ORDER;
    for (version, scope, allowed) in [
        (Draft18, Scope::PublishOk, true),
        (Draft19, Scope::PublishOk, false),
        (Draft18, Scope::SubscribeTracks, false),
        (Draft19, Scope::SubscribeTracks, true),
        (Draft18, Scope::Publish, false),
        (Draft19, Scope::Publish, true),
        (Draft19, Scope::SubscribeOk, false),
        (Draft19, Scope::FetchOk, false),
        (Draft18, Scope::Fetch, true),
    ] {
        let forbidden = ParamError::Forbidden { param, scope };
        let result = decode(version, scope, &order).map(|_| ());
        let expected = if allowed { Ok(()) } else { Err(forbidden) };
        assert_eq!(result, expected, "{version} {scope}");
    }
    // EXPIRES.
    assert!(decode(Draft19, Scope::NamespaceOk, &[1, 8, 0]).is_ok());
    assert!(decode(Draft18, Scope::NamespaceOk, &[1, 8, 0]).is_err());
    // Range filters.
    let range = [1, 0x25, 2, 0, 1];
    assert!(decode(Draft19, Scope::Subscribe, &range).is_ok());
    assert_eq!(
        decode(Draft18, Scope::Subscribe, &range),
        Err(ParamError::Unknown(0x25))
    );
    // All that SUBSCRIBE takes, from draft 19.
    assert!(decode(Draft19, Scope::SubscribeTracks, &[1, 0x20, 7]).is_ok());
    assert!(decode(Draft18, Scope::SubscribeTracks, &[1, 0x20, 7]).is_err());
    // Draft 20: PUBLISH carries what its answer did; FETCH has a filter.
    assert!(decode(Draft20, Scope::Publish, &[1, 0x20, 7]).is_ok());
    assert!(decode(Draft19, Scope::Publish, &[1, 0x20, 7]).is_err());
    assert!(decode(Draft20, Scope::PublishOk, &[1, 0x20, 7]).is_err());
    assert!(decode(Draft20, Scope::Fetch, &[1, 0x21, 1, 0]).is_ok());
    assert!(decode(Draft19, Scope::Fetch, &[1, 0x21, 1, 1]).is_err());
    assert_eq!(
        decode(Draft19, Scope::Subscribe, &[1, 0x35, 1]),
        Err(ParamError::Unknown(0x35))
    );
}

#[test]
fn fill_parameters_hold_what_a_fetch_would_and_nothing_else() {
    for version in [Draft20, Draft22] {
        let subscribe = |bytes: &[u8]| decode(version, Scope::Subscribe, bytes);
        let fill = subscribe(&[1, 0x23, 6, 2, 0x20, 7, 1, 1, 1]).unwrap().fill;
        let fill = fill.unwrap();
        assert_eq!(fill.subscriber_priority, Some(7));
        assert_eq!(fill.filter, Some(Filter::Relative(1)));
        let nested = subscribe(&[1, 0x23, 4, 1, 0x23, 1, 0]);
        let (param, scope) = (id::FILL_PARAMETERS, Scope::Fill);
        assert_eq!(nested, Err(ParamError::Forbidden { param, scope }));
        let trailing = subscribe(&[1, 0x23, 2, 0, 9]);
        assert_eq!(trailing, Err(ParamError::Trailing(param)));
        assert_eq!(subscribe(&[1, 0x23, 9, 0]), Err(ParamError::Incomplete));
        let (param, value) = (id::INCLUDE_PROPERTIES, 2);
        assert_eq!(
            subscribe(&[1, 0x35, 2]),
            Err(ParamError::BadValue { param, value })
        );
    }
}

#[test]
fn unknown_and_repeated_parameters_are_named() {
    let subscribe = |bytes: &[u8]| decode(Draft19, Scope::Subscribe, bytes);
    assert_eq!(subscribe(&[1, 0x05, 0]), Err(ParamError::Unknown(5)));
    assert_eq!(subscribe(&[1, 0x00, 0]), Err(ParamError::Unknown(0)));
    assert_eq!(
        subscribe(&[2, 0x10, 1, 0, 1]),
        Err(ParamError::Duplicate(id::FORWARD))
    );
    let tokens = subscribe(&[2, 3, 2, 2, 1, 0, 2, 2, 2]).unwrap().auth_tokens;
    let expected = [1, 2].map(|alias| Token::UseAlias { alias });
    assert_eq!(tokens, expected);
    assert_eq!(subscribe(&[65]), Err(ParamError::TooMany(65)));
    let mut overflow = vec![2, 0x10, 1];
    overflow.extend([0xff; 9]);
    assert_eq!(subscribe(&overflow), Err(ParamError::TypeOverflow));
}

#[test]
fn bad_values_are_named() {
    let subscribe = |bytes: &[u8]| decode(Draft18, Scope::Subscribe, bytes);
    for (param, value) in [(id::FORWARD, 2), (id::GROUP_ORDER, 0), (id::GROUP_ORDER, 3)] {
        assert_eq!(
            subscribe(&[1, param as u8, value as u8]),
            Err(ParamError::BadValue { param, value })
        );
    }
    assert_eq!(
        subscribe(&[1, 0x21, 1, 9]),
        Err(ParamError::Filter(FilterError::UnknownType(9)))
    );
    assert_eq!(
        subscribe(&[1, 0x03, 1, 9]),
        Err(ParamError::Token(TokenError::UnknownAliasType(9)))
    );
    assert_eq!(subscribe(&[1, 0x10]), Err(ParamError::Incomplete));
    assert_eq!(subscribe(&[1, 0x21, 9, 1]), Err(ParamError::Incomplete));
}

#[test]
fn what_may_not_be_sent_is_not_written() {
    let params = Params {
        largest: Some(Location::default()),
        ..Default::default()
    };
    let scope = Scope::Subscribe;
    let param = id::LARGEST_OBJECT;
    assert_eq!(
        encode(Draft19, scope, &params),
        Err(ParamError::Forbidden { param, scope })
    );
    let unfiltered = Params {
        filter: Some(Filter::Unfiltered),
        ..Default::default()
    };
    assert_eq!(
        encode(Draft18, scope, &unfiltered),
        Err(ParamError::Filter(FilterError::NotInDraft(Draft18)))
    );
}
