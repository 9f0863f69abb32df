//! Rules about who may name whom: the rooms of each crate, and the crates of others.

use crate::source::Source;

/// `weir-relay`: each room and the rooms that it may name besides itself, from the top down; `*`
/// is any. The MoQT side and `ingest` never name each other; what is pure names nothing above
/// `ring`. `shard::Context` is what the tasks of a shard are given, so they name `shard` back.
const RELAY_ROOMS: &[(&str, &str)] = &[
    ("lib", "*"),
    ("main", "*"),
    ("cli", "*"),
    // Assembly knows every room but the command line above it.
    (
        "relay",
        "auth clock config endpoint http ingest net peer play pressure registry ring sender \
         session shard stats stream subscription tls upstream",
    ),
    // It gathers each room's own `Config`.
    (
        "config",
        "ask auth client clock endpoint http ingest net play pressure registry sender session \
         shard stream upstream",
    ),
    (
        "shard",
        "ask auth clock endpoint ingest net play pressure quic registry sender session stats \
         stream upstream",
    ),
    (
        "ingest",
        "auth clock net play pressure registry ring shard stats stream",
    ),
    (
        "play",
        "auth clock net pressure registry ring shard stats stream",
    ),
    ("demo", ""),
    (
        "endpoint",
        "auth clock net quic registry sender session stats",
    ),
    (
        "session",
        "auth clock endpoint hang peer pressure quic registry ring sender shard stats stream \
         subscription upstream webtransport",
    ),
    ("hang", "ring stream"),
    (
        "upstream",
        "client clock peer quic registry ring shard stats stream webtransport",
    ),
    ("client", "endpoint net quic webtransport"),
    ("peer", "clock ring stats stream webtransport"),
    (
        "sender",
        "clock ring stats stream subscription webtransport",
    ),
    ("http", "auth clock pressure registry stats stream tls"),
    ("tls", "clock endpoint pressure"),
    ("registry", "ring stats stream"),
    ("stream", "auth clock ring stats"),
    ("subscription", "ring stats"),
    ("ask", ""),
    // Tests alone: the core in virtual time.
    (
        "simulation",
        "clock registry ring sender stats stream subscription",
    ),
    ("auth", ""),
    ("pressure", ""),
    ("stats", ""),
    ("ring", ""),
    ("webtransport", "quic"),
    ("quic", ""),
    ("net", ""),
    ("clock", ""),
];

/// `weir-protocol`: rooms that a room must not name. RTMP and its media know nothing of MoQT and
/// what belongs to it, and the other way round.
const PROTOCOL_STRANGERS: &[(&str, &str)] = &[
    ("wire", "body catalog codec flv loc moqt rtmp"),
    ("body", "catalog codec flv loc moqt rtmp"),
    ("codec", "catalog flv loc moqt rtmp"),
    ("flv", "catalog loc moqt rtmp"),
    ("rtmp", "catalog loc moqt"),
    ("moqt", "catalog codec flv rtmp"),
    ("loc", "flv rtmp"),
    ("catalog", "flv rtmp"),
];

/// Foreign crates that belong to few: `(crate, where its name may stand)`. A place is a room of
/// the relay (`http`), one file of it (`cli/pull`), or another package (`loadtest/`).
const HOMES: &[(&str, &str)] = &[
    // The driver is our own; quinn's is the counterpart of its tests, and the load tester's.
    ("quinn", "quic/tests loadtest/"),
    ("quinn_proto", "endpoint quic loadtest/"),
    ("quinn_udp", "quic"),
    ("web_transport_quinn", "loadtest/"),
    ("web_transport_proto", "webtransport"),
    ("socket2", "net loadtest/"),
    ("libc", "net loadtest/"),
    ("rustix", "net"),
    ("tokio_rustls", "tls"),
    ("axum", "http"),
    ("hyper", "http"),
    ("hyper_util", "http"),
    ("ratatui", "cli/top"),
    ("weir_relay", "main cli benches/ fuzz/"),
    // The oracle of tests and benches; `dependencies.rs` keeps it out of what is linked.
    ("rtmp", "benches/"),
];

/// What a pure room of the relay must not name: it takes time as a number and does no I/O.
const IMPURE: &str = "tokio quinn quinn_proto quinn_udp mio socket2 std::net::TcpStream \
     std::net::TcpListener std::net::UdpSocket std::time::Instant std::time::SystemTime \
     std::thread std::fs std::env";

/// The pure rooms of the relay.
const PURE_ROOMS: &[&str] = &["auth", "pressure", "ring", "stats", "subscription"];

/// What nothing in `protocol` names: sockets, clocks, threads, locks, chance, the file system.
const IMPURE_PROTOCOL: &str = "tokio quinn quinn_proto quinn_udp mio socket2 rand \
     getrandom parking_lot std::net std::time::Instant std::time::SystemTime std::thread \
     std::sync::Mutex std::sync::RwLock std::fs std::env";

/// Every complaint about the file's imports and paths.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let Some(room) = source.room().filter(|_| source.path.contains("/src/")) else {
        return homes(source, &source.paths());
    };
    let paths = source.paths();
    let mut complaints = homes(source, &paths);
    complaints.extend(climbs(source, room, &paths));
    match source.package() {
        "relay" => {
            complaints.extend(relay_rooms(source, room, &paths));
            if PURE_ROOMS.contains(&room) {
                complaints.extend(impure(source, IMPURE, &paths));
            }
        }
        "protocol" => {
            complaints.extend(protocol_strangers(source, room, &paths));
            complaints.extend(impure(source, IMPURE_PROTOCOL, &paths));
        }
        _ => {}
    }
    complaints
}

type Paths = [(usize, String)];

/// The room that a path of this crate leads to: `ring` of `crate::ring::Ring`.
fn room_of(path: &str) -> Option<&str> {
    let inside = path
        .strip_prefix("crate::")
        .or_else(|| path.strip_prefix("weir_relay::"))?;
    inside
        .split("::")
        .next()
        .filter(|room| room.starts_with(|c: char| c.is_lowercase()))
}

fn lists(names: &str, name: &str) -> bool {
    names.split_whitespace().any(|listed| listed == name)
}

fn relay_rooms(source: &Source, room: &str, paths: &Paths) -> Vec<String> {
    let Some((_, allowed)) = RELAY_ROOMS.iter().find(|(name, _)| *name == room) else {
        let path = &source.path;
        return vec![format!(
            "{path}: room `{room}` is not in RELAY_ROOMS of tidy/imports.rs"
        )];
    };
    let named = paths
        .iter()
        .filter_map(|(line, path)| Some((line, room_of(path)?)));
    named
        .filter(|(_, other)| *other != room && *allowed != "*" && !lists(allowed, other))
        .map(|(line, other)| format!("{}:{line}: `{room}` must not name `{other}`", source.path))
        .collect()
}

fn protocol_strangers(source: &Source, room: &str, paths: &Paths) -> Vec<String> {
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, strangers)) = PROTOCOL_STRANGERS.iter().find(|(name, _)| *name == room) else {
        let path = &source.path;
        return vec![format!(
            "{path}: room `{room}` is not in PROTOCOL_STRANGERS of tidy/imports.rs"
        )];
    };
    let named = paths
        .iter()
        .filter_map(|(line, path)| Some((line, room_of(path)?)));
    named
        .filter(|(_, other)| lists(strangers, other))
        .map(|(line, other)| format!("{}:{line}: `{room}` must not name `{other}`", source.path))
        .collect()
}

/// Paths that climb to the crate's root by `super` would hide a room from the table.
fn climbs(source: &Source, room: &str, paths: &Paths) -> Vec<String> {
    let inside = source
        .path
        .split_once("/src/")
        .map_or("", |(_, inside)| inside);
    let depth = inside.matches('/').count() + usize::from(room != "lib" && room != "main");
    let climbing = paths.iter().filter(|(line, path)| {
        let steps = path
            .split("::")
            .take_while(|segment| *segment == "super")
            .count();
        steps > 0 && steps >= depth + source.inline_modules_around(*line)
    });
    climbing
        .map(|(line, path)| {
            format!(
                "{}:{line}: `{path}` reaches another room: write `crate::`",
                source.path
            )
        })
        .collect()
}

fn homes(source: &Source, paths: &Paths) -> Vec<String> {
    if source.path.contains("/tests/") {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (line, path) in paths {
        let root = path.split("::").next().unwrap_or_default();
        let Some((_, homes)) = HOMES.iter().find(|(name, _)| *name == root) else {
            continue;
        };
        // `use rtmp::x` in a crate with a module of that name means the module.
        let own = root == "rtmp" && matches!(source.package(), "protocol" | "fuzz");
        if !own && !homes.split(' ').any(|home| lives_in(source, home)) {
            complaints.push(format!(
                "{}:{line}: `{root}` belongs in: {homes}",
                source.path
            ));
        }
    }
    complaints
}

fn lives_in(source: &Source, home: &str) -> bool {
    if home.ends_with('/') {
        return source.path.starts_with(home);
    }
    let Some(inside) = source.path.strip_prefix("relay/src/") else {
        return false;
    };
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    inside == home
        || inside
            .strip_prefix(home)
            .is_some_and(|rest| rest.starts_with('/'))
}

fn impure(source: &Source, banned: &str, paths: &Paths) -> Vec<String> {
    // Files of tests may read captures and clocks; they are not linked into anything.
    if source.path.ends_with("/tests.rs") {
        return Vec::new();
    }
    let tests_from = source.lines_without_tests();
    let named = paths.iter().filter(|(line, path)| {
        let under = |name: &str| {
            let rest = path.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        *line <= tests_from && banned.split_whitespace().any(under)
    });
    named
        .map(|(line, path)| format!("{}:{line}: a pure file must not name `{path}`", source.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text))
    }

    #[track_caller]
    fn caught(path: &str, text: &str, reason: &str) {
        let found = complaints(path, text);
        assert!(
            found.len() == 1 && found[0].contains(reason),
            "{path}: {text}: {found:?}"
        );
    }

    #[track_caller]
    fn allowed(path: &str, text: &str) {
        assert_eq!(
            complaints(path, text),
            Vec::<String>::new(),
            "{path}: {text}"
        );
    }

    #[test]
    fn rooms_name_only_rooms_below_them() {
        caught(
            "relay/src/ingest.rs",
            "use crate::session::Session;",
            "`session`",
        );
        caught(
            "relay/src/session/viewer.rs",
            "fn f() { crate::ingest::g() }",
            "`ingest`",
        );
        caught("relay/src/ring.rs", "use crate::{stats::Stage};", "`stats`");
        caught("relay/src/stats.rs", "use crate::registry;", "`registry`");
        caught("relay/src/relay.rs", "use crate::cli::Serve;", "`cli`");
        allowed(
            "relay/src/session.rs",
            "use crate::{ring::{Cursor, Group}, sender, session::x};",
        );
        allowed("relay/src/main.rs", "use weir_relay::cli;");
    }

    #[test]
    fn a_room_that_nobody_entered_is_caught() {
        caught("relay/src/attic.rs", "", "RELAY_ROOMS");
        caught("protocol/src/attic.rs", "", "PROTOCOL_STRANGERS");
    }

    #[test]
    fn rtmp_and_moqt_are_strangers() {
        caught(
            "protocol/src/rtmp/chunk.rs",
            "use crate::moqt::Version;",
            "`moqt`",
        );
        caught("protocol/src/moqt.rs", "use crate::rtmp;", "`rtmp`");
        allowed("protocol/src/loc.rs", "use crate::moqt::Version;");
    }

    #[test]
    fn climbing_out_of_a_room_is_caught() {
        caught("relay/src/ring.rs", "use super::stats::Stage;", "crate::");
        caught(
            "relay/src/http/api.rs",
            "use super::super::stats;",
            "crate::",
        );
        allowed("relay/src/http/api.rs", "use super::Context;");
        allowed(
            "relay/src/ring.rs",
            "fn f() {}\n#[cfg(test)]\nmod tests {\nuse super::*;\n}\n",
        );
    }

    #[test]
    fn a_module_in_place_reaches_its_own_file_by_super() {
        allowed(
            "relay/src/net.rs",
            "mod bpf {\nuse super::*;\nfn f() {}\n}\n",
        );
        caught(
            "relay/src/net.rs",
            "mod bpf {\nuse super::super::stats;\n}\n",
            "crate::",
        );
    }

    #[test]
    fn foreign_crates_stay_at_home() {
        caught("relay/src/stream.rs", "use quinn::SendStream;", "`quinn`");
        caught(
            "relay/src/http.rs",
            "fn f(s: &socket2::Socket) {}",
            "`socket2`",
        );
        caught("relay/src/relay.rs", "use axum::Router;", "`axum`");
        caught("relay/src/cli/serve.rs", "use quinn;", "`quinn`");
        caught(
            "loadtest/src/run.rs",
            "use weir_relay::ring;",
            "`weir_relay`",
        );
        caught(
            "relay/src/session.rs",
            "use quinn_proto::VarInt;",
            "`quinn_proto`",
        );
        allowed("relay/src/quic/tests.rs", "use quinn::RecvStream;");
        allowed("relay/src/http/api.rs", "use axum::Json;");
        allowed("relay/src/quic/stream.rs", "use quinn_proto::SendStream;");
    }

    #[test]
    fn pure_rooms_do_no_io_and_read_no_clock() {
        for room in PURE_ROOMS {
            caught(
                &format!("relay/src/{room}.rs"),
                "use tokio::sync::Notify;",
                "pure",
            );
            let nested = "use std::{fmt, time::{Duration, Instant}};";
            caught(&format!("relay/src/{room}/x.rs"), nested, "Instant");
        }
        caught("protocol/src/rtmp.rs", "use std::net::IpAddr;", "std::net");
        caught(
            "protocol/src/flv.rs",
            "fn f() -> std::time::SystemTime { x }",
            "SystemTime",
        );
        allowed("protocol/src/rtmp.rs", "use std::time::Duration;");
        allowed("relay/src/stats.rs", "use std::net::SocketAddr;");
    }
}
