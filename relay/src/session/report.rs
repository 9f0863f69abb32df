//! PUBLISH of the hop's report track: the player's own measurements, into the stream's figures.
//!
//! Off the path of a frame: a report is a datagram of a kilobyte every few seconds. What is
//! malformed, too frequent or about a stream that the session does not watch is dropped and
//! counted; the session lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tracing::debug;
use weir_protocol::moqt::datagram::ObjectDatagram;
use weir_protocol::moqt::message::{Publish, RequestError, RequestOk};
use weir_protocol::moqt::{Message, Namespace, RequestErrorCode, SessionError, StreamRole};

use super::control::MessageError;
use super::datagram::{Registration, Sink};
use super::request::Request;
use super::{Close, Counters, Session};
use crate::clock;
use crate::stats::Progress;
use crate::stats::report::{Allowance, Report, ReportTotals};

/// Streams that one report track may be about: a page of players shares no session, so one is
/// usual; the bound keeps a peer from growing the table.
const MAX_STREAMS: usize = 16;

/// Serves PUBLISH of the report track until the player ends it.
pub(super) async fn serve(mut request: Request, message: Publish) -> Result<(), Close> {
    if !request.session.config().reports {
        let reason = "this relay takes no reports: player.reports is false";
        let refusal = RequestError::new(RequestErrorCode::NotSupported, reason);
        return request.refuse(refusal).await;
    }
    let session = Arc::clone(&request.session);
    let sink = Arc::new(Reports {
        session: Arc::clone(&session),
        state: Mutex::new(State {
            allowance: Allowance::new(clock::now_us()),
            before: BTreeMap::new(),
        }),
    });
    let _registration = Registration::new(&session, message.alias, sink)?;
    request.answer(RequestOk::default()).await?;
    let role = StreamRole::Requester(request.kind);
    loop {
        match request.reader.next(role).await {
            Ok(Some(Message::RequestUpdate(update))) => {
                session.ids.lock().accept(update.request_id)?;
                request.respond(RequestOk::default()).await?;
            }
            Ok(Some(Message::PublishDone(_)) | None) => break,
            Ok(Some(other)) => {
                let reason = format!("{} on a published track", other.name());
                return Err(Close::new(SessionError::ProtocolViolation, reason));
            }
            Err(MessageError::Malformed(error)) => return Err(error.into()),
            Err(MessageError::Truncated | MessageError::Gone(_)) => return Ok(()),
        }
    }
    request.finish().await;
    Ok(())
}

/// Takes the reports of one session.
struct Reports {
    session: Arc<Session>,
    state: Mutex<State>,
}

struct State {
    allowance: Allowance,
    /// By stream: the totals of the report before, and when it came.
    before: BTreeMap<String, (ReportTotals, u64)>,
}

impl Sink for Reports {
    fn on_object(&self, object: ObjectDatagram, now_us: u64) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let counters = &self.session.context.shared.counters;
        if !self.state.lock().allowance.take(now_us) {
            count(&counters.reports_excess);
            return;
        }
        match Report::parse(&object.payload) {
            Ok(report) if self.take(&report, now_us) => count(&counters.reports_taken),
            Ok(_) => count(&counters.reports_strange),
            Err(error) => {
                debug!(%error, "dropped a report");
                count(&counters.reports_malformed)
            }
        };
    }
}

impl Reports {
    /// Records a report if it is about a stream that this session watches.
    fn take(&self, report: &Report, now_us: u64) -> bool {
        let Ok(namespace) = Namespace::from_path(&report.stream) else {
            return false;
        };
        let viewing = self.session.viewing.lock().get(&namespace).cloned();
        let stream = self.session.context.shared.registry.stream(&namespace);
        let Some((viewing, stream)) = viewing.zip(stream) else {
            return false;
        };
        let mut state = self.state.lock();
        let known = state.before.contains_key(&report.stream);
        if !known && state.before.len() >= MAX_STREAMS {
            return false;
        }
        let now = (report.totals, now_us);
        let before = state.before.insert(report.stream.clone(), now);
        drop(state);
        viewing.on_report(report, now_us);
        let recorder = stream.recorder(self.session.context.shard);
        recorder.lock().on_report(Progress {
            report,
            before,
            now_us,
        });
        true
    }
}

impl Counters {
    /// Each count of reports with the name of their fate, for the metrics.
    pub fn reports(&self) -> [(&'static str, u64); 4] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("taken", read(&self.reports_taken)),
            ("malformed", read(&self.reports_malformed)),
            ("excess", read(&self.reports_excess)),
            ("strange", read(&self.reports_strange)),
        ]
    }
}
