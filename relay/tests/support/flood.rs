//! Connection attempts without end: first packets, and nobody who goes on.

use std::net::SocketAddr;
use std::time::Duration;

use weir_protocol::moqt::Version;

use super::trust::TrustAnyone;

/// Attempts under way at a time.
const AT_ONCE: usize = 500;

/// Begins `attempts` handshakes with `relay` and gives each up after a moment.
#[track_caller]
pub(crate) fn flood(relay: SocketAddr, attempts: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for _ in 0..attempts.div_ceil(AT_ONCE) {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let mut endpoint = quinn::Endpoint::client(any).unwrap();
            endpoint.set_default_client_config(TrustAnyone::client_config(Version::Draft19.alpn()));
            let begun: Vec<_> = (0..AT_ONCE)
                .map(|_| endpoint.connect(relay, "localhost").unwrap())
                .collect();
            // Long enough for the first packets to leave.
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(begun);
        }
    });
}
