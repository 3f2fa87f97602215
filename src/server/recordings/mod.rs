//! `POST /v1/audio/translations`: a file in, its translation out, whole or as it comes.
//!
//! The file is decoded on a blocking thread and goes through the same stream as a microphone, on the worker that live
//! streams do not share. Invariant: a client that goes away stops the work.

mod answer;
mod form;

use std::convert::Infallible;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, State};
use axum::http::HeaderMap;
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{Instrument, Span};

pub(super) use self::answer::chunk;
use self::answer::{Said, Translation, delta};
use self::form::Upload;
use super::app::{App, Place};
use super::error::{ApiError, RETRY_AFTER_S};
use super::openapi::Fails;
use crate::audio::{AudioError, AudioReader, Limits, SAMPLE_RATE_HZ};
use crate::engine::{Input, StreamEvents, StreamInput};
use crate::protocol::{FailureKind, SessionInfo};
use crate::session::event::Event;

/// The translation of a recording
///
/// `stream` is answered with server-sent events: `transcript.text.delta` for each word, `transcript.text.done` with the
/// whole text, then `[DONE]`. A fault after the first of them is an event with `error`.
#[utoipa::path(post, path = "/v1/audio/translations",
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "In the form that `response_format` and `stream` ask for", content(
            (Translation = "application/json"), (String = "text/plain"), (String = "application/x-subrip"),
            (String = "text/vtt"), (String = "text/event-stream"),
        )),
        Fails<400>, Fails<401>, Fails<403>, Fails<404>, Fails<408>, Fails<413>, Fails<415>, Fails<429>, Fails<500>,
        Fails<503>,
    ),
)]
pub(super) async fn translate(
    State(app): State<App>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, ApiError> {
    let principal = app.authenticate(&headers)?;
    let form = form.map_err(|error| ApiError::invalid(None, error.body_text()))?;
    // A server that stops waits for it.
    let token = app.shutdown().hold();
    let Upload { admitted, file, settings } = form::receive(&app, &principal, form).await?;
    let span = tracing::info_span!("recording", id = admitted.info.id, key = %principal);
    let limits = Limits { max_duration_ms: app.config().server.max_audio_ms, ..Limits::default() };
    let mut recording = Recording {
        app,
        info: admitted.info,
        events: admitted.events,
        decoding: Decoding::start(file, limits, admitted.input),
        audio_ms: 0,
        span,
        _place: admitted.place,
        _token: token,
    };
    if settings.stream {
        return Ok(recording.into_sse().into_response());
    }
    let mut said = Said::default();
    while let Some(event) = recording.next().await? {
        said.heed(event);
    }
    Ok(said.render(settings.format, settings.words, &recording.info, recording.audio_ms))
}

/// A recording on its way.
struct Recording {
    app: App,
    info: SessionInfo,
    events: StreamEvents,
    decoding: Decoding,
    /// Its length, known after the last event.
    audio_ms: u64,
    span: Span,
    _place: Place,
    _token: tokio_util::task::task_tracker::TaskTrackerToken,
}

impl Recording {
    /// The next event; `None` after the last, when all of the audio has been heard.
    async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        let span = self.span.clone();
        let next = async {
            let next = self.advance().await;
            match &next {
                Ok(Some(_)) => {}
                Ok(None) => tracing::info!(audio_ms = self.audio_ms, "translated"),
                Err(error) => self.failed(error),
            }
            next
        };
        next.instrument(span).await
    }

    fn failed(&self, error: &ApiError) {
        let kind = match error.status.as_u16() {
            503 => return tracing::info!("not translated: {}", error.message), // nobody's fault
            500.. => FailureKind::Internal,
            413 => FailureKind::Expired,
            _ => FailureKind::UndecodableAudio,
        };
        tracing::warn!(?kind, "failed: {}", error.message);
        self.app.metrics().failed(kind.codes().code);
    }

    async fn advance(&mut self) -> Result<Option<Event>, ApiError> {
        match self.events.next().await {
            Some(Ok(emission)) if emission.event == Event::Finished => {
                self.audio_ms = self.decoding.finish().await?;
                Ok(None)
            }
            Some(Ok(emission)) => Ok(Some(emission.event)),
            Some(Err(error)) => Err(ApiError::internal(&error)),
            None => Err(ApiError::unavailable("the server is stopping", RETRY_AFTER_S)),
        }
    }

    /// Words as they are committed, then the whole text, then `[DONE]`. A fault is an event of its own.
    fn into_sse(self) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
        let whole = stream::unfold(Some((self, Said::default())), |running| async move {
            let (mut recording, mut said) = running?;
            loop {
                match recording.next().await {
                    Ok(Some(event)) => {
                        let chunk = match &event {
                            Event::Committed(word) => Some(delta(word, &recording.info)),
                            _ => None,
                        };
                        said.heed(event);
                        if let Some(chunk) = chunk {
                            return Some((vec![chunk.to_string()], Some((recording, said))));
                        }
                    }
                    Ok(None) => {
                        let last = said.done(&recording.info).to_string();
                        return Some((vec![last, "[DONE]".to_owned()], None));
                    }
                    Err(error) => return Some((vec![error.body().to_string(), "[DONE]".to_owned()], None)),
                }
            }
        });
        server_sent(whole)
    }
}

/// Server-sent events, each with its data, that come some at a time.
pub(super) fn server_sent(
    whole: impl Stream<Item = Vec<String>> + Send + 'static,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let events = whole.flat_map(|data| stream::iter(data.into_iter().map(|data| Ok(sse::Event::default().data(data)))));
    Sse::new(events).keep_alive(sse::KeepAlive::default())
}

/// The thread that decodes.
struct Decoding {
    thread: JoinHandle<Result<(), AudioError>>,
    audio_ms: Arc<AtomicU64>,
}

impl Decoding {
    fn start(file: File, limits: Limits, mut input: StreamInput) -> Self {
        let audio_ms = Arc::new(AtomicU64::new(0));
        let (decoded_ms, runtime) = (Arc::clone(&audio_ms), Handle::current());
        let thread = spawn_blocking(move || {
            let mut num_samples = 0;
            let decode = || -> Result<(), AudioError> {
                for samples in AudioReader::open(file, &limits)? {
                    let samples = samples?;
                    num_samples += samples.len() as u64;
                    decoded_ms.store(num_samples * 1000 / u64::from(SAMPLE_RATE_HZ), Ordering::Release);
                    // The stream is gone, and with it whoever wanted to know.
                    if runtime.block_on(input.send(Input::Samples(samples))).is_err() {
                        break;
                    }
                }
                Ok(())
            };
            let decoded = decode();
            let _ = runtime.block_on(input.send(Input::Finish));
            decoded
        });
        Self { thread, audio_ms }
    }

    /// How much audio there was, or what was wrong with it.
    async fn finish(&mut self) -> Result<u64, ApiError> {
        (&mut self.thread).await.map_err(|error| ApiError::internal(&error))??;
        Ok(self.audio_ms.load(Ordering::Acquire))
    }
}
