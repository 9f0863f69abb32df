//! The door of the control pages: an address that is at home, or a credential.
//!
//! A program sends `Authorization: Bearer TOKEN`; a browser asks for a name and a password, of
//! which the password is the token or key and the name is anything.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Context, routes};

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Lets a request through, or says what is missing.
pub(super) async fn control(
    State(context): State<Context>,
    Extension(Peer(addr)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(credential);
    match (context.guard)(addr, Some(shown)) {
        Ok(()) => next.run(request).await,
        Err(denial) => {
            tracing::debug!(%addr, kind = ?denial.kind, "http: denied a request");
            let mut response = routes::failure(StatusCode::UNAUTHORIZED, denial.reason);
            let challenge = HeaderValue::from_static("Basic realm=\"weir\", charset=\"UTF-8\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
    }
}

/// The token or key of an `Authorization` header.
fn credential(value: &HeaderValue) -> Option<String> {
    let (scheme, shown) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(shown.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(shown.trim()).ok()?).ok()?;
    pair.split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_is_the_bearer_or_the_password() {
        let of = |text: &'static str| credential(&HeaderValue::from_static(text));
        assert_eq!(of("Bearer a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(of("bearer x ").as_deref(), Some("x"));
        // anna:pass:word
        assert_eq!(
            of("Basic YW5uYTpwYXNzOndvcmQ=").as_deref(),
            Some("pass:word")
        );
        assert_eq!(of("Basic %%%"), None);
        assert_eq!(of("Digest x"), None);
        assert_eq!(of("Bearer"), None);
    }
}
