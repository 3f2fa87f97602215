//! The files of `web/`, embedded, to the web page at `/`. Invariant: nothing is served that is not among them, and the
//! page may load, run and connect to nothing but this server.
//!
//! A debug build reads the files from the source tree, so that a change shows when the page is loaded again.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use rust_embed::{Embed, EmbeddedFile};
use tower_http::compression::CompressionLayer;

use super::error::ApiError;

#[derive(Debug, Embed)]
#[folder = "web/"]
struct Files;

/// `style-src` and `script-src` leave out `unsafe-inline`: neither HTML nor text from the model can become code. `blob:` is
/// the recording that a visitor opens. In `connect-src` `self` includes websockets (CSP level 3).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// With each file, also with 304: browsers update what they have stored from it.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (
        HeaderName::from_static("permissions-policy"),
        "microphone=(self), display-capture=(self), screen-wake-lock=(self), fullscreen=(self), clipboard-write=(self), \
         camera=(), geolocation=(), payment=(), usb=()",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Files keep their names from version to version: a browser asks each time, and mostly hears 304.
    (header::CACHE_CONTROL, "no-cache"),
];

/// A route for each file, and `/` for `index.html`.
pub(super) fn routes() -> Router {
    let mut router = Router::new();
    for name in Files::iter() {
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let handler = move |headers: HeaderMap| {
            let answer = answer(&name, &headers);
            async { Ok::<_, Infallible>(answer) }
        };
        router = router.route(&path, get(handler));
    }
    router.layer(CompressionLayer::new())
}

fn answer(name: &str, headers: &HeaderMap) -> Response<Body> {
    // In a debug build the file may be gone by now.
    let Some(file) = Files::get(name) else { return ApiError::not_found("no such file").into_response() };
    let etag = etag(&file);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let mut response = match known {
        Some(tags) if tags.split(',').any(|tag| tag.trim() == etag) => StatusCode::NOT_MODIFIED.into_response(),
        _ => ([(header::CONTENT_TYPE, content_type(name))], file.data).into_response(),
    };
    response.headers_mut().extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response.headers_mut().extend(HeaderValue::from_str(&etag).map(|etag| (header::ETAG, etag)));
    response
}

/// Weak, as it is the same for the file and what compression makes of it (RFC 9110 §8.8.1).
fn etag(file: &EmbeddedFile) -> String {
    let hash: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hash}\"")
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, header: (HeaderName, &str)) -> (StatusCode, HeaderMap, Vec<u8>) {
        let request = Request::get(path).header(header.0, header.1).body(Body::empty()).unwrap();
        let (parts, body) = routes().oneshot(request).await.unwrap().into_parts();
        (parts.status, parts.headers, to_bytes(body, 1 << 20).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn every_file_is_served_with_its_type_and_the_policy() {
        let mut num_scripts = 0;
        for name in Files::iter() {
            let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            let (status, headers, body) = ask(&path, (header::HOST, "a")).await;
            assert_eq!((status, body.as_slice()), (StatusCode::OK, &*Files::get(&name).unwrap().data), "{name}");
            assert_ne!(headers[header::CONTENT_TYPE], "application/octet-stream", "{name}");
            assert_eq!(headers[header::CONTENT_SECURITY_POLICY], POLICY);
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            num_scripts += usize::from(headers[header::CONTENT_TYPE] == "text/javascript; charset=utf-8");
        }
        assert!(num_scripts > 3);
        assert!(!POLICY.contains("unsafe"));
    }

    #[tokio::test]
    async fn what_a_browser_has_is_not_sent_again() {
        let (_, headers, _) = ask("/", (header::HOST, "a")).await;
        let etag = headers[header::ETAG].to_str().unwrap();
        let tags = format!("\"other\", {etag}");
        let (status, headers, body) = ask("/", (header::IF_NONE_MATCH, &tags)).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(headers[header::ETAG], etag);
        assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        assert_eq!(ask("/", (header::IF_NONE_MATCH, "\"other\"")).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn text_is_compressed_for_those_who_take_it() {
        let (_, headers, body) = ask("/", (header::ACCEPT_ENCODING, "gzip")).await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert!(body.starts_with(&[0x1f, 0x8b]) && body.len() < Files::get("index.html").unwrap().data.len());
    }

    #[tokio::test]
    async fn nothing_else_can_be_reached() {
        for path in ["/index.html", "/..%2fCargo.toml", "/../Cargo.toml", "/web/index.html", "/app.js/"] {
            assert_eq!(ask(path, (header::HOST, "a")).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
