//! The evaluation tools' listener: simulstream's websocket at `/`, SimulEval's four HTTP routes.
//!
//! On a port of its own, because these clients send no keys and SimulEval's routes have no names to tell them by.
//! Invariant: what is measured is what is served: the same streams, whatever else the server does meanwhile.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{self, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::app::{App, Place};
use super::auth::Principal;
use super::conversation::{Conversation, farewell};
use super::error::ApiError;
use super::ws::{bounded, limits, session_config};
use crate::audio::AudioDecoder;
use crate::config::KeyHash;
use crate::engine::{Input, Pace, StreamEvents, StreamInput};
use crate::protocol::simuleval::SimulEval;
use crate::protocol::simulstream::{MetricsLine, MetricsSink, Simulstream, closing};
use crate::protocol::{End, Failure, FailureKind, Message, StreamOptions};
use crate::session::event::Command;

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
    stream: Option<Open>,
}

struct Open {
    decoder: AudioDecoder,
    input: StreamInput,
    events: StreamEvents,
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

/// The stream can be opened only when the first message has said how the audio comes.
async fn simulstream(eval: Eval, mut socket: WebSocket) {
    let patience = Duration::from_millis(eval.app.config().server.idle_timeout_ms);
    let first = match timeout(patience, socket.recv()).await {
        Ok(Some(Ok(ws::Message::Text(text)))) => Message::Text(text.as_str().to_owned()),
        Ok(Some(Ok(ws::Message::Binary(bytes)))) => Message::Binary(bytes.to_vec()),
        _ => return,
    };
    match begin(&eval, &first) {
        Ok(conversation) => conversation.run(socket).await,
        Err(failure) => farewell(socket, closing(&End::Failed(failure))).await,
    }
}

fn begin(eval: &Eval, first: &Message) -> Result<Conversation, Failure> {
    let app = &eval.app;
    let refused = |error: ApiError| Failure::new(FailureKind::InvalidMessage, error.message);
    let (dialect, options) = Simulstream::parse(first, metrics_sink(eval.log.clone()))?;
    app.check_languages(options.source_language.as_deref(), options.target_language.as_deref()).map_err(refused)?;
    let decoder = AudioDecoder::new(options.encoding, &limits(app));
    let decoder = decoder.map_err(|error| Failure::new(FailureKind::UndecodableAudio, error.to_string()))?;
    let admitted = app.admit(&anybody(), session_config(app, &options), Pace::Live).map_err(refused)?;
    Ok(Conversation::new(app.clone(), admitted, Box::new(dialect), decoder))
}

async fn reset(State(eval): State<Eval>) {
    let mut sentence = eval.sentence.lock().await;
    sentence.stream = None;
    sentence.agent.reset();
}

async fn input(State(eval): State<Eval>, body: Bytes) -> Result<(), (StatusCode, String)> {
    let mut sentence = eval.sentence.lock().await;
    let Sentence { agent, stream } = &mut *sentence;
    let bad = |message: String| (StatusCode::BAD_REQUEST, message);
    let wanted = agent.input(&body).map_err(|error| bad(error.to_string()))?;
    if let Some(options) = &wanted.open {
        match open(&eval.app, options) {
            Ok(opened) => *stream = Some(opened),
            Err(error) => {
                agent.fail(error.message.clone());
                return Err(bad(error.message));
            }
        }
    }
    let Some(stream) = stream else { return Ok(()) };
    for command in wanted.commands {
        if let Err(message) = stream.perform(command).await {
            agent.fail(message.clone());
            return Err(bad(message));
        }
    }
    Ok(())
}

async fn output(State(eval): State<Eval>) -> Result<String, (StatusCode, String)> {
    let mut sentence = eval.sentence.lock().await;
    let Sentence { agent, stream } = &mut *sentence;
    let patience = Duration::from_millis(eval.app.config().server.idle_timeout_ms);
    loop {
        match agent.output() {
            Ok(Some(body)) => return Ok(body),
            Err(error) => return Err((StatusCode::BAD_REQUEST, error.to_string())),
            Ok(None) => {}
        }
        let event = match stream {
            Some(stream) => timeout(patience, stream.events.next()).await,
            None => Ok(None),
        };
        match event {
            Ok(Some(Ok(emission))) => agent.accept(&emission.event),
            Ok(Some(Err(error))) => agent.fail(error.to_string()),
            Ok(None) => agent.fail("the stream has ended"),
            Err(_) => agent.fail("the stream took too long"),
        }
    }
}

fn open(app: &App, options: &StreamOptions) -> Result<Open, ApiError> {
    let decoder = AudioDecoder::new(options.encoding, &limits(app))?;
    let admitted = app.admit(&anybody(), session_config(app, options), Pace::Live)?;
    Ok(Open { decoder, input: admitted.input, events: admitted.events, _place: admitted.place })
}

impl Open {
    async fn perform(&mut self, command: Command) -> Result<(), String> {
        let inputs = match command {
            Command::Audio(bytes) => {
                self.decoder.push(&bytes).map_err(|error| error.to_string())?;
                vec![Input::Samples(self.decoder.take())]
            }
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
