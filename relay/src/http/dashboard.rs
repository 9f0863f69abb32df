//! The dashboard: its page and modules, embedded in the binary.
//!
//! One page shows the overview and each stream; what it shows it takes from its own address and
//! from the feed. Nothing of the relay's is written into it, so a name can never become markup.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Context;
use super::asset::{ASK, Asset, CSS, HTML, JAVASCRIPT};
use super::join::{Module, join};

const STYLE: &str = include_str!("../../web/dashboard/dashboard.css");

/// The modules by their names below `/dashboard/`.
const MODULES: &[Module] = &[
    ("chart.js", include_str!("../../web/dashboard/chart.js")),
    (
        "dashboard.js",
        include_str!("../../web/dashboard/dashboard.js"),
    ),
    ("dom.js", include_str!("../../web/dashboard/dom.js")),
    ("feed.js", include_str!("../../web/dashboard/feed.js")),
    ("format.js", include_str!("../../web/dashboard/format.js")),
    (
        "overview.js",
        include_str!("../../web/dashboard/overview.js"),
    ),
    ("setup.js", include_str!("../../web/dashboard/setup.js")),
    ("stream.js", include_str!("../../web/dashboard/stream.js")),
    ("viewers.js", include_str!("../../web/dashboard/viewers.js")),
];

/// The module that the page loads; it comes with all that it imports.
const ROOT: &str = "dashboard.js";

static PAGE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(HTML, include_str!("../../web/dashboard/index.html")));

/// What the page loads, by its names below `/dashboard/`.
static FILES: LazyLock<[(&str, Asset); 2]> = LazyLock::new(|| {
    [
        (ROOT, Asset::new(JAVASCRIPT, join(ROOT, MODULES))),
        ("dashboard.css", Asset::new(CSS, STYLE)),
    ]
});

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
    (policy, PAGE.answer(&request, ASK)).into_response()
}

async fn file(Path(name): Path<String>, request: HeaderMap) -> Response {
    let found = FILES.iter().find(|(known, _)| *known == name);
    let Some((_, asset)) = found else {
        let error = format!("the dashboard has no file {name:?}");
        return super::routes::failure(StatusCode::NOT_FOUND, error);
    };
    asset.answer(&request, ASK)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_and_tidy() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dashboard");
        let mut served: BTreeSet<_> = MODULES.iter().map(|(name, _)| *name).collect();
        served.extend(["index.html", "dashboard.css"]);
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
    fn the_page_loads_one_module_with_all_that_it_needs() {
        let joined = join(ROOT, MODULES);
        let left = |word: &str| joined.lines().filter(|l| l.starts_with(word)).count();
        assert_eq!((left("import "), left("export ")), (0, 0));
        for (name, text) in MODULES {
            let last = text.trim_end().lines().next_back().unwrap();
            let last = last.strip_prefix("export ").unwrap_or(last);
            assert!(joined.contains(last), "{name} is not in it");
        }
    }

    #[test]
    fn nothing_in_the_modules_makes_markup_of_text() {
        for (name, text) in MODULES {
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
