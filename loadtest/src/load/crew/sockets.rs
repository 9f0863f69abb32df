//! The UDP sockets of a thread's viewers.

use quinn::Endpoint;
use tokio::time::timeout;

use super::{Dialer, GOODBYE_TIMEOUT, QuicError};

/// The sockets of a thread's viewers.
pub(super) struct Endpoints {
    each: usize,
    used: usize,
    open: Vec<Endpoint>,
}

impl Endpoints {
    pub(super) fn new(each: usize) -> Self {
        Self {
            each: each.max(1),
            used: 0,
            open: Vec::new(),
        }
    }

    /// A socket for one more viewer.
    pub(super) fn next(&mut self, dialer: &Dialer) -> Result<Endpoint, QuicError> {
        let full = self.used.is_multiple_of(self.each);
        self.used += 1;
        match self.open.last().filter(|_| !full) {
            Some(endpoint) => Ok(endpoint.clone()),
            None => {
                let endpoint = dialer.endpoint()?;
                self.open.push(endpoint.clone());
                Ok(endpoint)
            }
        }
    }

    /// Says goodbye on all of them.
    pub(super) async fn close(self) {
        for endpoint in &self.open {
            endpoint.close(0_u32.into(), b"done");
        }
        let idle = async {
            for endpoint in &self.open {
                endpoint.wait_idle().await;
            }
        };
        // A relay that does not answer is not waited for.
        let _ = timeout(GOODBYE_TIMEOUT, idle).await;
    }
}
