//! `POST /v1/translate`: text in, its translation out, whole or as it comes.
//!
//! Invariant: a line of the text becomes a line of the translation.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use tokio_util::task::task_tracker::TaskTrackerToken;
use utoipa::ToSchema;

use super::app::{App, Place};
use super::error::{ApiError, RETRY_AFTER_S};
use super::openapi::Fails;
use super::recordings::{chunk, server_sent};
use crate::engine::{Input, Pace, StreamError, StreamEvents, StreamInput};
use crate::policy::{DEFAULT_BEAM_SIZE, PolicyKind};
use crate::protocol::SessionInfo;
use crate::session::SessionConfig;
use crate::session::event::Event;

/// What is to be translated, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TextRequest {
    /// Sentences; each line is translated on its own.
    text: String,
    /// The model that is served.
    model: Option<String>,
    /// Of the text, ISO 639-1.
    language: Option<String>,
    /// Of the translation, ISO 639-1.
    to_language: Option<String>,
    /// Lag of the wait-k policy, in words. Without it whole sentences are searched, which is better.
    #[schema(minimum = 1, maximum = 1000)]
    k: Option<usize>,
    /// Answer with server-sent events.
    #[serde(default)]
    stream: bool,
}

/// The translation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TextResponse {
    text: String,
}

/// The translation of text
///
/// `stream` is answered with server-sent events as for recordings: a delta for each word and each end of a line.
#[utoipa::path(post, path = "/v1/translate",
    request_body = TextRequest,
    responses(
        (status = 200, description = "As `stream` asks for", content(
            (TextResponse = "application/json"), (String = "text/event-stream"),
        )),
        Fails<400>, Fails<401>, Fails<403>, Fails<404>, Fails<408>, Fails<413>, Fails<429>, Fails<500>, Fails<503>,
    ),
)]
pub(super) async fn translate(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let principal = app.authenticate(request.headers())?;
    let body = app.body(request).await?;
    let wanted: TextRequest =
        serde_json::from_slice(&body).map_err(|error| ApiError::invalid(None, error.to_string()))?;
    app.check_model(wanted.model.as_deref())?;
    app.check_languages(wanted.language.as_deref(), wanted.to_language.as_deref())?;
    let policy = match wanted.k {
        Some(k) => PolicyKind::WaitK { k },
        None => PolicyKind::Offline { beam_size: DEFAULT_BEAM_SIZE },
    };
    let token = app.shutdown().hold();
    let admitted =
        app.admit_text(&principal, SessionConfig { policy, ..SessionConfig::for_text() }, Pace::Recording)?;
    // Ends with the stream, whose credits it waits for.
    tokio::spawn(feed(wanted.text, admitted.input));
    let (info, events, place) = (admitted.info, admitted.events, admitted.place);
    let mut translation = Translation { info, events, at_line_start: true, _place: place, _token: token };
    if wanted.stream {
        return Ok(translation.into_sse().into_response());
    }
    let mut text = String::new();
    while let Some(piece) = translation.next().await? {
        text.push_str(&piece);
    }
    Ok(Json(TextResponse { text: text.trim_end().to_owned() }).into_response())
}

async fn feed(text: String, mut input: StreamInput) -> Result<(), StreamError> {
    for line in text.lines() {
        input.send(Input::Text(line.to_owned())).await?;
        input.send(Input::Flush).await?;
    }
    input.send(Input::Finish).await
}

/// A translation on its way.
struct Translation {
    info: SessionInfo,
    events: StreamEvents,
    at_line_start: bool,
    _place: Place,
    _token: TaskTrackerToken,
}

impl Translation {
    /// The next word, with the space before it, or the end of a line; `None` after the last.
    async fn next(&mut self) -> Result<Option<String>, ApiError> {
        loop {
            let emission = match self.events.next().await {
                Some(Ok(emission)) => emission,
                Some(Err(error)) => return Err(ApiError::internal(&error)),
                None => return Err(ApiError::unavailable("the server is stopping", RETRY_AFTER_S)),
            };
            match emission.event {
                Event::Committed(word) => {
                    let begins_line = std::mem::take(&mut self.at_line_start);
                    let text = if begins_line { word.text.trim_start().to_owned() } else { word.text };
                    return Ok(Some(text));
                }
                Event::Flushed => {
                    self.at_line_start = true;
                    return Ok(Some("\n".to_owned()));
                }
                Event::Finished => return Ok(None),
                _ => {}
            }
        }
    }

    fn into_sse(self) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
        let whole = stream::unfold(Some((self, String::new())), |running| async move {
            let (mut translation, mut text) = running?;
            match translation.next().await {
                Ok(Some(piece)) => {
                    let delta = chunk("transcript.text.delta", "delta", &piece, Some(&piece), &translation.info);
                    text.push_str(&piece);
                    Some((vec![delta.to_string()], Some((translation, text))))
                }
                Ok(None) => {
                    let done = chunk("transcript.text.done", "text", text.trim_end(), None, &translation.info);
                    Some((vec![done.to_string(), "[DONE]".to_owned()], None))
                }
                Err(error) => Some((vec![error.body().to_string(), "[DONE]".to_owned()], None)),
            }
        });
        server_sent(whole)
    }
}
