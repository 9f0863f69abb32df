//! Random messages that the codec must carry, from a seed.

use bytes::Bytes;

use super::super::*;
use crate::moqt::error::{PublishDoneCode, RequestErrorCode};
use crate::moqt::location::{Filter, GroupOrder, LAST_OBJECT, Location};
use crate::moqt::name::{FullTrackName, Namespace};
use crate::moqt::param::{Params, RangeFilter, Scope};
use crate::moqt::properties::{Properties, TrackProperties};
use crate::moqt::token::Token;

use RequestKind as Kind;
use Version::Draft18;

/// A small generator with a printable seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn pick<T, const N: usize>(&mut self, among: [T; N]) -> T {
        let index = self.below(N as u64) as usize;
        among.into_iter().nth(index).unwrap()
    }

    /// A number of any length on the wire.
    fn int(&mut self) -> u64 {
        let shift = self.below(64);
        self.next() >> shift
    }

    fn bytes(&mut self, len: u64) -> Bytes {
        (0..self.below(len + 1))
            .map(|_| self.next() as u8)
            .collect()
    }

    fn text(&mut self) -> String {
        let len = self.below(20);
        (0..len).map(|_| self.pick(['a', '/', 'ü', ' '])).collect()
    }

    fn namespace(&mut self) -> Namespace {
        let fields = self.below(5);
        let fields = (0..fields).map(|_| {
            let mut field = self.bytes(12).to_vec();
            field.push(b'f');
            Bytes::from(field)
        });
        Namespace::new(fields.collect::<Vec<_>>()).unwrap()
    }

    fn track(&mut self) -> FullTrackName {
        FullTrackName::new(self.namespace(), self.bytes(12)).unwrap()
    }

    fn location(&mut self) -> Location {
        Location::new(self.int(), self.int())
    }

    fn token(&mut self, in_setup: bool) -> Token {
        let (alias, kind, value) = (self.int(), self.int(), self.bytes(9));
        match self.below(if in_setup { 2 } else { 4 }) {
            0 => Token::Register { alias, kind, value },
            1 => Token::UseValue { kind, value },
            2 => Token::UseAlias { alias },
            _ => Token::Delete { alias },
        }
    }

    fn filter(&mut self, version: Version) -> Filter {
        let mut start = self.location();
        start.object = start.object.max(1);
        let group = start.group.saturating_add(self.int());
        let within = start.object.saturating_add(self.int());
        let range = |object| Filter::Absolute {
            start,
            end: Some(Location::new(group, object)),
        };
        let later = version.has_fill();
        self.pick([
            Filter::Relative(0),
            Filter::NextObject,
            Filter::Absolute { start, end: None },
            range(LAST_OBJECT),
            if later {
                range(within)
            } else {
                Filter::NextObject
            },
            if later {
                Filter::Unfiltered
            } else {
                Filter::NextObject
            },
            if later {
                Filter::Relative(within)
            } else {
                Filter::NextObject
            },
        ])
    }

    /// Some of the parameters that the scope allows: the encoder is asked which those are.
    fn params(&mut self, version: Version, scope: Scope) -> Params {
        let mut params = Params::default();
        for field in 0..16 {
            let mut with = params.clone();
            match field {
                0 => with.object_delivery_timeout_ms = Some(self.int()),
                1 => with.auth_tokens = (0..3).map(|_| self.token(false)).collect(),
                2 => with.rendezvous_timeout_ms = Some(self.int()),
                3 => with.subgroup_delivery_timeout_ms = Some(self.int()),
                4 => with.expires_ms = Some(self.int()),
                5 => with.largest = Some(self.location()),
                6 => with.fill_timeout_ms = Some(self.int()),
                7 => with.forward = Some(self.pick([true, false])),
                8 => with.subscriber_priority = Some(self.next() as u8),
                9 => with.filter = Some(self.filter(version)),
                10 => {
                    let order = self.pick([GroupOrder::Ascending, GroupOrder::Descending]);
                    with.group_order = Some(order);
                }
                11 => {
                    for kind in [0x25, 0x25, 0x28] {
                        let value = self.bytes(9);
                        with.range_filters.push(RangeFilter { kind, value });
                    }
                }
                12 => with.new_group_request = Some(self.int()),
                13 => with.namespace_prefix = Some(self.namespace()),
                14 => with.include_properties = Some(self.pick([true, false])),
                // Within itself it is not allowed, so this ends.
                _ if scope == Scope::Fill => {}
                _ => with.fill = Some(Box::new(self.params(version, Scope::Fill))),
            }
            let allowed = with.encode(version, scope, &mut BytesMut::new()).is_ok();
            if allowed && self.below(2) == 0 {
                params = with;
            }
        }
        params
    }

    fn properties(&mut self) -> Properties {
        TrackProperties {
            timescale: Some(self.int().max(1)),
            publisher_priority: Some(self.next() as u8),
            max_cache_duration_ms: self.pick([None, Some(5)]),
            ..Default::default()
        }
        .to_block()
    }

    fn kind(&mut self) -> Kind {
        self.pick([
            Kind::Subscribe,
            Kind::Publish,
            Kind::Fetch,
            Kind::TrackStatus,
            Kind::PublishNamespace,
            Kind::SubscribeNamespace,
            Kind::SubscribeTracks,
        ])
    }

    pub(super) fn message(&mut self, version: Version) -> (StreamRole, Message) {
        match self.below(4) {
            0 => (StreamRole::Opening, self.request(version)),
            1 => self.session_message(version),
            2 => self.answer(version),
            _ => self.later_message(version),
        }
    }

    fn request(&mut self, version: Version) -> Message {
        let request_id = self.int();
        let kind = self.kind();
        let scope = match kind {
            Kind::Subscribe => Scope::Subscribe,
            Kind::Publish => Scope::Publish,
            Kind::Fetch => Scope::Fetch,
            Kind::TrackStatus => Scope::TrackStatus,
            Kind::PublishNamespace => Scope::PublishNamespace,
            Kind::SubscribeNamespace => Scope::SubscribeNamespace,
            Kind::SubscribeTracks => Scope::SubscribeTracks,
        };
        let params = self.params(version, scope);
        let (track, prefix) = (self.track(), self.namespace());
        match kind {
            Kind::Subscribe => Message::Subscribe(Subscribe {
                request_id,
                track,
                params,
            }),
            Kind::Publish => Message::Publish(Publish {
                request_id,
                track,
                alias: self.int(),
                params,
                properties: self.properties(),
            }),
            Kind::Fetch => Message::Fetch(Fetch {
                request_id,
                kind: self.fetch_kind(version),
                params,
            }),
            Kind::TrackStatus => Message::TrackStatus(TrackStatus {
                request_id,
                track,
                params,
            }),
            Kind::PublishNamespace => Message::PublishNamespace(PublishNamespace {
                request_id,
                namespace: prefix,
                params,
            }),
            Kind::SubscribeNamespace => Message::SubscribeNamespace(SubscribeNamespace {
                request_id,
                prefix,
                params,
            }),
            Kind::SubscribeTracks => Message::SubscribeTracks(SubscribeTracks {
                request_id,
                prefix,
                params,
            }),
        }
    }

    fn fetch_kind(&mut self, version: Version) -> FetchKind {
        let joining_request_id = self.int();
        if version.has_fill() {
            return FetchKind::Filtered {
                track: self.track(),
            };
        }
        match self.below(3) {
            0 => FetchKind::Standalone {
                track: self.track(),
                start: self.location(),
                end: self.location(),
            },
            1 => FetchKind::RelativeJoining {
                joining_request_id,
                groups: self.int(),
            },
            _ => FetchKind::AbsoluteJoining {
                joining_request_id,
                group: self.int(),
            },
        }
    }

    fn session_message(&mut self, version: Version) -> (StreamRole, Message) {
        let on = match self.below(3) {
            0 => StreamRole::Requester(self.kind()),
            _ => StreamRole::Control,
        };
        if on == StreamRole::Control && self.below(2) == 0 {
            let draft_19 = (version > Draft18).then_some(5);
            let setup = Setup {
                path: Some(self.text()),
                auth_tokens: (0..self.below(3)).map(|_| self.token(true)).collect(),
                max_auth_token_cache_size: Some(self.int()),
                authority: self.pick([None, Some("host".to_owned())]),
                max_filter_ranges: draft_19,
                implementation: Some(self.text()),
                max_request_updates: draft_19,
            };
            return (on, setup.into());
        }
        let with_id = on == StreamRole::Control && version == Draft18;
        let goaway = Goaway {
            uri: self.text(),
            timeout_ms: self.int(),
            request_id: with_id.then(|| self.int()),
        };
        (on, goaway.into())
    }

    fn request_error(&mut self, kind: Kind) -> RequestError {
        let mut error = RequestError::new(RequestErrorCode::from_code(self.int()), self.text());
        error.retry_ms = self.pick([None, Some(0), Some(1000)]);
        if self.below(3) == 0 || error.code == RequestErrorCode::Redirect {
            let track = match kind.is_namespace() {
                true => FullTrackName::new(self.namespace(), Bytes::new()).unwrap(),
                false => self.track(),
            };
            error.code = RequestErrorCode::Redirect;
            error.redirect = Some(Box::new(Redirect {
                uri: self.text(),
                track,
            }));
        }
        error
    }

    fn answer(&mut self, version: Version) -> (StreamRole, Message) {
        let kind = self.kind();
        let on = StreamRole::Answer(kind);
        if self.below(3) == 0 {
            return (on, self.request_error(kind).into());
        }
        let message = match kind {
            Kind::Subscribe => Message::SubscribeOk(SubscribeOk {
                alias: self.int(),
                params: self.params(version, Scope::SubscribeOk),
                properties: self.properties(),
            }),
            Kind::Fetch => Message::FetchOk(FetchOk {
                end_of_track: self.pick([true, false]),
                end: self.location(),
                params: self.params(version, Scope::FetchOk),
                properties: self.properties(),
            }),
            Kind::TrackStatus => Message::RequestOk(RequestOk {
                params: self.params(version, Scope::TrackStatusOk),
                properties: self.properties(),
            }),
            Kind::Publish
            | Kind::PublishNamespace
            | Kind::SubscribeNamespace
            | Kind::SubscribeTracks => Message::RequestOk(RequestOk {
                params: self.params(version, on.ok_scope()),
                properties: Properties::default(),
            }),
        };
        (on, message)
    }

    fn later_message(&mut self, version: Version) -> (StreamRole, Message) {
        let suffix = self.namespace();
        match self.below(6 + u64::from(version.has_fill())) {
            0 => {
                let kind = self.pick([Kind::Subscribe, Kind::SubscribeTracks, Kind::Fetch]);
                let on = StreamRole::Requester(kind);
                let update = RequestUpdate {
                    request_id: self.int(),
                    params: self.params(version, on.update_scope()),
                };
                (on, update.into())
            }
            1 => {
                let on = self.pick([
                    StreamRole::Responder(Kind::Subscribe),
                    StreamRole::Requester(Kind::Publish),
                ]);
                let done = PublishDone {
                    code: PublishDoneCode::from_code(self.int()),
                    stream_count: self.pick([None, Some(0), Some(77)]),
                    reason: self.text(),
                };
                (on, done.into())
            }
            2 => {
                let on = StreamRole::Responder(Kind::SubscribeNamespace);
                (on, NamespaceAdded { suffix }.into())
            }
            3 => {
                let on = StreamRole::Responder(Kind::SubscribeNamespace);
                (on, NamespaceDone { suffix }.into())
            }
            4 => {
                let on = StreamRole::Responder(Kind::SubscribeTracks);
                let track = self.bytes(9);
                (on, PublishSkipped { suffix, track }.into())
            }
            6 => {
                let on = StreamRole::Responder(Kind::Subscribe);
                let params = self.params(version, Scope::StateNotify);
                (on, PublishStateNotify { params }.into())
            }
            _ => {
                let on = StreamRole::Requester(Kind::Publish);
                let ok = RequestOk {
                    params: self.params(version, Scope::UpdateOk),
                    properties: Properties::default(),
                };
                (on, ok.into())
            }
        }
    }
}
