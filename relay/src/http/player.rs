//! The player: its page and modules, embedded in the binary.
//!
//! The page is the same for every stream and every viewer: it takes the name from its own address.
//! What it must know of the relay is filled in, so that the first picture waits for no question.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::Context;
use crate::stats::snapshot::ProcessSnapshot;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

const PAGE: &str = include_str!("../../web/watch.html");

/// The modules by their names below `/player/`.
const MODULES: &[(&str, &str)] = &[
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

/// What the page may load: this server's modules, its own style, and any relay's streams.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    worker-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self' https:; \
    base-uri 'none'; form-action 'none'";

/// The page is alone in its process, so that its threads may share memory: the player's sound
/// needs that. A module's copy of the second line lets it be the worker of such a page.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Names all modules as they are: addresses with it never change what they give.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: String = MODULES.iter().map(|(_, text)| *text).collect();
    hash(&all)
});

/// For addresses with [`VERSION`]: a year, without asking again.
const FOR_EVER: &str = "max-age=31536000, immutable";
/// Browsers keep it and ask: a new relay's player is never mixed with an old one's.
const ASK: &str = "no-cache";

pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/watch/{*name}", get(page))
        .route("/player/{name}", get(module))
        .route("/player/{version}/{name}", get(versioned_module))
}

async fn page(State(context): State<Context>, request: HeaderMap) -> Response {
    let isolation = [
        (OPENER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ];
    let port = quic_port(&(context.process)());
    let port = port.map_or_else(String::new, |port| port.to_string());
    let page = PAGE
        .replace("{{version}}", &VERSION)
        .replace("{{port}}", &port)
        .replace("{{certificate}}", &(context.certificate_sha256)());
    (isolation, asset(&request, HTML, page)).into_response()
}

/// UDP port of the QUIC listener; the host is the one that the page came from.
pub(super) fn quic_port(process: &ProcessSnapshot) -> Option<u16> {
    let mut listeners = process.listeners.iter();
    let (_, addr) = listeners.find(|(name, _)| name == "quic")?;
    addr.rsplit_once(':')?.1.parse().ok()
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
    let found = MODULES.iter().find(|(known, _)| *known == name);
    let Some((_, text)) = found else {
        let error = format!("the player has no module {name:?}");
        return super::routes::failure(StatusCode::NOT_FOUND, error);
    };
    let shared = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (RESOURCE_POLICY, "cross-origin"),
    ];
    (shared, kept(request, JAVASCRIPT, keep, *text)).into_response()
}

/// A text that browsers keep and ask about: a new relay's player is never mixed with an old one's.
pub(super) fn asset(
    request: &HeaderMap,
    content_type: &'static str,
    text: impl Into<Cow<'static, str>>,
) -> Response {
    kept(request, content_type, ASK, text)
}

/// A text that browsers keep for as long as `keep` says.
fn kept(
    request: &HeaderMap,
    content_type: &'static str,
    keep: &'static str,
    text: impl Into<Cow<'static, str>>,
) -> Response {
    let text = text.into();
    let tag = format!("\"{}\"", hash(&text));
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, keep),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (EMBEDDER_POLICY, "require-corp"),
    ];
    let known = request.get(header::IF_NONE_MATCH);
    let known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let tag = [(header::ETAG, tag)];
    match known {
        true => (StatusCode::NOT_MODIFIED, headers, tag).into_response(),
        false => (headers, tag, text).into_response(),
    }
}

/// Some of a text's hash, in hex.
fn hash(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
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
        let files: BTreeSet<String> = files.filter(|name| name.ends_with(".js")).collect();
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
        let paths = PAGE.split("/player/{{version}}/").skip(1);
        let names: Vec<&str> = paths.filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.contains(&"watch.js"), "{names:?}");
        for name in names {
            assert!(MODULES.iter().any(|(known, _)| *known == name), "{name}");
        }
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
