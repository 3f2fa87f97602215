//! Websocket routes: a dialect on one side, a stream on the other.
//!
//! Everything that can be refused is refused before the upgrade, with an HTTP status; after it there are only messages
//! and close codes.

use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tracing::Instrument;

use super::app::App;
use super::auth::{Principal, SUBPROTOCOLS};
use super::conversation::{Conversation, Front};
use super::error::ApiError;
use super::openapi::Fails;
use crate::audio::Limits;
use crate::engine::Pace;
use crate::policy::PolicyKind;
use crate::protocol::deepgram::Deepgram;
use crate::protocol::realtime::Realtime;
use crate::protocol::{Dialect, Source, StreamOptions};
use crate::session::SessionConfig;

/// The default of 128 KiB is allocated for each connection at once.
const READ_BUFFER_BYTES: usize = 8 << 10;
/// A client that does not read is noticed by the write's deadline; this bounds what it costs until then.
const WRITE_BUFFER_BYTES: usize = 256 << 10;
/// Audio in one piece of a message: half a minute, which is more than any encoder puts there of speech.
const MAX_PIECE_MS: u64 = 30_000;
/// Headers, pictures, or the index of an m4a in front of it.
const MAX_IDLE_BYTES: u64 = 2 << 20;
/// Pieces of text to guess ahead, where guesses are wanted: two seconds of speech.
const TENTATIVE_TOKENS: usize = 12;

type Pairs = Vec<(String, String)>;
/// Of a request that may be none for a websocket, which is said after all that is wrong besides.
type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// A live stream in OpenAI's dialect (websocket)
///
/// Messages are those of `Realtime` under `$defs/client` and `$defs/server`; binary messages are audio. An `error` comes
/// before any close frame but those with 1000 and 1001 `draining`.
///
/// Close codes: 1000 after `session.closed`, all was said. 1001 `draining`, the server stops; `session_expired`, the
/// session has lasted as long as it may. 1003 `unsupported_data`, a kind of message that is not taken;
/// `undecodable_audio`, the audio is not what the URL says. 1008 `invalid_message`, nothing can follow it;
/// `slow_reader`, the client does not read. 1009 `message_too_large`. 1011 `internal_error`, a defect of the server.
/// 4031 `idle_timeout`, nothing came for too long.
///
/// Audio may come faster than real time: the server reads as fast as it translates, and no faster.
#[utoipa::path(get, path = "/v1/realtime/translations",
    params(
        ("model" = String, Query, description = "The model that is served"),
        ("input_format" = Option<String>, Query,
            description = "`pcm16` (default) or `f32`: raw little-endian samples; `opus`, `webm` or `ogg`: a container; \
                           `text`: text instead of audio"),
        ("rate" = Option<u32>, Query, minimum = 8000, maximum = 192_000,
            description = "Of raw samples, in Hz; 24000 if absent"),
        ("channels" = Option<u16>, Query, minimum = 1, maximum = 2,
            description = "Of raw samples, interleaved; 1 if absent"),
        ("k" = Option<u32>, Query, minimum = 1,
            description = "Lag of the wait-k policy in segments with speech, of text in words; the server's if absent"),
        ("ext" = Option<String>, Query,
            description = "Extensions with commas between: `lag`, `vad`, `tentative`, `go_away`"),
    ),
    responses(
        (status = 101, description = "The stream is open"),
        Fails<400>, Fails<401>, Fails<403>, Fails<404>, Fails<426>, Fails<429>, Fails<500>, Fails<503>,
    ),
)]
pub(super) async fn realtime(
    State(app): State<App>,
    Query(query): Query<Pairs>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let principal = app.authenticate(&headers)?;
    let (mut dialect, options) = Realtime::parse(&query)?;
    // Its model is the one that is served, as this one is required to be.
    if let Some(session) = &principal.session {
        dialect.preset(session.as_ref().clone());
    }
    open(&app, &principal, upgrade, Box::new(dialect), &options)
}

/// A live stream in Deepgram's dialect (websocket)
///
/// Binary messages are audio; `proto/deepgram.schema.json` holds the others. Other parameters are ignored.
///
/// Close codes: 1000 after `Metadata`, all was said. 1001 `draining`, the server stops; `session_expired`, the session has
/// lasted as long as it may. 1003 `unsupported_data`. 1008 `DATA-0000`, the audio cannot be decoded; `invalid_message`;
/// `slow_reader`, the client does not read. 1009 `message_too_large`. 1011 `NET-0000`, a defect of the server;
/// `NET-0001`, nothing came for too long.
#[utoipa::path(get, path = "/v1/listen",
    params(
        ("model" = Option<String>, Query, description = "Ignored: there is one"),
        ("encoding" = Option<String>, Query,
            description = "`linear16` or `linear32`: raw samples; `flac`, `opus`, `ogg-opus` or absent: a container"),
        ("sample_rate" = Option<u32>, Query, minimum = 8000, maximum = 192_000,
            description = "In Hz; required for raw samples"),
        ("channels" = Option<u16>, Query, minimum = 1, maximum = 2,
            description = "Of raw samples, interleaved; 1 if absent"),
        ("language" = Option<String>, Query, description = "The model's source language; a region is ignored"),
        ("target_language" = Option<String>, Query, description = "The model's target language"),
        ("interim_results" = Option<bool>, Query, description = "Guesses too, as `is_final: false`"),
        ("vad_events" = Option<bool>, Query, description = "`SpeechStarted`"),
        ("utterance_end_ms" = Option<u32>, Query, minimum = 1000, maximum = 5000,
            description = "`UtteranceEnd`; the length of the pause is the server's"),
        ("endpointing" = Option<String>, Query,
            description = "`false` for no `speech_final`; milliseconds are taken, and not used"),
    ),
    responses(
        (status = 101, description = "The stream is open"),
        Fails<400>, Fails<401>, Fails<403>, Fails<426>, Fails<429>, Fails<500>, Fails<503>,
    ),
)]
pub(super) async fn deepgram(
    State(app): State<App>,
    Query(query): Query<Pairs>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let principal = app.authenticate(&headers)?;
    let (dialect, options) = Deepgram::parse(&query)?;
    // Deepgram's clients name Deepgram's models.
    open(&app, &principal, upgrade, Box::new(dialect), &StreamOptions { model: None, ..options })
}

/// Admits a stream, then answers the upgrade.
fn open(
    app: &App,
    principal: &Principal,
    upgrade: Upgrade,
    dialect: Box<dyn Dialect>,
    options: &StreamOptions,
) -> Result<Response, ApiError> {
    app.check_model(options.model.as_deref())?;
    app.check_languages(options.source_language.as_deref(), options.target_language.as_deref())?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(error) => {
            // A browser tells a page nothing of a refused upgrade, so the page asks once more without one.
            app.room(principal)?;
            return Err(ApiError { status: error.status(), ..ApiError::invalid(None, error.body_text()) });
        }
    };
    let config = session_config(app, options);
    let admitted = match options.source {
        Source::Audio(_) => app.admit(principal, config, Pace::Live)?,
        Source::Text => app.admit_text(principal, config, Pace::Live)?,
    };
    // Only now: a container's decoder is a thread.
    let front = Front::new(options.source, &limits(app))?;
    let span = tracing::info_span!("stream", id = admitted.info.id, key = %principal);
    let conversation = Conversation::new(app.clone(), admitted, dialect, front);
    // Counts from before the upgrade, so that a server that stops waits for it.
    let token = app.shutdown().hold();
    Ok(bounded(app, upgrade).protocols(SUBPROTOCOLS).on_upgrade(move |socket| {
        async move {
            conversation.run(socket).await;
            drop(token);
        }
        .instrument(span)
    }))
}

/// With bounds for what a connection may keep in memory.
pub(super) fn bounded(app: &App, upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    let max_bytes = app.config().server.max_message_bytes;
    upgrade
        .max_message_size(max_bytes)
        .max_frame_size(max_bytes)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        // An answer may repeat what the client sent.
        .max_write_buffer_size(WRITE_BUFFER_BYTES.max(max_bytes))
}

/// How a stream with these options behaves.
pub(super) fn session_config(app: &App, options: &StreamOptions) -> SessionConfig {
    let usual = match options.source {
        Source::Audio(_) => SessionConfig::default(),
        Source::Text => SessionConfig::for_text(),
    };
    SessionConfig {
        cascade: app.config().model.cascade,
        policy: PolicyKind::WaitK { k: options.k.unwrap_or(app.config().model.k) },
        tentative_tokens: if options.tentative { TENTATIVE_TOKENS } else { 0 },
        ..usual
    }
}

/// A stream may last; what it has not brought to the engine yet is bounded, as a microphone needs it.
pub(super) fn limits(app: &App) -> Limits {
    let max_duration_ms = match app.config().server.max_session_ms {
        0 => u64::MAX,
        ms => ms,
    };
    Limits { max_duration_ms, max_untaken_ms: MAX_PIECE_MS, max_idle_bytes: MAX_IDLE_BYTES, keeps_index_last: false }
}
