//! The player: its page and modules, embedded in the binary.
//!
//! The page is the same for every stream and every viewer: it takes the name from its own address.
//! What it must know of the relay is filled in, so that the first picture waits for no question.

use std::net::SocketAddr;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::Context;
use super::asset::{ASK, Asset, FOR_EVER, HTML, JAVASCRIPT, OPENER_POLICY, hash};
use super::join::{Module, join};
use crate::stats::snapshot::ProcessSnapshot;

const PAGE: &str = include_str!("../../web/watch.html");

/// What the page runs before its modules are there; it is a part of the page.
const EARLY: &str = include_str!("../../web/early.js");

/// The modules by their names below `/player/`.
const MODULES: &[Module] = &[
    ("arrivals.js", include_str!("../../web/arrivals.js")),
    ("audio.js", include_str!("../../web/audio.js")),
    (
        "audio.worklet.js",
        include_str!("../../web/audio.worklet.js"),
    ),
    ("clock.js", include_str!("../../web/clock.js")),
    ("connection.js", include_str!("../../web/connection.js")),
    (
        "decoder.worker.js",
        include_str!("../../web/decoder.worker.js"),
    ),
    ("latency.js", include_str!("../../web/latency.js")),
    ("loc.js", include_str!("../../web/loc.js")),
    ("measures.js", include_str!("../../web/measures.js")),
    ("moqt.js", include_str!("../../web/moqt.js")),
    ("msf.js", include_str!("../../web/msf.js")),
    ("playout.js", include_str!("../../web/playout.js")),
    ("reports.js", include_str!("../../web/reports.js")),
    ("ring.js", include_str!("../../web/ring.js")),
    ("sequencer.js", include_str!("../../web/sequencer.js")),
    ("session.js", include_str!("../../web/session.js")),
    ("sound.js", include_str!("../../web/sound.js")),
    ("statistics.js", include_str!("../../web/statistics.js")),
    ("video.js", include_str!("../../web/video.js")),
    ("view.js", include_str!("../../web/view.js")),
    ("watch.js", include_str!("../../web/watch.js")),
    ("weir-player.js", include_str!("../../web/weir-player.js")),
    ("words.js", include_str!("../../web/words.js")),
];

/// Modules that somebody asks for first: they come with all that they import.
const ROOTS: &[&str] = &[
    "audio.worklet.js",
    "decoder.worker.js",
    "watch.js",
    "weir-player.js",
];

/// What the page may load: this server's modules, its own style and script, and any relay's
/// streams.
static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let early = BASE64_STANDARD.encode(Sha256::digest(EARLY));
    format!(
        "default-src 'none'; script-src 'self' 'sha256-{early}'; worker-src 'self'; \
         style-src 'unsafe-inline'; img-src data:; connect-src 'self' https:; \
         base-uri 'none'; form-action 'none'"
    )
});

/// Other sites' pages may load it.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The modules as they are given.
static ASSETS: LazyLock<Vec<(&str, Asset)>> = LazyLock::new(|| {
    let asset = |(name, text): &Module| {
        let asset = match ROOTS.contains(name) {
            true => Asset::new(JAVASCRIPT, join(name, MODULES)),
            false => Asset::new(JAVASCRIPT, *text),
        };
        (*name, asset)
    };
    MODULES.iter().map(asset).collect()
});

/// Names all modules as they are: addresses with it never change what they give.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hashes = ASSETS.iter().map(|(_, asset)| asset.hash());
    let all: String = hashes.collect();
    hash(all.as_bytes())
});

pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/watch/{*name}", get(page))
        .route("/player/{name}", get(module))
        .route("/player/{version}/{name}", get(versioned_module))
}

async fn page(State(context): State<Context>, request: HeaderMap) -> Response {
    let isolation = [
        (OPENER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, &CONTENT_SECURITY_POLICY),
    ];
    let addr = quic_addr(&(context.process)());
    let port = addr.map_or_else(String::new, |addr| addr.port().to_string());
    // Where only the one of `localhost`'s addresses is listened at, the page names it.
    let loopback = match addr.is_some_and(|addr| addr.is_ipv4()) {
        true => "127.0.0.1",
        false => "",
    };
    // Browsers take the hash of a certificate only where the relay made that for it.
    let certificate = match context.tls.is_some() {
        true => String::new(),
        false => (context.certificate_sha256)(),
    };
    let page = PAGE
        .replace("{{early}}", EARLY)
        .replace("{{version}}", &VERSION)
        .replace("{{port}}", &port)
        .replace("{{loopback}}", loopback)
        .replace("{{certificate}}", &certificate);
    let page = Asset::new(HTML, page).answer(&request, ASK);
    (isolation, page).into_response()
}

/// UDP port of the QUIC listener; the host is the one that the page came from.
pub(super) fn quic_port(process: &ProcessSnapshot) -> Option<u16> {
    Some(quic_addr(process)?.port())
}

fn quic_addr(process: &ProcessSnapshot) -> Option<SocketAddr> {
    let mut listeners = process.listeners.iter();
    let (_, addr) = listeners.find(|(name, _)| name == "quic")?;
    addr.parse().ok()
}

/// For other sites, which import the player by an address that stays.
async fn module(Path(name): Path<String>, request: HeaderMap) -> Response {
    serve(&name, &request, ASK)
}

/// For our page, whose modules come all at once and are not asked about again. A page that is older
/// than the relay gets what there is.
async fn versioned_module(
    Path((version, name)): Path<(String, String)>,
    request: HeaderMap,
) -> Response {
    let keep = match version == *VERSION {
        true => FOR_EVER,
        false => ASK,
    };
    serve(&name, &request, keep)
}

/// Readable from pages of other origins: they may import the player.
fn serve(name: &str, request: &HeaderMap, keep: &'static str) -> Response {
    let found = ASSETS.iter().find(|(known, _)| *known == name);
    let Some((_, asset)) = found else {
        let error = format!("the player has no module {name:?}");
        return super::routes::failure(StatusCode::NOT_FOUND, error);
    };
    let shared = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (RESOURCE_POLICY, "cross-origin"),
    ];
    (shared, asset.answer(request, keep)).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    fn folder() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web")
    }

    #[test]
    fn every_module_of_the_folder_is_served() {
        let files = fs::read_dir(folder()).unwrap();
        let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let files = files.filter(|name| name.ends_with(".js") && name != "early.js");
        let files: BTreeSet<String> = files.collect();
        let served: BTreeSet<String> = MODULES.iter().map(|(name, _)| (*name).into()).collect();
        assert_eq!(files, served);
    }

    #[test]
    fn modules_import_only_modules_that_are_served() {
        for (name, text) in MODULES {
            let imports = text.lines().filter_map(|line| {
                let (_, path) = line.split_once("from \"./")?;
                path.split_once('"').map(|(path, _)| path)
            });
            for import in imports {
                let known = MODULES.iter().any(|(known, _)| *known == import);
                assert!(known, "{name} imports {import}");
            }
        }
    }

    #[test]
    fn the_page_loads_only_modules_that_are_served() {
        let addresses = EARLY.split("address(\"").skip(1);
        let names: Vec<&str> = addresses
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(names.contains(&"watch.js"), "{names:?}");
        for name in names {
            assert!(MODULES.iter().any(|(known, _)| *known == name), "{name}");
        }
    }

    #[test]
    fn what_is_asked_for_first_needs_nothing_more() {
        for root in ROOTS {
            let text = join(root, MODULES);
            assert!(text.len() > 1000, "{root}");
            let more = text.lines().find(|line| line.starts_with("import "));
            assert_eq!(more, None, "{root}");
            // A module's worth of names would be lost with it.
            let lost = text.lines().filter(|line| line.starts_with("export "));
            assert_eq!(lost.count(), 0, "{root}");
        }
    }

    #[test]
    fn the_page_runs_its_early_script_and_no_other() {
        assert_eq!(PAGE.matches("<script>{{early}}</script>").count(), 1);
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert!(!EARLY.contains("</script"), "it would end there");
        assert!(!EARLY.contains("{{"), "its hash would be another");
    }

    #[test]
    fn web_files_are_tidy() {
        for file in fs::read_dir(folder()).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            assert!(lines <= 450, "{}: {lines} lines", path.display());
            for (number, line) in text.lines().enumerate() {
                let number = number + 1;
                let long = line.chars().count() > 100;
                assert!(!long, "{}:{number}: over 100 columns", path.display());
            }
        }
    }
}
