//! Which parameter is allowed on which message, in which draft.

use std::fmt;

use super::id;
use crate::moqt::Version;

/// A message in its role as a carrier of parameters. REQUEST_OK is several: the draft gives it
/// the name of the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// SUBSCRIBE.
    Subscribe,
    /// SUBSCRIBE_OK.
    SubscribeOk,
    /// PUBLISH.
    Publish,
    /// REQUEST_OK that answers PUBLISH.
    PublishOk,
    /// FETCH.
    Fetch,
    /// FETCH_OK.
    FetchOk,
    /// TRACK_STATUS.
    TrackStatus,
    /// REQUEST_OK that answers TRACK_STATUS.
    TrackStatusOk,
    /// PUBLISH_NAMESPACE.
    PublishNamespace,
    /// SUBSCRIBE_NAMESPACE.
    SubscribeNamespace,
    /// SUBSCRIBE_TRACKS.
    SubscribeTracks,
    /// REQUEST_OK that answers one of the three before.
    NamespaceOk,
    /// REQUEST_UPDATE of a subscription, a FETCH or an announced namespace.
    Update,
    /// REQUEST_UPDATE of SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS.
    PrefixUpdate,
    /// REQUEST_OK that answers REQUEST_UPDATE.
    UpdateOk,
    /// PUBLISH_STATE_NOTIFY (draft 20).
    StateNotify,
    /// Within FILL_PARAMETERS (draft 20).
    Fill,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscribe => "SUBSCRIBE",
            Self::SubscribeOk => "SUBSCRIBE_OK",
            Self::Publish => "PUBLISH",
            Self::PublishOk => "the REQUEST_OK of PUBLISH",
            Self::Fetch => "FETCH",
            Self::FetchOk => "FETCH_OK",
            Self::TrackStatus => "TRACK_STATUS",
            Self::TrackStatusOk => "the REQUEST_OK of TRACK_STATUS",
            Self::PublishNamespace => "PUBLISH_NAMESPACE",
            Self::SubscribeNamespace => "SUBSCRIBE_NAMESPACE",
            Self::SubscribeTracks => "SUBSCRIBE_TRACKS",
            Self::NamespaceOk => "the REQUEST_OK of a namespace request",
            Self::Update => "REQUEST_UPDATE",
            Self::PrefixUpdate => "the REQUEST_UPDATE of a prefix",
            Self::UpdateOk => "the REQUEST_OK of REQUEST_UPDATE",
            Self::StateNotify => "PUBLISH_STATE_NOTIFY",
            Self::Fill => "FILL_PARAMETERS",
        })
    }
}

/// Whether `param` is allowed on `scope`; `None` when the draft has no such parameter.
pub(super) fn allowed(param: u64, scope: Scope, version: Version) -> Option<bool> {
    let table = scopes(param, version)?;
    // Draft 19, "Parameters on SUBSCRIBE_TRACKS": all that SUBSCRIBE takes are defaults there.
    let as_subscribe = version >= Version::Draft19 && scope == Scope::SubscribeTracks;
    // What updates a subscription may update those that follow from a prefix.
    let as_update = scope == Scope::PrefixUpdate;
    Some(
        table.contains(&scope)
            || as_subscribe && table.contains(&Scope::Subscribe)
            || as_update && table.contains(&Scope::Update),
    )
}

fn scopes(param: u64, version: Version) -> Option<&'static [Scope]> {
    use Scope::*;
    let since_19 = version >= Version::Draft19;
    if version >= Version::Draft20
        && let Some(table) = scopes_since_20(param)
    {
        return Some(table);
    }
    Some(match param {
        id::OBJECT_DELIVERY_TIMEOUT | id::SUBGROUP_DELIVERY_TIMEOUT => {
            &[Subscribe, PublishOk, Update]
        }
        id::AUTHORIZATION_TOKEN => &[
            Subscribe,
            Publish,
            Fetch,
            TrackStatus,
            PublishNamespace,
            SubscribeNamespace,
            SubscribeTracks,
            Update,
        ],
        id::RENDEZVOUS_TIMEOUT => &[Subscribe],
        id::EXPIRES if since_19 => &[SubscribeOk, Publish, PublishOk, UpdateOk, NamespaceOk],
        id::EXPIRES => &[SubscribeOk, Publish, PublishOk, UpdateOk],
        id::LARGEST_OBJECT => &[SubscribeOk, Publish, UpdateOk, TrackStatusOk],
        id::FILL_TIMEOUT => &[Fetch],
        id::FORWARD => &[Subscribe, Update, Publish, PublishOk, SubscribeTracks],
        id::SUBSCRIBER_PRIORITY => &[Subscribe, Fetch, Update, PublishOk],
        id::FILTER => &[Subscribe, PublishOk, Update],
        id::GROUP_ORDER if since_19 => &[Subscribe, SubscribeTracks, Fetch, Publish],
        id::GROUP_ORDER => &[Subscribe, PublishOk, Fetch],
        id::TRACK_PROPERTY_FILTER if since_19 => &[SubscribeTracks, PrefixUpdate],
        id::SUBGROUP_FILTER..id::TRACK_PROPERTY_FILTER if since_19 => {
            &[Subscribe, Fetch, SubscribeTracks, PublishOk, Update]
        }
        id::NEW_GROUP_REQUEST => &[Subscribe, PublishOk, Update],
        id::TRACK_NAMESPACE_PREFIX => &[PrefixUpdate],
        _ => return None,
    })
}

/// What draft 20 moved or added. PUBLISH carries what the publisher grants by itself; who answers
/// it and wants something else sends an update, so that the answer carries EXPIRES only.
fn scopes_since_20(param: u64) -> Option<&'static [Scope]> {
    use Scope::*;
    Some(match param {
        id::OBJECT_DELIVERY_TIMEOUT | id::SUBGROUP_DELIVERY_TIMEOUT => {
            &[Subscribe, Publish, Update]
        }
        id::LARGEST_OBJECT => &[SubscribeOk, Publish, UpdateOk, TrackStatusOk, StateNotify],
        id::FILL_TIMEOUT => &[Fetch, Fill],
        id::FORWARD => &[Subscribe, Update, Publish, SubscribeTracks, StateNotify],
        id::SUBSCRIBER_PRIORITY => &[Subscribe, Publish, Fetch, Update, Fill],
        id::FILTER => &[Subscribe, Publish, Fetch, Update, StateNotify, Fill],
        id::GROUP_ORDER => &[Subscribe, SubscribeTracks, Fetch, Publish, Fill],
        id::FILL_PARAMETERS => &[Subscribe, Update],
        id::SUBGROUP_FILTER..id::TRACK_PROPERTY_FILTER => {
            &[Subscribe, Publish, Fetch, SubscribeTracks, Update, Fill]
        }
        id::NEW_GROUP_REQUEST => &[Subscribe, Update],
        id::INCLUDE_PROPERTIES => &[Subscribe, TrackStatus, Fetch, SubscribeTracks],
        _ => return None,
    })
}
