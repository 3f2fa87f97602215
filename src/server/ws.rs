//! Websocket routes: a dialect on one side, a stream on the other.
//!
//! Everything that can be refused is refused before the upgrade, with an HTTP status; after it there are only messages
//! and close codes.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tracing::Instrument;

use super::app::App;
use super::auth::SUBPROTOCOLS;
use super::conversation::Conversation;
use super::error::ApiError;
use crate::audio::{AudioDecoder, Limits};
use crate::engine::Pace;
use crate::policy::PolicyKind;
use crate::protocol::deepgram::Deepgram;
use crate::protocol::realtime::Realtime;
use crate::protocol::{Dialect, StreamOptions};
use crate::session::SessionConfig;

/// The default of 128 KiB is allocated for each connection at once.
const READ_BUFFER_BYTES: usize = 8 << 10;
/// A client that does not read is noticed by the write's deadline; this bounds what it costs until then.
const WRITE_BUFFER_BYTES: usize = 256 << 10;
/// Pieces of text to guess ahead, where guesses are wanted: two seconds of speech.
const TENTATIVE_TOKENS: usize = 12;

type Pairs = Vec<(String, String)>;

/// `GET /v1/realtime/translations`
pub(super) async fn realtime(
    State(app): State<App>,
    Query(query): Query<Pairs>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let (dialect, options) = Realtime::parse(&query)?;
    open(&app, &headers, upgrade, Box::new(dialect), &options)
}

/// `GET /v1/listen`
pub(super) async fn deepgram(
    State(app): State<App>,
    Query(query): Query<Pairs>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let (dialect, options) = Deepgram::parse(&query)?;
    // Deepgram's clients name Deepgram's models.
    open(&app, &headers, upgrade, Box::new(dialect), &StreamOptions { model: None, ..options })
}

/// Admits a stream, then answers the upgrade.
pub(super) fn open(
    app: &App,
    headers: &HeaderMap,
    upgrade: WebSocketUpgrade,
    dialect: Box<dyn Dialect>,
    options: &StreamOptions,
) -> Result<Response, ApiError> {
    let principal = app.authenticate(headers)?;
    app.check_model(options.model.as_deref())?;
    app.check_languages(options.source_language.as_deref(), options.target_language.as_deref())?;
    let admitted = app.admit(&principal, session_config(app, options), Pace::Live)?;
    // Only now: a container's decoder is a thread.
    let decoder = AudioDecoder::new(options.encoding, &limits(app))?;
    let span = tracing::info_span!("stream", id = admitted.info.id, key = %principal);
    let conversation = Conversation::new(app.clone(), admitted, dialect, decoder);
    // Counts from before the upgrade, so that a server that stops waits for it.
    let token = app.shutdown().hold();
    let max_bytes = app.config().server.max_message_bytes;
    let upgrade = upgrade
        .max_message_size(max_bytes)
        .max_frame_size(max_bytes)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES.max(max_bytes))
        .protocols(SUBPROTOCOLS);
    Ok(upgrade.on_upgrade(move |socket| {
        async move {
            conversation.run(socket).await;
            drop(token);
        }
        .instrument(span)
    }))
}

/// How a stream with these options behaves.
pub(super) fn session_config(app: &App, options: &StreamOptions) -> SessionConfig {
    SessionConfig {
        policy: PolicyKind::WaitK { k: options.k.unwrap_or(app.config().model.k) },
        tentative_tokens: if options.tentative { TENTATIVE_TOKENS } else { 0 },
        ..SessionConfig::default()
    }
}

/// A stream may last; what it has not brought to the engine yet is bounded.
pub(super) fn limits(app: &App) -> Limits {
    let max_duration_ms = match app.config().server.max_session_ms {
        0 => u64::MAX,
        ms => ms,
    };
    Limits { max_duration_ms, ..Limits::default() }
}
