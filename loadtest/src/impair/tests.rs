//! The proxies over real loopback sockets. Bounds on lateness are wide: tests share the machine.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A proxy in front of a socket of the test's own, and a client's socket.
fn udp(up: LinkConfig, down: LinkConfig) -> (Proxy, UdpSocket, UdpSocket) {
    let [server, client] = [(); 2].map(|()| UdpSocket::bind(any_port()).unwrap());
    let target = server.local_addr().unwrap();
    let proxy = Impairment::udp(any_port(), target, up, down, 7).unwrap();
    client.connect(proxy.local_addr()).unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    (proxy, server, client)
}

fn tcp(up: LinkConfig, down: LinkConfig) -> (Proxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind(any_port()).unwrap();
    let target = listener.local_addr().unwrap();
    let proxy = Impairment::tcp(any_port(), target, up, down, 7).unwrap();
    let client = TcpStream::connect(proxy.local_addr()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
    }
    (proxy, client, server)
}

fn delayed(ms: u64) -> LinkConfig {
    LinkConfig::delayed(Duration::from_millis(ms))
}

fn rate(bits_per_s: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: std::num::NonZeroU64::new(bits_per_s),
        ..LinkConfig::default()
    }
}

/// What `receiver` does not receive within a tenth of a second is not coming.
fn is_silent(receiver: &UdpSocket) -> bool {
    receiver
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let silent = receiver.recv(&mut [0; 16]).is_err();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

#[test]
fn udp_is_delayed_in_each_direction_by_that_directions_delay() {
    let (proxy, server, client) = udp(delayed(40), delayed(80));
    let clock = Clock::start();
    let mut buf = [0; 16];
    client.send(b"up").unwrap();
    let (len, from) = server.recv_from(&mut buf).unwrap();
    let up_us = clock.now_us();
    assert_eq!(&buf[..len], b"up");
    server.send_to(b"down", from).unwrap();
    let len = client.recv(&mut buf).unwrap();
    let down_us = clock.now_us() - up_us;
    assert_eq!(&buf[..len], b"down");
    assert!((40_000..60_000).contains(&up_us), "{up_us}");
    assert!((80_000..100_000).contains(&down_us), "{down_us}");
    // A datagram is counted after it was sent, so that it may be received before.
    let counted = || {
        (
            proxy.counters().up.packets_out,
            proxy.counters().down.bytes_out,
        )
    };
    while counted() != (1, 4) {
        assert!(clock.now_us() < 5_000_000, "{:?}", proxy.counters());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn no_packet_is_early() {
    let (_proxy, server, client) = udp(delayed(5), LinkConfig::default());
    let clock = Clock::start();
    for i in 0..101u32 {
        let sent_us = clock.now_us();
        client.send(&i.to_be_bytes()).unwrap();
        server.recv(&mut [0; 16]).unwrap();
        let took_us = clock.now_us() - sent_us;
        assert!(took_us >= 5_000, "packet {i} came after {took_us} us");
    }
}

#[test]
fn udp_clients_are_told_apart() {
    let (proxy, server, first) = udp(LinkConfig::default(), LinkConfig::default());
    let second = UdpSocket::bind(any_port()).unwrap();
    second.connect(proxy.local_addr()).unwrap();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buf = [0; 16];
    for (client, word) in [(&first, b"one"), (&second, b"two"), (&first, b"six")] {
        client.send(word).unwrap();
        let (len, from) = server.recv_from(&mut buf).unwrap();
        server.send_to(&buf[..len], from).unwrap();
        let len = client.recv(&mut buf).unwrap();
        assert_eq!(&buf[..len], word);
    }
}

#[test]
fn udp_loss_and_duplicates_happen_as_decided() {
    let up = LinkConfig {
        loss: 0.3,
        duplicate: 0.3,
        ..LinkConfig::default()
    };
    let mut link = Link::new(up.clone(), 7);
    let (proxy, server, client) = udp(up, LinkConfig::default());
    let mut expected = Vec::new();
    for i in 0..100u8 {
        client.send(&[i]).unwrap();
        match link.offer(0, 1) {
            Verdict::DeliverAt(_) => expected.push(i),
            Verdict::DeliverTwice(_) => expected.extend([i, i]),
            Verdict::Drop(_) => {}
        }
    }
    let mut buf = [0; 1];
    let mut received = Vec::new();
    while received.len() < expected.len() {
        server.recv(&mut buf).unwrap();
        received.extend(buf);
    }
    assert_eq!(received, expected);
    assert!(is_silent(&server));
    assert_eq!(proxy.counters().up.dropped_proxy, 0);
}

#[test]
fn udp_settings_change_while_running() {
    let (proxy, server, client) = udp(LinkConfig::default(), LinkConfig::default());
    client.send(b"a").unwrap();
    server.recv(&mut [0; 16]).unwrap();
    proxy.set_up(LinkConfig::blackhole());
    client.send(b"b").unwrap();
    assert!(is_silent(&server));
    proxy.set_up(LinkConfig::default());
    client.send(b"c").unwrap();
    let mut buf = [0; 16];
    let len = server.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len], b"c");
    assert_eq!(proxy.counters().up.dropped_blackhole, 1);
}

#[test]
fn tcp_bytes_arrive_complete_in_order_and_delayed() {
    let jittery = LinkConfig {
        jitter: Duration::from_millis(10),
        ..delayed(30)
    };
    let lossy = LinkConfig {
        loss: 0.5,
        reorder: 0.5,
        duplicate: 0.5,
        ..jittery
    };
    let (proxy, mut client, mut server) = tcp(lossy, delayed(30));
    let sent: Vec<u8> = (0..400_000u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    let clock = Clock::start();
    let mut received = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&sent).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
        });
        server.read_to_end(&mut received).unwrap();
    });
    assert!(
        received == sent,
        "{} bytes of {}",
        received.len(),
        sent.len()
    );
    assert!(clock.now_us() >= 20_000);
    assert_eq!(proxy.counters().up.bytes_out, 400_000);

    // The other direction is still open after the half-close.
    server.write_all(b"bye").unwrap();
    drop(server);
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bye");
}

#[test]
fn tcp_is_held_to_its_rate() {
    // 100 kB at 4 Mbit/s take 200 ms; the first 3 kB pass as the burst.
    let (_proxy, mut client, mut server) = tcp(rate(4_000_000), LinkConfig::default());
    let clock = Clock::start();
    let writer = thread::spawn(move || client.write_all(&vec![7; 100_000]).map(|()| client));
    let mut received = vec![0; 100_000];
    server.read_exact(&mut received).unwrap();
    let took_us = clock.now_us();
    assert!((190_000..300_000).contains(&took_us), "{took_us}");
    drop(writer.join().unwrap());
}

#[test]
fn a_full_tcp_queue_holds_the_sender_back() {
    let slow = LinkConfig {
        queue_bytes: 10_000,
        ..rate(80_000)
    };
    let (proxy, mut client, _server) = tcp(slow, LinkConfig::default());
    client.set_nonblocking(true).unwrap();
    let deadline = Clock::start();
    // The kernel's own buffers take some megabytes at most; the proxy adds next to nothing.
    while client.write(&[0; 65_536]).is_ok() {
        assert!(
            deadline.now_us() < 5_000_000,
            "the sender is never held back"
        );
    }
    let up = proxy.counters().up;
    assert!(up.bytes_in < 20_000, "{up:?}");
}

#[test]
fn a_tcp_blackhole_holds_bytes_until_the_link_is_changed() {
    let (proxy, mut client, mut server) = tcp(LinkConfig::default(), LinkConfig::default());
    proxy.set_up(LinkConfig::blackhole());
    client.write_all(b"held").unwrap();
    server
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut buf = [0; 4];
    assert!(server.read(&mut buf).is_err());
    proxy.set_up(LinkConfig::default());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"held");
}

#[test]
fn a_reset_reaches_the_other_end_and_a_dead_target_closes_the_client() {
    let (_proxy, client, mut server) = tcp(LinkConfig::default(), LinkConfig::default());
    SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    assert!(matches!(server.read(&mut [0; 1]), Ok(0) | Err(_)));

    let dead = TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
    let idle = LinkConfig::default();
    let proxy = Impairment::tcp(any_port(), dead, idle.clone(), idle, 1).unwrap();
    let mut client = TcpStream::connect(proxy.local_addr()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn dropping_a_proxy_frees_its_port() {
    let (proxy, _server, _client) = udp(LinkConfig::default(), LinkConfig::default());
    let addr = proxy.local_addr();
    assert!(UdpSocket::bind(addr).is_err());
    drop(proxy);
    UdpSocket::bind(addr).unwrap();
}
