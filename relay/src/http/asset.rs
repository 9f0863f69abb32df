//! Files of the pages: kept by browsers, and compressed once for all who ask.

use std::borrow::Cow;
use std::io::Write as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";

/// For addresses that name what they give: a year, without asking again.
pub(super) const FOR_EVER: &str = "max-age=31536000, immutable";
/// Browsers keep it and ask: a new relay's player is never mixed with an old one's.
pub(super) const ASK: &str = "no-cache";

/// The page is alone in its process, so that its threads may share memory: the player's sound
/// needs that. A module's copy of the second line lets it be the worker of such a page.
pub(super) const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");

/// A text and its compressed form.
pub(super) struct Asset {
    content_type: &'static str,
    text: Bytes,
    packed: Bytes,
    hash: String,
}

impl Asset {
    pub(super) fn new(content_type: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        let text = match text.into() {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        Self {
            content_type,
            packed: pack(&text),
            hash: hash(&text),
            text,
        }
    }

    /// See [`hash`].
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// The answer to a request, which browsers keep for as long as `keep` says.
    pub(super) fn answer(&self, request: &HeaderMap, keep: &'static str) -> Response {
        let packed = takes_gzip(request) && self.packed.len() < self.text.len();
        let tag = match packed {
            true => format!("\"{}.gz\"", self.hash),
            false => format!("\"{}\"", self.hash),
        };
        let headers = [
            (header::CONTENT_TYPE, self.content_type),
            (header::CACHE_CONTROL, keep),
            (header::VARY, "accept-encoding"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (EMBEDDER_POLICY, "require-corp"),
        ];
        let known = request.get(header::IF_NONE_MATCH);
        let known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let tag = [(header::ETAG, tag)];
        let gzip = [(header::CONTENT_ENCODING, "gzip")];
        match (known, packed) {
            (true, _) => (StatusCode::NOT_MODIFIED, headers, tag).into_response(),
            (false, true) => (headers, tag, gzip, self.packed.clone()).into_response(),
            (false, false) => (headers, tag, self.text.clone()).into_response(),
        }
    }
}

/// Whether the request accepts gzip ("Accept-Encoding", RFC 9110, 12.5.3).
fn takes_gzip(request: &HeaderMap) -> bool {
    let wishes = request.get_all(header::ACCEPT_ENCODING).into_iter();
    let wishes = wishes.filter_map(|value: &HeaderValue| value.to_str().ok());
    wishes.flat_map(|value| value.split(',')).any(|wish| {
        let (coding, weight) = wish.split_once(';').unwrap_or((wish, ""));
        let weight = weight.trim().trim_start_matches("q=");
        let refused = weight.starts_with('0') && weight.trim_matches(['0', '.']).is_empty();
        coding.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Compressed, or nothing where that fails, which memory cannot.
fn pack(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text);
    match written.and_then(|()| encoder.finish()) {
        Ok(packed) => Bytes::from(packed),
        Err(_) => Bytes::copy_from_slice(text),
    }
}

/// Some of a text's hash, in hex.
pub(super) fn hash(text: &[u8]) -> String {
    let hash = Sha256::digest(text);
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |wish: &'static str| {
            let value = HeaderValue::from_static(wish);
            takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]))
        };
        for wish in [
            "gzip",
            "br, GZIP;q=0.5",
            "deflate,gzip ; q=1.0",
            "gzip;q=0.01",
        ] {
            assert!(takes(wish), "{wish}");
        }
        for wish in ["", "br", "gzip;q=0", "identity, gzip;q=0.000", "x-gzip"] {
            assert!(!takes(wish), "{wish}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let text = "a stream spread across the whole width, ".repeat(50);
        let asset = Asset::new(HTML, text.clone());
        assert!(asset.packed.len() * 10 < text.len());
        let mut back = String::new();
        GzDecoder::new(&asset.packed[..])
            .read_to_string(&mut back)
            .unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn each_form_has_a_tag_of_its_own() {
        let asset = Asset::new(CSS, "x".repeat(1000));
        let gzip = HeaderValue::from_static("gzip");
        let mut request = HeaderMap::new();
        let plain = asset.answer(&request, ASK);
        request.insert(header::ACCEPT_ENCODING, gzip.clone());
        let packed = asset.answer(&request, ASK);
        assert_eq!(packed.headers().get(header::CONTENT_ENCODING), Some(&gzip));
        let tag = |answer: &Response| answer.headers().get(header::ETAG).cloned().unwrap();
        assert_ne!(tag(&plain), tag(&packed));
        request.insert(header::IF_NONE_MATCH, tag(&packed));
        assert_eq!(
            asset.answer(&request, ASK).status(),
            StatusCode::NOT_MODIFIED
        );
        request.remove(header::ACCEPT_ENCODING);
        assert_eq!(asset.answer(&request, ASK).status(), StatusCode::OK);
    }
}
