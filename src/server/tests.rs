//! The main listener's router over the scripted translator, and what only all of it together shows.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::ClientRequestBuilder;
use tokio_tungstenite::{connect_async, tungstenite};
use tower::ServiceExt;

use super::*;
use crate::config::{AuthConfig, Config, KeyHash};
use crate::engine::{Engine, EngineConfig};
use crate::session::scripted::ScriptedTranslator;
use crate::session::tests::assets;
use crate::telemetry::Metrics;

pub(super) const KEY: &str = "sk-a-secret-key";
const SECRETS: &str = "/v1/realtime/translations/client_secrets";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A server with one model, `scripted`, and one key, [`KEY`].
pub(super) fn server() -> Router {
    server_with(Config::default())
}

fn server_with(config: Config) -> Router {
    let app = app(config);
    let healthy = watch::channel(true).1;
    let admin = Admin { metrics: app.metrics().clone(), healthy, shutdown: app.shutdown().clone() };
    router(app, admin)
}

pub(super) fn app(config: Config) -> App {
    let (metrics, shutdown) = (Metrics::new(), shutdown::Shutdown::new());
    let layout = EngineConfig { workers: 1, max_batch: 4, max_sessions: 2, max_recordings: 1 };
    let make = || Ok::<_, Infallible>(ScriptedTranslator::new(&assets()));
    let engine = Engine::start(&layout, assets(), &metrics, make).unwrap();
    let model = ModelInfo {
        name: "scripted".to_owned(),
        bundle: "0123abcd".to_owned(),
        source_language: "en".to_owned(),
        target_language: "de".to_owned(),
        loaded_at: 1_700_000_000,
    };
    let auth = AuthConfig { keys: vec![KeyHash::of(KEY)], ..AuthConfig::default() };
    App::new(engine, None, model, Config { auth, ..config }, metrics, shutdown)
}

/// Its port knows no keys, so nothing else keeps a page that somebody visits from using it.
#[tokio::test]
async fn evaluation_is_not_for_pages_of_others() {
    let router = eval::router(app(Config::default()), None, Duration::ZERO);
    for (origin, status) in [(None, 200), (Some("http://localhost:9"), 200), (Some("https://evil.example.org"), 403)] {
        let host = origin.map_or("localhost:9", |origin| origin.split_once("://").unwrap().1);
        let mut request = Request::get("/").header(header::HOST, host);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{origin:?}");
    }
}

async fn make_key(router: &Router, key: &str, session: &Value) -> (u16, Value) {
    let body = json!({ "session": session }).to_string();
    let request = Request::post(SECRETS).header(header::AUTHORIZATION, format!("Bearer {key}"));
    let response = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&to_bytes(response.into_body(), 1 << 16).await.unwrap()).unwrap())
}

/// The session that a websocket opened with this key is told of, or the status that it is refused with.
async fn open(router: &Router, key: &str, model: &str) -> Result<Value, u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/v1/realtime/translations?model={model}", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, router.clone()).into_future());
    let request = ClientRequestBuilder::new(uri.parse().unwrap()).with_header("Authorization", format!("Bearer {key}"));
    let connected = tokio::time::timeout(PATIENCE, connect_async(request)).await.unwrap();
    let opened = match connected {
        Ok((mut socket, _)) => {
            let first = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
            let created: Value = serde_json::from_str(first.to_text().unwrap()).unwrap();
            assert_eq!(created["type"], "session.created");
            Ok(created["session"].clone())
        }
        Err(tungstenite::Error::Http(refusal)) => Err(refusal.status().as_u16()),
        Err(error) => panic!("{error}"),
    };
    serving.abort();
    opened
}

#[tokio::test]
async fn a_session_begins_with_the_settings_that_its_key_was_made_for() {
    let server = server();
    let transcription = json!({ "model": "any" });
    let settings = json!({
        "model": "scripted", "audio": { "input": { "transcription": transcription } }, "extensions": ["lag"],
    });
    let (status, made) = make_key(&server, KEY, &settings).await;
    assert_eq!(status, 200, "{made}");
    let key = made["value"].as_str().unwrap();

    let session = open(&server, key, "scripted").await.unwrap();
    assert_eq!(session["audio"], made["session"]["audio"]);
    assert_eq!(session["audio"]["input"]["transcription"], transcription);
    assert_eq!(session["extensions"], json!(["lag"]));
    let session = open(&server, KEY, "scripted").await.unwrap();
    assert_eq!(session["audio"]["input"]["transcription"], Value::Null);

    assert_eq!(open(&server, key, "other").await, Err(404));
    assert_eq!(open(&server, "ek_other", "scripted").await, Err(401));
    assert_eq!(make_key(&server, key, &settings).await.0, 403);
}

/// A refusal takes none of the key's places.
#[tokio::test]
async fn no_key_is_made_for_settings_that_will_not_hold() {
    let server = server();
    let french = json!({ "model": "scripted", "audio": { "output": { "language": "fr" } } });
    let long = json!({ "model": "scripted", "audio": { "input": { "transcription": { "model": "x".repeat(5000) } } } });
    for _ in 0..300 {
        let (status, body) = make_key(&server, KEY, &french).await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!("session.audio.output.language")));
    }
    assert_eq!(make_key(&server, KEY, &long).await.0, 413);
    assert_eq!(make_key(&server, KEY, &json!({ "model": "scripted" })).await.0, 200);
}

#[tokio::test]
async fn pages_that_are_allowed_may_ask_with_their_client_s_headers_and_others_may_not() {
    let mut config = Config::default();
    config.server.allowed_origins = vec!["https://app.example.org".to_owned()];
    let server = server_with(config);
    let headers = "authorization,content-type,x-stainless-lang";
    let ask = async |method: &str, origin: &str| {
        let request = Request::builder().method(method).uri("/v1/models").header(header::ORIGIN, origin);
        let request = request.header("access-control-request-method", "GET");
        let request = request.header("access-control-request-headers", headers);
        let answer = server.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        ["origin", "headers"]
            .map(|what| header(&format!("access-control-allow-{what}")))
            .into_iter()
            .chain([header("access-control-allow-methods"), header("access-control-expose-headers")])
            .collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    let allowed = ask("OPTIONS", "https://app.example.org").await;
    assert_eq!(allowed[..3], [some("https://app.example.org"), some(headers), some("GET,POST")]);
    let answered = ask("GET", "https://app.example.org").await;
    assert_eq!((&answered[0], &answered[3]), (&some("https://app.example.org"), &some("retry-after")));
    for method in ["OPTIONS", "GET"] {
        assert_eq!(ask(method, "https://evil.example.org").await[0], None, "{method}");
    }
}

#[tokio::test]
async fn a_model_that_only_hears_says_so() {
    let request = Request::get("/v1/models").header(header::AUTHORIZATION, format!("Bearer {KEY}"));
    let answer = server().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let models: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(models["data"][0]["input_modalities"], json!(["audio"]));
    assert_eq!(models["data"][0]["id"], json!("scripted"));
}

/// What is logged on the test's own thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_recording_is_in_the_log_however_it_is_answered() {
    let mut wav =
        b"RIFF\x64\x01\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\x40\x01\0\0".to_vec();
    wav.extend([0; 320]);
    for stream in ["true", "false"] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let part = |name: &str| format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
        let (field, file) = (part("stream"), part("file"));
        let body = [field.as_bytes(), stream.as_bytes(), b"\r\n", file.as_bytes(), &wav, b"\r\n--b--\r\n"];
        let request = Request::post("/v1/audio/translations").header(header::AUTHORIZATION, format!("Bearer {KEY}"));
        let request = request.header(header::CONTENT_TYPE, "multipart/form-data; boundary=b");
        // A server each: a place comes back a little after the answer.
        let answer = server().oneshot(request.body(Body::from(body.concat())).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        to_bytes(answer.into_body(), 1 << 16).await.unwrap();
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let line = log.lines().find(|line| line.contains("translated audio_ms=10"));
        assert!(line.is_some_and(|line| line.contains("recording{id=\"sess_")), "stream={stream}: {log:?}");
    }
}
