//! The evaluation tools' listener: simulstream's websocket at `/`, SimulEval's four HTTP routes.
//!
//! On a port of its own, because these clients send no keys and SimulEval's routes have no names to tell them by.
//! Invariant: what is measured is what is served: the same streams, whatever else the server does meanwhile.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::{self, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::Instrument;

use super::app::{App, Place};
use super::auth::Principal;
use super::conversation::{Conversation, Front, farewell};
use super::error::ApiError;
use super::ws::{bounded, limits, session_config};
use crate::audio::AudioDecoder;
use crate::config::KeyHash;
use crate::engine::{Input, Pace, StreamEvents, StreamInput};
use crate::protocol::simuleval::{self, SimulEval};
use crate::protocol::simulstream::{MetricsLine, MetricsSink, Simulstream, closing};
use crate::protocol::{End, Failure, FailureKind, Message, Source, StreamOptions};
use crate::session::event::{Command, Event};

/// Half a minute of samples as JSON numbers.
const MAX_BODY_BYTES: usize = 32 << 20;

/// Where simulstream's metrics go: one line of JSON a record.
pub type EvalLog = Arc<StdMutex<File>>;

#[derive(Clone)]
struct Eval {
    app: App,
    log: Option<EvalLog>,
    sentence: Arc<Mutex<Sentence>>,
}

/// SimulEval has one session at a time.
#[derive(Default)]
struct Sentence {
    agent: SimulEval,
    /// There only while something may come of it: it takes a place.
    stream: Option<Open>,
}

struct Open {
    decoder: AudioDecoder,
    input: StreamInput,
    events: StreamEvents,
    id: String,
    /// When the client last asked something.
    heard: Instant,
    _place: Place,
}

/// All routes. `loading` is how long the model took to load: the log's first line.
pub fn router(app: App, log: Option<EvalLog>, loading: Duration) -> Router {
    let mut sink = metrics_sink(log.clone());
    sink(MetricsLine::Loading { model_loading_time: loading.as_secs_f64() });
    Router::new()
        .route("/", get(root))
        .route("/reset", post(reset))
        .route("/input", put(input))
        .route("/output", get(output))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(app.clone(), own_pages_only))
        .with_state(Eval { app, log, sentence: Arc::default() })
}

fn metrics_sink(log: Option<EvalLog>) -> MetricsSink {
    Box::new(move |line| {
        let Some(log) = &log else { return };
        let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(file, "{line}") {
            tracing::error!(%error, "a line of the evaluation's log is lost");
        }
    })
}

/// Tools send no `Origin`; without keys, it is all that keeps any page that somebody visits from using this port.
async fn own_pages_only(State(app): State<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    app.check_origin(request.headers(), false)?;
    Ok(next.run(request).await)
}

/// Nobody has a key here.
fn anybody() -> Principal {
    Principal { key: KeyHash::of(""), session: None }
}

async fn root(State(eval): State<Eval>, upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>) -> Response {
    let Ok(upgrade) = upgrade else {
        let model = eval.app.model();
        return Json(json!({ "agent": "decalage", "model": model.name, "bundle": model.bundle })).into_response();
    };
    let token = eval.app.shutdown().hold();
    bounded(&eval.app, upgrade).on_upgrade(move |socket| async move {
        simulstream(eval, socket).await;
        drop(token);
    })
}

fn patience(app: &App) -> Duration {
    Duration::from_millis(app.config().server.idle_timeout_ms)
}

/// The stream can be opened only when the first message has said how the audio comes.
async fn simulstream(eval: Eval, mut socket: WebSocket) {
    let first = tokio::select! {
        () = eval.app.shutdown().begun() => Err(End::Draining),
        first = header(&mut socket, Instant::now() + patience(&eval.app)) => match first {
            Ok(Some(first)) => Ok(first),
            Ok(None) => return,
            Err(failure) => Err(End::Failed(failure)),
        },
    };
    match first.and_then(|first| begin(&eval, &first).map_err(End::Failed)) {
        Ok((conversation, span)) => conversation.run(socket).instrument(span).await,
        Err(end) => farewell(socket, closing(&end)).await,
    }
}

/// The first message with content; `None` where the client is gone.
async fn header(socket: &mut WebSocket, until: Instant) -> Result<Option<Message>, Failure> {
    loop {
        let message = timeout_at(until, socket.recv()).await;
        let message = message.map_err(|_| Failure::new(FailureKind::Idle, "no header came for too long"))?;
        return Ok(match message {
            Some(Ok(ws::Message::Text(text))) => Some(Message::Text(text.as_str().to_owned())),
            Some(Ok(ws::Message::Binary(bytes))) => Some(Message::Binary(bytes.to_vec())),
            Some(Ok(ws::Message::Ping(_) | ws::Message::Pong(_))) => continue,
            _ => None,
        });
    }
}

fn begin(eval: &Eval, first: &Message) -> Result<(Conversation, tracing::Span), Failure> {
    let app = &eval.app;
    let refused = |error: ApiError| Failure::new(FailureKind::InvalidMessage, error.message);
    let (dialect, options) = Simulstream::parse(first, metrics_sink(eval.log.clone()))?;
    app.check_languages(options.source_language.as_deref(), options.target_language.as_deref()).map_err(refused)?;
    let front = Front::new(options.source, &limits(app));
    let front = front.map_err(|error| Failure::new(FailureKind::UndecodableAudio, error.to_string()))?;
    let admitted = app.admit(&anybody(), session_config(app, &options), Pace::Live).map_err(refused)?;
    let span = tracing::info_span!("stream", id = admitted.info.id);
    Ok((Conversation::new(app.clone(), admitted, Box::new(dialect), front), span))
}

async fn reset(State(eval): State<Eval>) {
    let mut sentence = eval.sentence.lock().await;
    sentence.stream = None;
    sentence.agent.reset();
}

async fn input(State(eval): State<Eval>, request: Request) -> Result<(), (StatusCode, String)> {
    let body = eval.app.body(request).await.map_err(|error| (error.status, error.message))?;
    let mut sentence = eval.sentence.lock().await;
    let put = sentence.put(&eval, &body).await;
    put.map_err(|message| {
        // Until the next reset there is only the error.
        sentence.end(&eval, FailureKind::InvalidMessage, &message);
        (StatusCode::BAD_REQUEST, message)
    })
}

async fn output(State(eval): State<Eval>) -> Result<String, (StatusCode, String)> {
    let mut sentence = eval.sentence.lock().await;
    loop {
        let Sentence { agent, stream } = &mut *sentence;
        match agent.output() {
            Ok(Some(body)) => return Ok(body),
            Err(error) => return Err((StatusCode::BAD_REQUEST, error.to_string())),
            Ok(None) => {}
        }
        let event = match stream {
            Some(stream) => {
                stream.heard = Instant::now();
                timeout(patience(&eval.app), stream.events.next()).await
            }
            None => Ok(None),
        };
        match event {
            Ok(Some(Ok(emission))) => {
                agent.accept(&emission.event);
                if emission.event == Event::Finished
                    && let Some(stream) = sentence.stream.take()
                {
                    tracing::info!(id = stream.id, "translated");
                }
            }
            Ok(Some(Err(error))) => sentence.fail(&eval, FailureKind::Internal, &error.to_string()),
            Ok(None) => sentence.fail(&eval, FailureKind::Internal, "the stream has ended"),
            Err(_) => sentence.fail(&eval, FailureKind::Internal, "the stream took too long"),
        }
    }
}

impl Sentence {
    async fn put(&mut self, eval: &Eval, body: &[u8]) -> Result<(), String> {
        let wanted = self.agent.input(body).map_err(|error| error.to_string())?;
        let performed = self.perform(eval, wanted).await;
        performed.inspect_err(|message| self.agent.fail(message))
    }

    async fn perform(&mut self, eval: &Eval, wanted: simuleval::Input) -> Result<(), String> {
        if let Some(options) = &wanted.open {
            self.stream = Some(open(eval, options).map_err(|error| error.message)?);
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        for command in wanted.commands {
            stream.perform(command).await?;
        }
        stream.heard = Instant::now();
        Ok(())
    }

    fn fail(&mut self, eval: &Eval, kind: FailureKind, message: &str) {
        self.agent.fail(message);
        self.end(eval, kind, message);
    }

    /// Gives the place back before its time.
    fn end(&mut self, eval: &Eval, kind: FailureKind, message: &str) {
        if let Some(stream) = self.stream.take() {
            tracing::warn!(id = stream.id, ?kind, "failed: {message}");
            eval.app.metrics().failed(kind.codes().code);
        }
    }
}

fn open(eval: &Eval, options: &StreamOptions) -> Result<Open, ApiError> {
    let app = &eval.app;
    let Source::Audio(encoding) = options.source else {
        return Err(ApiError::invalid(None, "text, allowed is audio"));
    };
    let decoder = AudioDecoder::new(encoding, &limits(app))?;
    let admitted = app.admit(&anybody(), session_config(app, options), Pace::Live)?;
    let id = admitted.info.id;
    tracing::info!(id, "opened");
    tokio::spawn(end_when_idle(eval.clone(), id.clone()));
    let (input, events) = (admitted.input, admitted.events);
    Ok(Open { decoder, input, events, id, heard: Instant::now(), _place: admitted.place })
}

/// A client that went away says no `/reset`.
async fn end_when_idle(eval: Eval, id: String) {
    let mut until = Instant::now();
    loop {
        sleep_until(until).await;
        let mut sentence = eval.sentence.lock().await;
        let Some(stream) = sentence.stream.as_ref().filter(|stream| stream.id == id) else { return };
        until = stream.heard + patience(&eval.app);
        if until <= Instant::now() {
            return sentence.fail(&eval, FailureKind::Idle, "nothing was asked for too long");
        }
    }
}

impl Open {
    async fn perform(&mut self, command: Command) -> Result<(), String> {
        let inputs = match command {
            Command::Audio(bytes) => {
                self.decoder.push(&bytes).map_err(|error| error.to_string())?;
                vec![Input::Samples(self.decoder.take())]
            }
            Command::Text(text) => vec![Input::Text(text)],
            Command::Flush => vec![Input::Flush],
            Command::Mark(number) => vec![Input::Mark(number)],
            Command::Finish => {
                let rest = self.decoder.finish().map_err(|error| error.to_string())?;
                vec![Input::Samples(rest), Input::Finish]
            }
        };
        for input in inputs {
            self.input.send(input).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
