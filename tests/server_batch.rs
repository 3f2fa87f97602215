//! Recordings from outside: the answer is what a session says about the file, and a bad form is refused by name.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[allow(dead_code)] // websockets are spoken by another test
#[path = "server/support.rs"]
mod support;

use std::time::Duration;

use decalage::config::{Config, KeyHash};
use decalage::policy::PolicyKind;
use decalage::session::event::{Committed, Event};
use decalage::subtitles::{cues, srt, vtt};
use serde_json::{Value, json};
use support::*;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

const OFFLINE: PolicyKind = PolicyKind::Offline { beam_size: 5 };
const END: &[u8] = b"--boundary--\r\n";

fn field(name: &str, value: &str) -> Vec<u8> {
    format!("--boundary\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes()
}

fn file(bytes: &[u8]) -> Vec<u8> {
    let head = "--boundary\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

/// HTTP/1.0, so that the answer ends with the connection and has no chunks.
fn head(content_bytes: usize, more: &str) -> Vec<u8> {
    format!(
        "POST /v1/audio/translations HTTP/1.0\r\ncontent-type: multipart/form-data; boundary=boundary\r\n\
         content-length: {content_bytes}\r\n{more}\r\n"
    )
    .into_bytes()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    let body = [&parts.concat(), END].concat();
    [head(body.len(), ""), body].concat()
}

async fn post(server: &Server, parts: &[Vec<u8>]) -> Answer {
    server.http(&form(parts)).await
}

fn words(events: &[Event]) -> Vec<Committed> {
    let word = |event: &Event| if let Event::Committed(word) = event { Some(word.clone()) } else { None };
    events.iter().filter_map(word).collect()
}

/// The error's message, if all else about the answer is as it should be.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, param: Option<&str>, code: Option<&str>) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&body["error"]["param"], &body["error"]["code"]), (&json!(param), &json!(code)), "{body}");
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_holds_what_a_session_says() {
    let server = start(config()).await;
    let wav = wav(16, dialogue());
    let events = alone(OFFLINE, wav.clone());
    let (text, words) = (text(&events), words(&events));
    assert!(words.len() > 5);
    for (format, expected, kind) in [
        ("text", format!("{text}\n"), "text/plain; charset=utf-8"),
        ("srt", srt(&cues(&words)), "application/x-subrip; charset=utf-8"),
        ("vtt", vtt(&cues(&words)), "text/vtt; charset=utf-8"),
        ("json", json!({ "text": text }).to_string(), "application/json"),
    ] {
        // Fields may come behind the file.
        let parts = [field("model", MODEL), file(&wav), field("response_format", format)];
        let answer = post(&server, &parts).await;
        assert_eq!((answer.status, &answer.body), (200, &expected), "{format}");
        assert!(answer.head.contains(&format!("content-type: {kind}\r\n")), "{}", answer.head);
    }
    assert_eq!(post(&server, &[file(&wav)]).await.body, json!({ "text": text }).to_string());

    let parts = [field("response_format", "verbose_json"), field("timestamp_granularities[]", "word"), file(&wav)];
    let body: Value = serde_json::from_str(&post(&server, &parts).await.body).unwrap();
    assert_eq!((&body["text"], &body["language"], &body["duration"]), (&json!(text), &json!("de"), &json!(4.4)));
    let segments = body["segments"].as_array().unwrap();
    let joined: Vec<&str> = segments.iter().map(|segment| segment["text"].as_str().unwrap()).collect();
    assert_eq!((segments.len(), joined.join(" ")), (2, text));
    assert_eq!(body["words"].as_array().unwrap().len(), words.len());
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_answer_holds_the_same_word_by_word() {
    let server = start(config()).await;
    let wav = wav(16, dialogue());
    for (first, policy) in [(field("beam_size", "5"), OFFLINE), (field("k", "2"), PolicyKind::WaitK { k: 2 })] {
        let expected = text(&alone(policy, wav.clone()));
        let answer = post(&server, &[field("stream", "true"), first, file(&wav)]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("content-type: text/event-stream"), "{}", answer.head);
        let data: Vec<&str> = answer.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let (done, chunks) = data.split_last().unwrap();
        assert_eq!(*done, "[DONE]");
        let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
        let delta = |chunk: &Value| chunk["delta"].as_str().unwrap_or("").to_owned();
        assert_eq!(chunks.iter().map(delta).collect::<String>(), expected);
        let last = chunks.last().unwrap();
        assert_eq!((&last["type"], &last["text"]), (&json!("transcript.text.done"), &json!(expected)));
    }
    // What is wrong with the audio is known only after the head of the answer.
    let answer = post(&server, &[field("stream", "true"), file(b"no audio")]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains(r#""code":"unsupported_media""#), "{}", answer.body);
    assert!(answer.body.ends_with("data: [DONE]\n\n") && !answer.body.contains("transcript.text.done"));
    server.metric("decalage_failures_total{kind=\"undecodable_audio\"} 1").await;
    assert_eq!(post(&server, &[file(b"no audio")]).await.status, 415);
    server.metric("decalage_failures_total{kind=\"undecodable_audio\"} 2").await;
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_container_is_translated_as_its_samples_are() {
    let server = start(config()).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
    let fixture = |name: &str| std::fs::read(format!("{folder}{name}")).unwrap();
    let eight_bits = dialogue().as_chunks().0.iter().map(|s| ((i16::from_le_bytes(*s) >> 8) + 128) as u8);
    for bytes in [
        fixture("speech/000001.opus"),
        fixture("audio/opus-live.webm"),
        fixture("audio/mono-44k1.flac"),
        fixture("audio/index-last.m4a"),
        fixture("audio/mono-16k.mp3"),
        wav(8, &eight_bits.collect::<Vec<u8>>()),
    ] {
        let expected = json!({ "text": text(&alone(OFFLINE, bytes.clone())) });
        let answer = post(&server, &[file(&bytes)]).await;
        assert_eq!((answer.status, answer.body), (200, expected.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_form_is_refused_by_name() {
    let server = start(config()).await;
    let wav = wav(16, &dialogue()[..CHUNK_BYTES]);
    let message = assert_refused(&post(&server, &[file(&wav), field("k", "3")]).await, 400, None, None);
    assert!(message.contains("before the file"), "{message}");
    for (parts, status, param, code) in [
        (vec![file(&wav), file(&wav)], 400, Some("file"), None),
        (vec![field("model", MODEL)], 400, Some("file"), None),
        (vec![], 400, Some("file"), None),
        (vec![file(b"")], 400, Some("file"), None),
        (vec![file(&wav[..40])], 400, Some("file"), None),
        (vec![file(&[0x55; 100_000])], 415, None, Some("unsupported_media")),
        (vec![field("response_format", "xml"), file(&wav)], 400, Some("response_format"), None),
        (vec![file(&wav), field("stream", "perhaps")], 400, Some("stream"), None),
        (vec![field("k", "0"), file(&wav)], 400, Some("k"), None),
        (vec![field("beam_size", "1000"), file(&wav)], 400, Some("beam_size"), None),
        (vec![field("model", "whisper-1"), file(&wav)], 404, Some("model"), Some("model_not_found")),
        (vec![field("to_language", "fr"), file(&wav)], 400, Some("to_language"), None),
        (vec![field("prompt", &"x".repeat(20_000)), file(&wav)], 413, None, Some("too_large")),
    ] {
        assert_refused(&post(&server, &parts).await, status, param, code);
    }
    // No form, no end of the form, no boundary.
    let json = b"POST /v1/audio/translations HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    assert_refused(&server.http(json).await, 400, None, None);
    let body = file(&wav);
    assert_refused(&server.http(&[head(body.len(), ""), body].concat()).await, 400, None, None);
    let bare =
        b"POST /v1/audio/translations HTTP/1.0\r\ncontent-type: multipart/form-data\r\ncontent-length: 0\r\n\r\n";
    assert_refused(&server.http(bare).await, 400, None, None);
    // What ends too early is not taken for the whole.
    let flac = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/audio/mono-44k1.flac")).unwrap();
    assert_refused(&post(&server, &[file(&flac[..flac.len() / 2])]).await, 400, Some("file"), None);
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_too_long_is_refused() {
    let mut config = config();
    config.server.max_upload_bytes = 200_000;
    config.server.max_audio_ms = 3000;
    let server = start(config).await;
    assert_refused(&post(&server, &[file(&vec![0; 200_000])]).await, 413, None, Some("too_large"));
    // Much more than all buffers on the way hold, from a client that reads only when it has written everything.
    let mut client = server.connect().await;
    client.write_all(&form(&[file(&vec![0; 8 << 20])])).await.unwrap();
    assert_refused(&answer(&mut client).await, 413, None, Some("too_large"));
    // As chunks, whose sum nobody announces.
    let chunk = [format!("{:x}\r\n", 100_000).into_bytes(), vec![0; 100_000], b"\r\n".to_vec()].concat();
    let form = file(b"");
    let form = &form[..form.len() - 2];
    let form = [format!("{:x}\r\n", form.len()).into_bytes(), form.to_vec(), b"\r\n".to_vec()].concat();
    let head = b"POST /v1/audio/translations HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\
        connection: close\r\ncontent-type: multipart/form-data; boundary=boundary\r\n\r\n";
    let request = [&head[..], &form, &chunk, &chunk, &chunk].concat();
    assert_eq!(server.http(&request).await.status, 413);

    let audio = |ms: usize| wav(16, &vec![0; ms * 2 * RATE_HZ / 1000]);
    assert_refused(&post(&server, &[file(&audio(3001))]).await, 413, None, Some("too_large"));
    assert_eq!(post(&server, &[file(&audio(3000))]).await.status, 200);
    server.empty().await;
}

fn impatient() -> Config {
    let mut config = config();
    config.server.idle_timeout_ms = 1000;
    config.model.max_recordings = 1;
    config
}

/// Sends a request until it has a place: the engine takes one back a little after its client has gone.
async fn begin(server: &Server, request: &[u8]) -> TcpStream {
    loop {
        let mut stream = server.connect().await;
        stream.write_all(request).await.unwrap();
        tokio::select! {
            () = server.metric("decalage_sessions 1") => {
                server.metric("decalage_streams 0").await; // whose places it does not take
                return stream;
            }
            answer = answer(&mut stream) => assert_eq!(answer.status, 503),
        }
    }
}

/// The beginning of an upload.
fn half() -> Vec<u8> {
    [head(1_000_000, ""), file(&wav(16, &dialogue()[..2000]))].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_upload_does_not_keep_its_place() {
    let server = start(impatient()).await;
    // One stops; one goes on for ever, a byte at a time.
    let mut stopped = begin(&server, &half()).await;
    let refused = post(&server, &[file(&wav(16, dialogue()))]).await;
    assert_refused(&refused, 503, None, Some("overloaded"));
    assert!(refused.head.contains("retry-after: 5"), "{}", refused.head);
    assert_refused(&answer(&mut stopped).await, 408, None, Some("timeout"));
    drop(stopped);
    server.metric("decalage_sessions 0").await;

    let (mut reader, mut writer) = begin(&server, &half()).await.into_split();
    let drip = async {
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let answer =
        tokio::select! { answer = answer(&mut reader) => answer, () = drip => panic!("cut off without an answer") };
    assert_refused(&answer, 408, None, Some("timeout"));
    drop((reader, writer));
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_stops_the_work() {
    let server = start(impatient()).await;
    let long = wav(16, &dialogue().repeat(20));
    for stream in ["true", "false"] {
        // While it uploads, and while it is translated.
        drop(begin(&server, &half()).await);
        server.metric("decalage_sessions 0").await;
        server.gate.shut();
        let request = form(&[field("k", "1"), field("stream", stream), file(&long)]);
        let client = begin(&server, &request).await;
        if stream == "true" {
            server.metric("decalage_http_requests_total{route=\"/v1/audio/translations\",status=\"200\"} 1").await;
        }
        drop(client);
        server.metric("decalage_sessions 0").await;
        server.gate.open();
    }
    drop(begin(&server, &half()).await);
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_its_answer_is_given_up() {
    let mut config = impatient();
    config.server.write_timeout_ms = 500;
    let server = start(config).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut client = socket.connect(server.address).await.unwrap();
    // Twice the events for which there is room: here, in the server, and in both kernels.
    let long = wav(16, &dialogue().repeat(60));
    client.write_all(&form(&[field("k", "1"), field("stream", "true"), file(&long)])).await.unwrap();
    server.metric("decalage_sessions 1").await;
    server.empty().await;
    let rest = answer(&mut client).await;
    assert!(rest.body.contains("transcript.text.delta") && !rest.body.contains("[DONE]"), "all has found room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused() {
    let mut config = config();
    config.auth.keys = vec![KeyHash::of("sk-a-key-of-this-test")];
    let server = start(config).await;
    let body = [&file(&wav(16, dialogue()))[..], END].concat();
    for (headers, status) in [
        ("", 401),
        ("authorization: Bearer sk-another-key\r\n", 401),
        ("authorization: Bearer sk-a-key-of-this-test\r\norigin: https://evil.example.org\r\n", 403),
        ("authorization: Bearer sk-a-key-of-this-test\r\n", 200),
    ] {
        let answer = server.http(&[head(body.len(), headers), body.clone()].concat()).await;
        assert_eq!(answer.status, status, "{headers}");
    }
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_finishes_its_recordings() {
    let server = start(config()).await;
    server.gate.shut();
    let request = form(&[file(&wav(16, dialogue()))]);
    let stop = async {
        server.metric("decalage_sessions 1").await;
        server.engine.stop_admitting();
        server.shutdown.begin();
        server.gate.open();
        server.shutdown.complete(PATIENCE).await
    };
    let (answer, stopped) = tokio::join!(server.http(&request), stop);
    assert_eq!((answer.status, stopped), (200, Ok(())));
    assert_eq!(answer.body, json!({ "text": text(&alone(OFFLINE, wav(16, dialogue()))) }).to_string());
}
