//! The driver over a wire that loses, reorders and blocks, and beside quinn's own.

mod link;

use std::future::{Future, poll_fn};
use std::net::UdpSocket;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use quinn_proto::EndpointConfig;
use tokio::time::timeout;

use super::*;
use link::{CLIENT, Configs, Pair, SERVER, configs};

/// Time for what must happen, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { timeout(PATIENCE, test).await.unwrap() })
}

async fn read_all(stream: &mut RecvStream) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
        bytes.extend_from_slice(&chunk.bytes);
    }
    Ok(bytes)
}

fn pattern(stream: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + stream * 7) as u8).collect()
}

/// Answers each stream with what it said.
async fn echo(connection: Connection) {
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        tokio::spawn(async move {
            let bytes = read_all(&mut recv).await.unwrap();
            send.write_all_chunks(&mut [bytes.into()]).await.unwrap();
            send.finish().unwrap();
            send.stopped().await.unwrap();
        });
    }
}

#[test]
fn everything_arrives_over_a_link_that_loses_reorders_and_blocks() {
    const STREAMS: usize = 8;
    const BYTES: usize = 60_000;
    let seed = rand::random::<u64>() | 1;
    println!("seed {seed:#x}");
    run(async {
        let pair = Pair::new(30, seed, |_| {});
        let (near, far) = pair.connect().await;
        tokio::spawn(echo(near));
        let exchanges = (0..STREAMS).map(|number| {
            let far = far.clone();
            tokio::spawn(async move {
                let (mut send, mut recv) = far.open_bi().await.unwrap();
                let said = pattern(number, BYTES + number);
                send.write_all(&said).await.unwrap();
                send.finish().unwrap();
                assert!(
                    read_all(&mut recv).await.unwrap() == said,
                    "stream {number}"
                );
            })
        });
        for exchange in exchanges.collect::<Vec<_>>() {
            exchange.await.unwrap();
        }
        assert!(far.stats().path.lost_packets > 0, "nothing was lost");
    });
}

#[test]
fn many_connections_are_served_beside_one_that_does_not_read() {
    run(async {
        let pair = Pair::new(0, 1, |transport| {
            transport.stream_receive_window(VarInt::from_u32(10_000));
        });
        let (deaf_near, deaf_far) = pair.connect().await;
        let mut flood = deaf_near.open_uni().await.unwrap();
        let all = vec![7; 100_000];
        let mut writing = Box::pin(flood.write_all(&all));
        let mut others = Vec::new();
        // More than one pass drives.
        for _ in 0..100 {
            let (near, far) = pair.connect().await;
            let blocked = poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx).is_pending()));
            assert!(blocked.await, "nobody reads, and yet it was written");
            let mut stream = near.open_uni().await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            drop(stream);
            let heard = read_all(&mut far.accept_uni().await.unwrap()).await;
            assert_eq!(heard.unwrap(), b"hello");
            others.push((near, far));
        }
        assert_eq!(pair.server.open_connections(), 101);
        let mut stream = deaf_far.accept_uni().await.unwrap();
        let reading = async {
            let mut heard = 0;
            while heard < all.len() {
                let chunk = stream.read_chunk(1000, true).await.unwrap();
                heard += chunk.unwrap().bytes.len();
            }
        };
        let (written, ()) = tokio::join!(writing, reading);
        written.unwrap();
    });
}

#[test]
fn ends_are_told_with_code_and_reason() {
    run(async {
        let pair = Pair::new(0, 1, |_| {});
        let (near, far) = pair.connect().await;
        let stream = far.open_uni().await.unwrap();
        near.close(VarInt::from_u32(9), b"enough");
        assert_eq!(near.closed().await, ConnectionError::LocallyClosed);
        let ConnectionError::ApplicationClosed(close) = far.closed().await else {
            panic!("{:?}", far.close_reason());
        };
        assert_eq!(
            (close.error_code, &close.reason[..]),
            (9u32.into(), &b"enough"[..])
        );
        assert!(
            stream.stopped().await.is_err(),
            "a stream outlives its connection"
        );
        assert!(far.accept_bi().await.is_err());
        // The last handle of a connection closes it.
        let (near, far) = pair.connect().await;
        drop(far);
        assert!(matches!(
            near.closed().await,
            ConnectionError::ApplicationClosed(_)
        ));
        pair.client.wait_idle().await;
        pair.server.close(VarInt::from_u32(0), b"");
        assert!(pair.server.accept().await.is_none());
        pair.server.wait_idle().await;
        assert_eq!(pair.server.open_connections(), 0);
    });
}

#[test]
fn streams_tell_what_became_of_them() {
    run(async {
        let pair = Pair::new(0, 1, |_| {});
        let (near, far) = pair.connect().await;
        let mut whole = near.open_uni().await.unwrap();
        whole.write_all(b"all").await.unwrap();
        whole.finish().unwrap();
        let mut given_up = near.open_uni().await.unwrap();
        given_up.write_all(b"part").await.unwrap();
        let mut unwanted = near.open_uni().await.unwrap();
        unwanted.write_all(b"noise").await.unwrap();
        assert_eq!(
            read_all(&mut far.accept_uni().await.unwrap())
                .await
                .unwrap(),
            b"all"
        );
        assert_eq!(whole.stopped().await, Ok(None), "it has arrived");
        let mut reading = far.accept_uni().await.unwrap();
        reading.read_chunk(10, true).await.unwrap();
        given_up.reset(VarInt::from_u32(5)).unwrap();
        assert_eq!(
            read_all(&mut reading).await,
            Err(ReadError::Reset(5u32.into()))
        );
        let mut refusing = far.accept_uni().await.unwrap();
        refusing.stop(VarInt::from_u32(6)).unwrap();
        assert_eq!(unwanted.stopped().await, Ok(Some(6u32.into())));
        let error = unwanted.write_all(b"more").await;
        assert_eq!(error, Err(WriteError::Stopped(6u32.into())));
        near.send_datagram(Bytes::from_static(b"aside")).unwrap();
        assert_eq!(far.read_datagram().await.unwrap(), "aside");
    });
}

#[test]
fn stream_limits_are_waited_for_and_raised() {
    run(async {
        let pair = Pair::new(0, 1, |transport| {
            transport.max_concurrent_bidi_streams(VarInt::from_u32(1));
        });
        let (near, far) = pair.connect().await;
        let _first = far.open_bi().await.unwrap();
        let mut second = Box::pin(far.open_bi());
        let waits = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "one stream was allowed");
        near.set_max_concurrent_bi_streams(VarInt::from_u32(2));
        second.await.unwrap();
    });
}

#[test]
fn who_is_refused_hears_it() {
    run(async {
        let pair = Pair::new(0, 1, |_| {});
        for _ in 0..2 {
            let connecting = pair.client.connect(SERVER.into(), "localhost").unwrap();
            let incoming = pair.server.accept().await.unwrap();
            assert_eq!(incoming.remote_address(), CLIENT.into());
            drop(incoming);
            let error = connecting.established().await.unwrap_err();
            assert!(
                matches!(error, ConnectionError::ConnectionClosed(_)),
                "{error}"
            );
        }
    });
}

#[test]
fn who_is_to_prove_its_address_comes_again() {
    run(async {
        let pair = Pair::new(0, 1, |_| {});
        let connecting = pair.client.connect(SERVER.into(), "localhost").unwrap();
        let incoming = pair.server.accept().await.unwrap();
        assert!(incoming.may_retry() && !incoming.remote_address_validated());
        incoming.retry();
        let incoming = pair.server.accept().await.unwrap();
        assert!(incoming.remote_address_validated());
        let (near, far) = tokio::join!(
            incoming.accept().unwrap().established(),
            connecting.established()
        );
        assert!(near.is_ok() && far.is_ok());
        // One that is ignored comes again by itself.
        let connecting = pair.client.connect(SERVER.into(), "localhost").unwrap();
        pair.server.accept().await.unwrap().ignore();
        let again = pair.server.accept().await.unwrap().accept().unwrap();
        let (near, far) = tokio::join!(again.established(), connecting.established());
        assert!(near.is_ok() && far.is_ok());
    });
}

#[test]
fn a_wire_that_breaks_ends_its_connections() {
    run(async {
        let pair = Pair::new(0, 1, |_| {});
        let (_near, far) = pair.connect().await;
        let mut stream = far.open_uni().await.unwrap();
        pair.cut();
        assert!(matches!(
            far.closed().await,
            ConnectionError::TransportError(_)
        ));
        assert!(stream.write_all(b"x").await.is_err());
        pair.client.wait_idle().await;
        assert!(pair.client.connect(SERVER.into(), "localhost").is_err());
        assert!(pair.client.accept().await.is_none());
    });
}

#[test]
fn silence_ends_a_connection_and_keep_alives_prevent_it() {
    let idle = Duration::from_millis(600);
    run(async {
        let pair = Pair::new(0, 1, |transport| {
            transport.max_idle_timeout(Some(idle.try_into().unwrap()));
        });
        let (near, far) = pair.connect().await;
        assert_eq!(near.closed().await, ConnectionError::TimedOut);
        assert_eq!(far.closed().await, ConnectionError::TimedOut);
        let pair = Pair::new(0, 1, |transport| {
            transport.max_idle_timeout(Some(idle.try_into().unwrap()));
            transport.keep_alive_interval(Some(idle / 6));
        });
        let (near, _far) = pair.connect().await;
        let ended = timeout(idle * 3, near.closed()).await;
        assert!(ended.is_err(), "{ended:?}");
    });
}

fn loopback() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn quinn_s_client_changes_its_keys_and_its_address() {
    run(async {
        let Configs { server, client } = configs(|_| {});
        let server =
            Endpoint::new(EndpointConfig::default(), Some(server), None, loopback()).unwrap();
        let addr = server.local_addr().unwrap();
        let mut quinn = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        quinn.set_default_client_config(client);
        let accepted = async {
            let incoming = server.accept().await.unwrap();
            incoming.accept().unwrap().established().await.unwrap()
        };
        let connecting = async { quinn.connect(addr, "localhost").unwrap().await.unwrap() };
        let (near, far) = tokio::join!(accepted, connecting);
        let before = near.remote_address();
        tokio::spawn(echo(near.clone()));
        for round in 0..6 {
            let (mut send, mut recv) = far.open_bi().await.unwrap();
            let said = pattern(round, 300_000);
            send.write_all(&said).await.unwrap();
            send.finish().unwrap();
            assert!(
                recv.read_to_end(said.len()).await.unwrap() == said,
                "round {round}"
            );
            match round {
                1 => far.force_key_update(),
                3 => quinn.rebind(loopback()).unwrap(),
                _ => {}
            }
        }
        assert_ne!(
            near.remote_address(),
            before,
            "the client's address has changed"
        );
        assert!(
            near.stats().path.current_mtu > 1200,
            "the path's MTU was found"
        );
        far.close(3u32.into(), b"bye");
        assert!(matches!(
            near.closed().await,
            ConnectionError::ApplicationClosed(_)
        ));
    });
}

#[test]
fn quinn_s_server_serves_our_client() {
    run(async {
        let Configs { server, client } = configs(|_| {});
        let quinn = quinn::Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = quinn.local_addr().unwrap();
        tokio::spawn(async move {
            let connection = quinn.accept().await.unwrap().await.unwrap();
            while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                let bytes = recv.read_to_end(1 << 20).await.unwrap();
                send.write_all(&bytes).await.unwrap();
                send.finish().unwrap();
            }
        });
        let endpoint =
            Endpoint::new(EndpointConfig::default(), None, Some(client), loopback()).unwrap();
        let connecting = endpoint.connect(addr, "localhost").unwrap();
        let connection = connecting.established().await.unwrap();
        for round in 0..3 {
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            let said = pattern(round, 500_000);
            let writing = async {
                send.write_all(&said).await.unwrap();
                send.finish().unwrap();
            };
            let ((), heard) = tokio::join!(writing, read_all(&mut recv));
            assert!(heard.unwrap() == said, "round {round}");
        }
        connection.close(VarInt::from_u32(0), b"");
        endpoint.wait_idle().await;
    });
}
