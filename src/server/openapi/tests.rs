//! The document against the router that it describes: the same routes, the same doors, answers as promised.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use tower::ServiceExt;

use super::*;
use crate::protocol::FailureKind;
use crate::server::tests::{KEY, server};
use crate::session::tests::dialogue;

/// Every operation: path, method, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, said)| (path.clone(), method.clone(), said.clone()))
    });
    operations.collect()
}

/// Whether `body` is what the document says of an answer with this status.
fn check(operation: &Value, status: u16, body: &Value) {
    let schema = &operation["responses"][status.to_string()]["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{status} is not described in {operation}");
    let mut schema = schema.clone();
    schema["components"] = document()["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(body).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{status}: {wrong:?} in {body}");
}

fn ask(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method.to_uppercase().as_str()).uri(path)
}

async fn answer(router: &Router, request: Request<Body>) -> (StatusCode, Vec<u8>) {
    let response = router.clone().oneshot(request).await.unwrap();
    (response.status(), to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
}

/// A router does not tell its routes, so they are read where they are written.
#[test]
fn every_route_is_described_and_nothing_else() {
    let written = [include_str!("../mod.rs"), include_str!("../admin.rs")].map(|file| file.split("mod tests {").next());
    let routes = written.iter().flatten().flat_map(|file| file.split(".route(\"").skip(1)).map(|route| {
        let (path, handler) = route.split_once("\", ").unwrap();
        (path.to_owned(), handler.split('(').next().unwrap().to_owned())
    });
    let routes: BTreeSet<(String, String)> = routes.collect();
    let described = operations(&document()).into_iter().map(|(path, method, _)| (path, method));
    assert_eq!(described.collect::<BTreeSet<_>>(), routes);
    assert_eq!(routes.len(), 11);
}

#[tokio::test]
async fn the_doors_that_are_described_as_locked_are_locked() {
    let server = server();
    let document = document();
    assert_eq!(document["security"], json!([{ "key": [] }]));
    for (path, method, operation) in operations(&document) {
        let (status, body) = answer(&server, ask(&method, &path).body(Body::empty()).unwrap()).await;
        if operation.get("security").is_some() {
            assert_eq!(status, StatusCode::OK, "{method} {path}");
        } else {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
            check(&operation, 401, &serde_json::from_slice(&body).unwrap());
        }
    }
}

#[tokio::test]
async fn answers_are_what_is_promised() {
    let server = server();
    let document = document();
    let key = format!("Bearer {KEY}");
    let secret = |session: &str| format!(r#"{{"session":{session}}}"#);
    for (method, path, at, body, status) in [
        ("get", "/v1/models", "/v1/models", String::new(), 200),
        ("get", "/v1/models/{id}", "/v1/models/scripted", String::new(), 200),
        ("get", "/v1/models/{id}", "/v1/models/other", String::new(), 404),
        ("get", "/health", "/health", String::new(), 200),
        ("get", "/ready", "/ready", String::new(), 200),
        ("get", "/v1/realtime/translations", "/v1/realtime/translations?model=x", String::new(), 404),
        ("get", "/v1/realtime/translations", "/v1/realtime/translations?model=scripted", String::new(), 400),
        ("get", "/v1/listen", "/v1/listen?encoding=speex", String::new(), 400),
        ("post", SECRETS, SECRETS, secret(r#"{"model":"scripted","audio":{"output":{"language":"de"}}}"#), 200),
        ("post", SECRETS, SECRETS, secret(r#"{"model":"other"}"#), 404),
        ("post", SECRETS, SECRETS, secret("7"), 400),
        ("post", RECORDINGS, RECORDINGS, String::new(), 400),
    ] {
        let request = ask(method, at).header(header::AUTHORIZATION, &key).body(Body::from(body)).unwrap();
        let (answered, body) = answer(&server, request).await;
        assert_eq!(answered, status, "{method} {at}: {}", String::from_utf8_lossy(&body));
        check(&document["paths"][path][method], status, &serde_json::from_slice(&body).unwrap());
    }
}

const SECRETS: &str = "/v1/realtime/translations/client_secrets";
const RECORDINGS: &str = "/v1/audio/translations";

#[tokio::test]
async fn translations_are_what_is_promised() {
    let server = server();
    for (fields, verbose) in [(&[][..], false), (&[("response_format", "verbose_json"), ("k", "3")], true)] {
        let mut form = Vec::new();
        for (name, value) in [&[("timestamp_granularities[]", "word")], fields].concat() {
            form.extend(format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
        }
        form.extend(b"--X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n");
        form.extend(wav(dialogue()));
        form.extend(b"\r\n--X--\r\n");
        let request = ask("post", RECORDINGS)
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=X");
        let (status, body) = answer(&server, request.body(Body::from(form)).unwrap()).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 200, "{body}");
        assert!(!body["text"].as_str().unwrap().is_empty(), "{body}");
        assert_eq!(body["words"].is_array(), verbose, "{body}");
        check(&document()["paths"][RECORDINGS]["post"], 200, &body);
    }
}

fn wav(samples: &[f32]) -> Vec<u8> {
    let pcm: Vec<u8> = samples.iter().flat_map(|sample| ((sample * 32767.0) as i16).to_le_bytes()).collect();
    let num_bytes = pcm.len() as u32;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + num_bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    // PCM, mono, 16 kHz, bytes a second, bytes a frame, bits.
    [1_u16, 1].iter().for_each(|value| wav.extend(value.to_le_bytes()));
    [16_000_u32, 32_000].iter().for_each(|value| wav.extend(value.to_le_bytes()));
    [2_u16, 16].iter().for_each(|value| wav.extend(value.to_le_bytes()));
    wav.extend(b"data");
    wav.extend(num_bytes.to_le_bytes());
    [wav, pcm].concat()
}

#[test]
fn every_close_code_is_told() {
    let document = document();
    let told = |path: &str| document["paths"][path]["get"]["description"].as_str().unwrap().to_owned();
    let (native, deepgram) = (told("/v1/realtime/translations"), told("/v1/listen"));
    for codes in FailureKind::ALL.map(FailureKind::codes) {
        assert!(native.contains(&codes.close.to_string()) && native.contains(codes.code), "{codes:?}");
        let (close, reason) = codes.deepgram;
        assert!(deepgram.contains(&close.to_string()) && deepgram.contains(reason), "{codes:?}");
    }
}

/// A reference to what is not there would only be found by who generates a client.
#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                Value::String(to) if name == "$ref" => found.push(to),
                _ => references(value, found),
            }),
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for reference in found {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
}
