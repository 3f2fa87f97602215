//! Text from outside: a line in is a line out, whole or as it comes, and a bad request is refused by name; over a websocket
//! any split of the text gives the same words.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[allow(dead_code)] // audio is spoken by other tests
#[path = "server/client.rs"]
mod client;
#[allow(dead_code)] // websockets and recordings are spoken by other tests
#[path = "server/support.rs"]
mod support;

use client::{CLOSE, await_event, converse, is_error, open, send};
use serde_json::{Value, json};
use support::*;
use tokio_tungstenite::tungstenite::Message;

const TEXT: &str = "we would like to know.\n\nwhat are they saying? while they say it";

async fn post(server: &Server, body: &str) -> Answer {
    let length = body.len();
    let head =
        format!("POST /v1/translate HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    server.http([head.as_bytes(), body.as_bytes()].concat().as_slice()).await
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_translated_whole_and_as_they_come() {
    let server = start(config()).await;
    for more in [json!({}), json!({ "k": 2, "model": MODEL, "language": "en", "to_language": "de-AT" })] {
        let mut request = more.clone();
        request["text"] = TEXT.into();
        let answer = post(&server, &request.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = body(&answer)["text"].as_str().unwrap().to_owned();
        let lines: Vec<&str> = text.split('\n').collect();
        assert!(lines.len() == 3 && lines[1].is_empty() && !lines[0].is_empty() && !lines[2].is_empty(), "{text:?}");
        assert!(lines.iter().all(|line| line.trim() == *line), "{text:?}");

        request["stream"] = true.into();
        let answer = post(&server, &request.to_string()).await;
        assert!(answer.head.contains("text/event-stream"), "{answer:?}");
        let events: Vec<&str> = answer.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(events.last(), Some(&"[DONE]"));
        let events: Vec<Value> = events[..events.len() - 1].iter().map(|e| serde_json::from_str(e).unwrap()).collect();
        let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
        assert_eq!(deltas.trim_end(), text);
        assert_eq!(events.last().unwrap()["text"], text);
    }
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_reads_says_so() {
    let server = start(config()).await;
    let answer = server.http(format!("GET /v1/models/{MODEL} HTTP/1.0\r\n\r\n").as_bytes()).await;
    assert_eq!((answer.status, &body(&answer)["input_modalities"]), (200, &json!(["audio", "text"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_by_name() {
    let server = start(config()).await;
    for (request, status, said) in [
        ("{", 400, "EOF"),
        ("{\"text\": 5}", 400, "expected a string"),
        ("{\"q\": \"Hi.\"}", 400, "unknown field `q`"),
        ("{\"text\": \"Hi.\", \"k\": 0}", 400, "k is 0"),
        ("{\"text\": \"Hi.\", \"model\": \"other\"}", 404, "no model"),
        ("{\"text\": \"Hi.\", \"to_language\": \"fr\"}", 400, "to_language"),
    ] {
        let answer = post(&server, request).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert!(body(&answer)["error"]["message"].as_str().unwrap().contains(said), "{request}: {answer:?}");
    }
    let long = json!({ "text": "a ".repeat(200_000) }).to_string();
    assert_eq!(post(&server, &long).await.status, 413);
    let nothing = post(&server, "{\"text\": \"\"}").await;
    assert_eq!((nothing.status, body(&nothing)), (200, json!({ "text": "" })));
    server.empty().await;
}

fn append(text: &str) -> Message {
    Message::text(json!({ "type": "session.input_text.append", "text": text }).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_split_of_streamed_text_says_what_the_whole_says() {
    let server = start(config()).await;
    let whole = post(&server, &json!({ "text": TEXT, "k": 2 }).to_string()).await;
    let expected: Vec<String> = body(&whole)["text"].as_str().unwrap().split_whitespace().map(str::to_owned).collect();
    let path = format!("/v1/realtime/translations?model={MODEL}&input_format=text&k=2");
    for size in [1, 5, 1000] {
        let characters: Vec<char> = TEXT.chars().collect();
        let pieces = characters.chunks(size).map(|piece| append(&piece.iter().collect::<String>()));
        let heard = converse(open(&server, &path).await, pieces.chain([Message::text(CLOSE)]).collect()).await;
        let text = heard.text();
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), expected, "{size} characters at a time");
        assert_eq!(heard.last(), "session.closed");
    }
    server.empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_come_while_text_is_typed_and_audio_is_refused() {
    let server = start(config()).await;
    let path = format!("/v1/realtime/translations?model={MODEL}&input_format=text&k=1");
    let mut socket = open(&server, &path).await;
    send(&mut socket, [append("we would like ")]).await;
    // The text goes on, and there is a word already.
    let heard = await_event(&mut socket, |event| event["delta"].is_string()).await;
    assert!(!heard.text().is_empty());
    send(&mut socket, [client::append(&[0; 4])]).await;
    let refused = await_event(&mut socket, is_error).await;
    assert_eq!(refused.errors(), ["invalid_event"]);
    send(&mut socket, [Message::text(CLOSE)]).await;
    await_event(&mut socket, |event| event["type"] == "session.closed").await;
    let refused = server.http(format!("GET {path}&ext=vad HTTP/1.0\r\n\r\n").as_bytes()).await;
    assert_eq!((refused.status, body(&refused)["error"]["param"].as_str()), (400, Some("ext")));
    server.empty().await;
}
