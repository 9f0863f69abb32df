//! Tracks that a stream gets when somebody asks for them: from a publisher that announced the name
//! and waits to be subscribed, or from an upstream relay.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use weir_protocol::moqt::RequestErrorCode;
use weir_protocol::moqt::message::RequestError;

use super::{Stream, Track};

/// What came of a demand.
pub type Answer = Result<Arc<Track>, RequestError>;

/// A track that somebody asks for and the stream does not have.
#[derive(Debug)]
pub struct Demand {
    /// The stream.
    pub stream: Arc<Stream>,
    /// The track's name.
    pub track: Bytes,
    /// The relays that the question has come through.
    pub hops: Vec<u64>,
    /// Who waits for it.
    pub answer: watch::Sender<Option<Answer>>,
}

/// Who supplies tracks, and what was asked for.
#[derive(Debug, Default)]
pub(super) struct Supply {
    supplier: Mutex<Option<mpsc::Sender<Demand>>>,
    asked: Mutex<BTreeMap<Bytes, watch::Receiver<Option<Answer>>>>,
}

impl Stream {
    /// Keeps the stream, and tells its name, while an upstream does.
    pub fn hold(&self) {
        let mut state = self.state.lock();
        state.holds += 1;
        state.ends_us = None;
        state.announced = true;
        drop(state);
        self.names.send_modify(|version| *version += 1);
    }

    /// An upstream does not tell the name any more: after a linger time it is gone.
    pub fn release(&self, now_us: u64) {
        let mut state = self.state.lock();
        state.holds = state.holds.saturating_sub(1);
        if state.holds == 0 && !state.live {
            state.ends_us = Some(now_us + self.config.linger_us);
        }
    }

    /// Whether nobody ever published it or told its name.
    pub fn is_blank(&self) -> bool {
        let state = self.state.lock();
        state.holds == 0 && !state.announced && self.writer.borrow().0 == 0
    }

    /// Names who is asked for tracks that the stream does not have.
    pub fn set_supplier(&self, supplier: mpsc::Sender<Demand>) {
        *self.supply.supplier.lock() = Some(supplier);
    }

    /// Whether somebody may be asked for tracks.
    pub fn has_supplier(&self) -> bool {
        let supplier = self.supply.supplier.lock();
        supplier
            .as_ref()
            .is_some_and(|supplier| !supplier.is_closed())
    }

    /// The track of that name, which the stream's supplier is asked for if need be: once, however
    /// many wait for it. `None` when there is nobody to ask.
    pub async fn demand(self: &Arc<Self>, track: &Bytes, hops: &[u64]) -> Option<Answer> {
        if let Some(track) = self.track(track).filter(|track| !track.ring.is_ended()) {
            return Some(Ok(track));
        }
        let supplier = self.supply.supplier.lock().clone();
        let supplier = supplier.filter(|supplier| !supplier.is_closed())?;
        let (waiting, asking) = {
            let mut asked = self.supply.asked.lock();
            // An answer is of its time: what is answered is asked anew.
            asked.retain(|_, answer| answer.has_changed().is_ok() && answer.borrow().is_none());
            if asked.len() >= ASKED_MAX {
                let reason = format!("{ASKED_MAX} tracks of this stream are being asked for");
                let code = RequestErrorCode::ExcessiveLoad;
                return Some(Err(RequestError::new(code, reason)));
            }
            match asked.get(track) {
                Some(answer) => (answer.clone(), None),
                None => {
                    let (answer, waiting) = watch::channel(None);
                    asked.insert(track.clone(), waiting.clone());
                    let demand = Demand {
                        stream: Arc::clone(self),
                        track: track.clone(),
                        hops: hops.to_vec(),
                        answer,
                    };
                    (waiting, Some(demand))
                }
            }
        };
        if let Some(demand) = asking {
            // A supplier that is gone drops the demand, which is an answer.
            let _ = supplier.send(demand).await;
        }
        let mut waiting = waiting;
        let answer = waiting.wait_for(Option::is_some).await;
        let answer = answer.ok().and_then(|answer| answer.clone());
        Some(answer.unwrap_or_else(|| {
            let reason = "the publisher is gone";
            Err(RequestError::new(RequestErrorCode::DoesNotExist, reason))
        }))
    }
}

/// Tracks of one stream that may be asked for at a time.
const ASKED_MAX: usize = 64;
