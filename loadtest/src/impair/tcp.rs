//! The TCP shell: each connection is two pumps, each a reader that asks the link and a writer that
//! waits.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
};

use super::{Direction, Path};

/// Connections at a time; one more waits in the kernel's backlog.
const MAX_CONNECTIONS: usize = 1024;

/// Bytes read at a time: one Ethernet packet's payload, so that a rate limit lets bytes through as
/// finely as a network would.
const SEGMENT_BYTES: usize = 1448;

/// Segments on their way in one direction of a connection; the sender waits beyond. 6 MB full, or
/// half a second of 100 Mbit/s.
const MAX_SEGMENTS: usize = 4096;

/// Pause after a failed accept: mostly out of file descriptors, which takes time to pass.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// A segment and when it arrives. An empty one is the end of the stream.
type Segment = (u64, Bytes);

pub(super) async fn run(
    listener: std::net::TcpListener,
    target: SocketAddr,
    path: Arc<Path>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return Ok(());
        };
        match listener.accept().await {
            Ok((client, _)) => {
                let path = Arc::clone(&path);
                tokio::spawn(async move {
                    // A broken connection ends by closing both of its sockets, which is all that
                    // either end would see of it.
                    let _ = carry(client, target, &path).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
        }
    }
}

async fn carry(client: TcpStream, target: SocketAddr, path: &Path) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        pump(from_client, to_server, path, &path.up),
        pump(from_server, to_client, path, &path.down),
    )?;
    Ok(())
}

async fn pump(
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    path: &Path,
    direction: &Direction,
) -> io::Result<()> {
    let (segments, arriving) = mpsc::channel(MAX_SEGMENTS);
    tokio::try_join!(
        read(reader, segments, path, direction),
        write(writer, arriving, path, direction),
    )?;
    Ok(())
}

async fn read(
    reader: OwnedReadHalf,
    segments: mpsc::Sender<Segment>,
    path: &Path,
    direction: &Direction,
) -> io::Result<()> {
    let mut buf = [0; SEGMENT_BYTES];
    loop {
        let Ok(slot) = segments.reserve().await else {
            return Ok(());
        };
        reader.readable().await?;
        wait_until_open(path, direction).await;
        let len = match reader.try_read(&mut buf) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let at_us = direction
            .link
            .lock()
            .offer_segment(path.clock.now_us(), len);
        slot.send((
            at_us,
            Bytes::copy_from_slice(buf.get(..len).unwrap_or_default()),
        ));
        if len == 0 {
            return Ok(());
        }
    }
}

/// Waits for the end of a blackhole and for room in the queue, also when the configuration changes
/// meanwhile.
async fn wait_until_open(path: &Path, direction: &Direction) {
    loop {
        let changed = direction.changed.notified();
        let now_us = path.clock.now_us();
        let opens_us = direction.link.lock().stream_opens_us(now_us);
        if opens_us <= now_us {
            return;
        }
        tokio::select! {
            () = path.sleep_until(opens_us) => {}
            () = changed => {}
        }
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut arriving: mpsc::Receiver<Segment>,
    path: &Path,
    direction: &Direction,
) -> io::Result<()> {
    while let Some((at_us, bytes)) = arriving.recv().await {
        if path.clock.now_us() < at_us {
            path.sleep_until(at_us).await;
        }
        if bytes.is_empty() {
            break;
        }
        writer.write_all(&bytes).await?;
        direction.link.lock().on_delivered(bytes.len());
    }
    writer.shutdown().await
}
