//! The network: sockets to routes, routes to streams, and the limits of all of them.
//!
//! ```text
//! listen (TLS, connection limits) ─▶ router ─▶ auth, admission ─▶ ws + conversation │ recordings │ text │ models │ admin │ page
//! ```
//!
//! Invariant: whatever a client does or fails to do ends after a stated time, and others are not harmed by it.

pub mod admin;
mod app;
pub mod auth;
mod conversation;
pub mod error;
pub mod eval;
pub mod listen;
mod models;
mod openapi;
mod page;
mod recordings;
pub mod shutdown;
pub mod slots;
mod socket;
#[cfg(test)]
mod tests;
mod text;
pub mod tls;
mod ws;

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use self::admin::{Admin, count_request};
pub use self::app::{App, ModelInfo};
use self::error::ApiError;

/// A body that is not a recording: settings, which are remembered with an ephemeral key.
const MAX_BODY_BYTES: usize = 4 << 10;
/// Text to translate.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// How long a browser may remember what it is allowed.
const CORS_AGE: Duration = Duration::from_secs(3600);

/// All routes of the main listener.
pub fn router(app: App, admin: Admin) -> Router {
    let config = app.config();
    let upload = DefaultBodyLimit::max(usize::try_from(config.server.max_upload_bytes).unwrap_or(usize::MAX));
    let cors = cors(&config.server.allowed_origins);
    let metrics = app.metrics().clone();
    Router::new()
        .route("/v1/realtime/translations", get(ws::realtime))
        .route("/v1/realtime/translations/client_secrets", post(models::client_secret))
        .route("/v1/listen", get(ws::deepgram))
        .route("/v1/audio/translations", post(recordings::translate).layer(upload))
        .route("/v1/translate", post(text::translate).layer(DefaultBodyLimit::max(MAX_TEXT_BYTES)))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}", get(models::retrieve))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(cors)
        .with_state(app)
        .merge(admin::routes(admin))
        .merge(page::routes())
        .route("/openapi.json", get(openapi::openapi))
        .fallback(|| async { ApiError::not_found("no such route") })
        .layer(from_fn_with_state(metrics, count_request))
}

/// What pages of the allowed origins may ask. Websockets know no CORS: [`auth::Origins`] looks after them.
fn cors(allowed: &[String]) -> CorsLayer {
    let origins = allowed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        // Whichever it asks for: OpenAI's client, for one, adds some of its own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(CORS_AGE)
}
