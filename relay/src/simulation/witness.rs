//! Reads a subgroup stream as a peer would, and remembers what was on it.

use bytes::Bytes;
use weir_protocol::moqt::subgroup::{SubgroupEvent, SubgroupHeader, SubgroupReader};

/// One stream as its reader has seen it.
#[derive(Default)]
pub(super) struct Witness {
    reader: SubgroupReader,
    pub(super) header: Option<SubgroupHeader>,
    /// The objects that were whole: their ids and payloads.
    pub(super) objects: Vec<(u64, Bytes)>,
    /// Why the stream cannot be read: the relay wrote it, so this is never to be.
    pub(super) error: Option<String>,
}

impl Witness {
    /// Takes the next bytes. Returns how many objects became whole.
    pub(super) fn on_written(&mut self, piece: Bytes) -> usize {
        self.reader.push(piece);
        let before = self.objects.len();
        loop {
            match self.reader.poll() {
                Ok(Some(SubgroupEvent::Header(header))) => self.header = Some(header),
                Ok(Some(SubgroupEvent::Object { id, payload, .. })) => {
                    self.objects.push((id, payload));
                }
                Ok(None) => return self.objects.len() - before,
                Err(error) => {
                    self.error = Some(error.to_string());
                    return 0;
                }
            }
        }
    }

    /// The stream ended with a FIN: is it whole?
    pub(super) fn is_whole(&self) -> bool {
        self.reader.finish().is_ok()
    }
}
