//! Both sides against each other, in both forms, and the first bytes of strangers.

use super::*;

/// Bytes that differ from place to place, so that the offsets they name do too.
fn random(seed: u64) -> [u8; RANDOM_LEN] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    })
}

fn hello(version: [u8; 4], random: [u8; RANDOM_LEN]) -> Vec<u8> {
    [&[VERSION, 0, 0, 0, 1][..], &version, &random].concat()
}

fn packet(bytes: &[u8]) -> &Packet {
    bytes.try_into().unwrap()
}

/// What the server answers to C0 and C1: S1 and S2.
fn answer(c0c1: &[u8]) -> (Server, Packet, Packet) {
    let mut server = Server::new(random(99));
    let mut input = c0c1;
    server.handle_input(&mut input).unwrap();
    let bytes = server.poll_output().unwrap();
    assert_eq!((bytes.len(), bytes[0]), (1 + 2 * PACKET_LEN, VERSION));
    (
        server,
        *packet(&bytes[1..=PACKET_LEN]),
        *packet(&bytes[1 + PACKET_LEN..]),
    )
}

#[test]
fn plain_is_answered_plain_with_an_echo() {
    let c0c1 = hello([0; 4], random(1));
    let (mut server, s1, s2) = answer(&c0c1);
    assert_eq!(server.form(), Some(Form::Plain));
    assert_eq!(s1[4..8], [0; 4]);
    assert_eq!(s2, c0c1[1..]);
    assert!(!server.is_done());
    let mut input = &[&s1[..], b"chunks"].concat()[..];
    server.handle_input(&mut input).unwrap();
    assert!(server.is_done());
    assert_eq!(input, b"chunks");
}

#[test]
fn a_version_without_a_signature_is_plain() {
    let (server, ..) = answer(&hello([9, 0, 124, 2], random(1)));
    assert_eq!(server.form(), Some(Form::Plain));
}

#[test]
fn digest_is_answered_in_the_layout_that_it_came_in() {
    for seed in 0..50 {
        for layout in [Layout::DigestFirst, Layout::KeyFirst] {
            let mut c1 = *packet(&hello([9, 0, 124, 2], random(seed))[1..]);
            digest::sign(&mut c1, Side::Client, layout);
            let (found, c1_digest) = digest::find(&c1, Side::Client).unwrap();
            assert_eq!(found, layout, "seed {seed}");
            let (server, s1, s2) = answer(&[&[VERSION][..], &c1].concat());
            assert_eq!(server.form(), Some(Form::Digest));
            assert_eq!(digest::find(&s1, Side::Server).unwrap().0, layout);
            assert!(s1[4] >= 3);
            assert!(digest::is_answer(&s2, Side::Server, &c1_digest));
            assert!(!digest::is_answer(&s2, Side::Client, &c1_digest));
        }
    }
}

#[test]
fn both_sides_agree_in_both_forms_when_cut_anywhere() {
    for form in [Form::Plain, Form::Digest] {
        for size in [1, 7, 1536, 5000] {
            let mut client = Client::new(random(3), form);
            let mut server = Server::new(random(4));
            for _ in 0..3 {
                for bytes in std::iter::from_fn(|| client.poll_output()).collect::<Vec<_>>() {
                    for mut piece in bytes.chunks(size) {
                        server.handle_input(&mut piece).unwrap();
                        assert!(piece.is_empty());
                    }
                }
                for bytes in std::iter::from_fn(|| server.poll_output()).collect::<Vec<_>>() {
                    for mut piece in bytes.chunks(size) {
                        client.handle_input(&mut piece).unwrap();
                    }
                }
            }
            assert!(client.is_done() && server.is_done());
            assert_eq!(server.form(), Some(form));
        }
    }
}

#[test]
fn client_signs_its_answer_to_a_signed_packet() {
    let mut client = Client::new(random(3), Form::Digest);
    let c0c1 = client.poll_output().unwrap();
    let (_, s1, s2) = answer(&c0c1);
    let s0s1s2 = [&[VERSION][..], &s1, &s2].concat();
    client.handle_input(&mut &s0s1s2[..]).unwrap();
    let c2 = client.poll_output().unwrap();
    let (_, s1_digest) = digest::find(&s1, Side::Server).unwrap();
    assert!(digest::is_answer(packet(&c2), Side::Client, &s1_digest));
}

#[test]
fn strangers_are_named_by_their_first_byte() {
    let error = |first: &[u8]| {
        Server::new(random(0))
            .handle_input(&mut &first[..])
            .unwrap_err()
    };
    assert_eq!(error(b"GET / HTTP/1.1"), Error::Http);
    assert_eq!(error(b"POST /open/1"), Error::Http);
    assert_eq!(error(&[0x16, 3, 1]), Error::Tls);
    assert_eq!(error(&[6]), Error::Encrypted(6));
    assert_eq!(error(&[0]), Error::Version(0));
}
