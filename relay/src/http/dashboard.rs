//! The dashboard: its page and modules, embedded in the binary.
//!
//! One page shows the overview and each stream; what it shows it takes from its own address and
//! from the feed. Nothing of the relay's is written into it, so a name can never become markup.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Context;
use super::player::asset;

const PAGE: &str = include_str!("../../web/dashboard/index.html");
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The files by their names below `/dashboard/`.
const FILES: &[(&str, &str, &str)] = &[
    (
        "chart.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/chart.js"),
    ),
    (
        "dashboard.css",
        CSS,
        include_str!("../../web/dashboard/dashboard.css"),
    ),
    (
        "dashboard.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/dashboard.js"),
    ),
    (
        "dom.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/dom.js"),
    ),
    (
        "feed.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/feed.js"),
    ),
    (
        "format.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/format.js"),
    ),
    (
        "overview.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/overview.js"),
    ),
    (
        "setup.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/setup.js"),
    ),
    (
        "stream.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/stream.js"),
    ),
    (
        "viewers.js",
        JAVASCRIPT,
        include_str!("../../web/dashboard/viewers.js"),
    ),
];

/// What the page may load: its own modules and styles, and this server's API, nothing else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; connect-src 'self'; \
    script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/", get(page))
        .route("/stream/{*name}", get(page))
        .route("/dashboard/{name}", get(file))
}

async fn page(request: HeaderMap) -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)];
    let page = asset(&request, "text/html; charset=utf-8", PAGE);
    (policy, page).into_response()
}

async fn file(Path(name): Path<String>, request: HeaderMap) -> Response {
    let found = FILES.iter().find(|(known, _, _)| *known == name);
    let Some((_, content_type, text)) = found else {
        let error = format!("the dashboard has no file {name:?}");
        return super::routes::failure(StatusCode::NOT_FOUND, error);
    };
    asset(&request, content_type, *text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_and_tidy() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dashboard");
        let mut served: BTreeSet<_> = FILES.iter().map(|(name, _, _)| *name).collect();
        served.insert("index.html");
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(served.remove(name), "{name} is not served");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.lines().count() <= 450, "{name}");
            let long = text.lines().find(|line| line.chars().count() > 100);
            assert_eq!(long, None, "{name}: over 100 columns");
        }
        assert_eq!(served, BTreeSet::new(), "served, but not there");
    }

    #[test]
    fn modules_import_only_modules_that_are_served() {
        for (name, _, text) in FILES {
            for line in text.lines() {
                let import = line.split_once("from \"./").and_then(|(_, path)| {
                    let (path, _) = path.split_once('"')?;
                    Some(path)
                });
                let known = |import| FILES.iter().any(|(known, _, _)| *known == import);
                assert!(import.is_none_or(known), "{name}: {line}");
            }
        }
    }

    #[test]
    fn nothing_in_the_modules_makes_markup_of_text() {
        for (name, _, text) in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
            ] {
                assert!(!text.contains(forbidden), "{name}: {forbidden}");
            }
        }
    }
}
