//! Text from outside: a line in is a line out, whole or as it comes, and a bad request is refused by name.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[allow(dead_code)] // websockets and recordings are spoken by other tests
#[path = "server/support.rs"]
mod support;

use serde_json::{Value, json};
use support::*;

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
