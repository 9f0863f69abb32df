//! Which names there are and what is in their catalogs, for whoever comes early or late.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/support.rs"]
mod support;

use std::fs;

use support::{
    ANSWER, Asked, GroupStream, MoqtClient, Process, Scratch, Source, Weir, push, recipes,
    track_of, wait_for,
};
use weir_protocol::catalog::msf::Catalog;
use weir_protocol::moqt::message::{Subscribe, SubscribeNamespace};
use weir_protocol::moqt::{
    Filter, Location, Message, Namespace, Params, RequestErrorCode, Version,
};

#[track_caller]
fn start_stream(relay: &Weir, name: &str) -> (Source, Process) {
    push(&recipes::PLAIN, &relay.rtmp_url(name))
}

fn path(path: &str) -> Namespace {
    Namespace::from_path(path).unwrap()
}

/// Asks for the names below a prefix; the answer has to be REQUEST_OK.
#[track_caller]
fn names_below(client: &mut MoqtClient, prefix: Namespace) -> Asked {
    let request_id = client.fresh_id();
    let mut asked = client.ask(SubscribeNamespace {
        request_id,
        prefix,
        params: Params::default(),
    });
    let answer = asked.next();
    assert!(matches!(answer, Some(Message::RequestOk(_))), "{answer:?}");
    asked
}

#[track_caller]
fn added(asked: &mut Asked) -> Namespace {
    match asked.next() {
        Some(Message::Namespace(added)) => added.suffix,
        other => panic!("no NAMESPACE: {other:?}"),
    }
}

#[track_caller]
fn withdrawn(asked: &mut Asked) -> Namespace {
    match asked.next() {
        Some(Message::NamespaceDone(done)) => done.suffix,
        other => panic!("no NAMESPACE_DONE: {other:?}"),
    }
}

#[test]
fn names_are_told_when_they_come_and_withdrawn_when_they_end() {
    let file = Scratch::new("linger.toml");
    fs::write(file.path(), "[stream]\nlinger_ms = 1000\n").unwrap();
    let relay = Weir::start_with(&["--config", &file.path().to_string_lossy()]);
    let mut clients: Vec<_> = Version::ALL
        .into_iter()
        .map(|version| MoqtClient::connect(relay.quic, version))
        .collect();
    let mut early: Vec<_> = clients
        .iter_mut()
        .map(|client| names_below(client, path("live")))
        .collect();
    let mut elsewhere = names_below(&mut clients[0], path("liv"));
    let (_source, push) = start_stream(&relay, "live/cam");
    for asked in &mut early {
        assert_eq!(added(asked), path("cam"));
    }
    for client in &mut clients {
        assert_eq!(
            added(&mut names_below(client, Namespace::empty())),
            path("live/cam")
        );
        let mut exact = names_below(client, path("live/cam"));
        assert_eq!(added(&mut exact), Namespace::empty(), "an exact match");
        // Nobody asks for a name that was told in vain.
        let catalog = client.subscribe("catalog", Params::default()).subscribed();
        assert!(catalog.params.largest.is_some());
        turn(client, &mut exact, "other");
        turn(client, &mut exact, "live");
        assert_eq!(added(&mut exact), path("cam"), "relative to the new prefix");
    }
    drop(push);
    for asked in &mut early {
        assert_eq!(withdrawn(asked), path("cam"));
    }
    let (_source, _push) = start_stream(&relay, "live/cam");
    for asked in &mut early {
        assert_eq!(added(asked), path("cam"));
    }
    // A field is matched whole, so this is the first that it hears.
    turn(&mut clients[0], &mut elsewhere, "live");
    assert_eq!(added(&mut elsewhere), path("cam"));
}

/// Changes the prefix of a request.
#[track_caller]
fn turn(client: &mut MoqtClient, asked: &mut Asked, prefix: &str) {
    let params = Params {
        namespace_prefix: Some(path(prefix)),
        ..Params::default()
    };
    let answer = asked.update(client.fresh_id(), params);
    assert!(matches!(answer, Message::RequestOk(_)), "{answer:?}");
}

#[test]
fn fin_ends_a_namespace_request_of_draft_18_and_of_no_later_one() {
    let relay = Weir::start();
    let mut old = MoqtClient::connect(relay.quic, Version::Draft18);
    let mut asked = names_below(&mut old, path("live"));
    asked.finish();
    assert_eq!(asked.next(), None, "the relay ends its half, too");
    let mut new = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut asked = names_below(&mut new, path("live"));
    asked.finish();
    let (_source, _push) = start_stream(&relay, "live/cam");
    assert_eq!(added(&mut asked), path("cam"));
    assert!(old.is_open() && new.is_open());
}

#[test]
fn overlapping_prefixes_are_served_and_too_many_are_refused() {
    let relay = Weir::start();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut held: Vec<_> = (0..64)
        .map(|_| names_below(&mut client, Namespace::empty()))
        .collect();
    let request_id = client.fresh_id();
    let one_more = |request_id| SubscribeNamespace {
        request_id,
        prefix: path("live"),
        params: Params::default(),
    };
    let error = client.ask(one_more(request_id)).refused();
    assert_eq!(error.code, RequestErrorCode::ExcessiveLoad);
    held.pop().unwrap().cancel();
    wait_for("the place of the cancelled request", ANSWER, || {
        let request_id = client.fresh_id();
        match client.ask(one_more(request_id)).next() {
            Some(Message::RequestOk(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(client.is_open());
}

/// The one group of a catalog, when it is all there.
fn whole(groups: &[GroupStream]) -> bool {
    matches!(groups, [group] if group.is_whole())
}

#[test]
fn whoever_subscribes_to_a_catalog_gets_it_early_or_late_with_any_filter() {
    let relay = Weir::start();
    for version in Version::ALL {
        let name = format!("live/{version}");
        let mut client = MoqtClient::connect(relay.quic, version);
        let request_id = client.fresh_id();
        let mut early = client.ask(Subscribe {
            request_id,
            track: track_of(&name, "catalog"),
            params: Params {
                rendezvous_timeout_ms: Some(30_000),
                ..Params::default()
            },
        });
        let (_source, push) = start_stream(&relay, &name);
        let alias = early.subscribed().alias;
        let groups = client.wait_groups("the catalog", alias, |groups| !groups.is_empty());
        Catalog::parse(&groups[0].objects[0].payload).unwrap();
        relay.wait_live(&name, &["video", "audio"]);
        drop(early);
        for filter in filters() {
            let mut late = MoqtClient::connect(relay.quic, version);
            let request_id = late.fresh_id();
            let mut asked = late.ask(Subscribe {
                request_id,
                track: track_of(&name, "catalog"),
                params: Params {
                    filter,
                    ..Params::default()
                },
            });
            let ok = asked.subscribed();
            let largest = ok.params.largest.unwrap();
            let groups = late.wait_groups("the catalog", ok.alias, whole);
            let object = &groups[0].objects[0];
            assert_eq!(object.location, largest, "LARGEST_OBJECT is true");
            let catalog = Catalog::parse(&object.payload).unwrap();
            assert_eq!(catalog.tracks.len(), 2, "the newest catalog");
            let track = track_of(&name, "catalog");
            let newest = late.fetch_range(&track, largest, largest, Params::default());
            assert_eq!(late.wait_fetched(&newest).objects.first(), Some(object));
            let (mut join, fetch) = late.subscribe_and_join(track);
            if version > Version::Draft18 {
                join.subscribed();
                let joined = late.wait_fetched(fetch.as_ref().unwrap_or(&join));
                assert_eq!(joined.objects.last(), Some(object));
            }
        }
        drop(push);
    }
}

fn filters() -> [Option<Filter>; 4] {
    [
        None,
        Some(Filter::NextObject),
        Some(Filter::Relative(0)),
        Some(Filter::Absolute {
            start: Location::new(0, 0),
            end: None,
        }),
    ]
}

#[test]
fn questions_for_names_are_bounded_and_a_place_is_given_back() {
    let relay = Weir::start();
    let mut client = MoqtClient::connect(relay.quic, Version::Draft19);
    let mut open: Vec<_> = (0..64)
        .map(|_| names_below(&mut client, path("nowhere")))
        .collect();
    let mut ask = || {
        let request_id = client.fresh_id();
        let mut asked = client.ask(SubscribeNamespace {
            request_id,
            prefix: path("nowhere"),
            params: Params::default(),
        });
        (asked.next(), asked)
    };
    let (refused, _) = ask();
    let Some(Message::RequestError(refused)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refused.code, RequestErrorCode::ExcessiveLoad);
    open.pop().unwrap().cancel();
    wait_for(
        "the place of the one that was cancelled",
        ANSWER,
        || match ask().0 {
            Some(Message::RequestOk(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
}
