//! The recorded conversations of `proto/fixtures`, replayed: through the dialects as the server runs them, through the
//! client's types, and through the schemas. `proto/README.md` describes the format.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "protocol/replay.rs"]
mod replay;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use decalage::protocol::{
    FailureKind, SessionInfo,
    realtime::{ClientMessage, SecretRequest, SecretResponse, ServerEvent, ServerMessage},
};
use jsonschema::Validator;
use replay::Connection;
use serde_json::{Value, json};

/// Stands in a fixture for any text that people read.
const ANY_TEXT: &str = "*";

fn proto() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proto")
}

/// Name and steps of each fixture.
fn fixtures() -> Vec<(String, Vec<Value>)> {
    let files = fs::read_dir(proto().join("fixtures")).unwrap().map(|entry| entry.unwrap().path());
    let mut fixtures: Vec<(String, Vec<Value>)> = files
        .map(|path| {
            let steps = fs::read_to_string(&path).unwrap();
            let steps = steps.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), steps)
        })
        .collect();
    fixtures.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!fixtures.is_empty());
    fixtures
}

fn schema(dialect: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(proto().join(format!("{dialect}.schema.json"))).unwrap()).unwrap()
}

/// Checks values against one definition of a schema.
fn validator(schema: &Value, definition: &str) -> Validator {
    let part = json!({
        "$schema": schema["$schema"],
        "$ref": format!("#/$defs/{definition}"),
        "$defs": schema["$defs"],
    });
    jsonschema::validator_for(&part).unwrap()
}

fn assert_valid(validator: &Validator, message: &Value, place: &str) {
    let errors: Vec<String> = validator.iter_errors(message).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{place}: {message} breaks the schema: {errors:?}");
}

/// Equal, where the expected [`ANY_TEXT`] is any text but the empty one.
fn matches(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(any), Value::String(text)) if any == ANY_TEXT => !text.is_empty(),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|found| matches(value, found)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| matches(a, b)),
        _ => expected == found,
    }
}

#[test]
fn the_server_says_what_the_fixtures_say() {
    for (name, steps) in fixtures() {
        assert!(name.starts_with(steps[0]["dialect"].as_str().unwrap()), "{name}");
        let mut connection = Connection::open(&steps[0]);
        for (line, step) in steps.iter().enumerate().skip(1) {
            let place = format!("{name}:{}", line + 1);
            let from = step["from"].as_str().unwrap();
            if matches!(from, "server" | "codec" | "log") {
                let found = connection.output.pop_front().unwrap_or_else(|| panic!("{place}: nothing was said"));
                assert!(matches(step, &found), "{place}:\nexpected {step}\n   found {found}");
                continue;
            }
            assert!(connection.output.is_empty(), "{place}: not expected: {:?}", connection.output);
            match from {
                "client" => connection.client(step),
                "stream" => connection.stream(step),
                other => panic!("{place}: nobody is called {other}"),
            }
        }
        assert!(connection.output.is_empty(), "{name}: not expected: {:?}", connection.output);
        let last = steps.last().unwrap();
        // A sentence of SimulEval's has no close frame.
        let over = last["close"].is_u64() || last["text"]["finished"] == true || last["status"] == 400;
        assert!(over, "{name} does not end");
    }
}

#[test]
fn the_messages_keep_to_the_schemas() {
    for (name, steps) in fixtures() {
        let schema = schema(steps[0]["dialect"].as_str().unwrap());
        let [client, server] = ["client", "server"].map(|side| validator(&schema, side));
        for (line, step) in steps.iter().enumerate().filter(|(_, step)| step["text"].is_object()) {
            let place = format!("{name}:{}", line + 1);
            match (step["from"].as_str().unwrap(), step["invalid"] == true) {
                ("client", false) => assert_valid(&client, &step["text"], &place),
                ("client", true) => assert!(!client.is_valid(&step["text"]), "{place}: the schema takes it"),
                _ => assert_valid(&server, &step["text"], &place),
            }
        }
    }
}

/// A message that only the schema or only the code knows would be noticed here.
#[test]
fn every_message_of_the_schemas_is_in_a_fixture() {
    let mut said: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (_, steps) in fixtures() {
        let texts = steps.iter().filter(|step| step["invalid"] != true && step["text"].is_object());
        said.entry(steps[0]["dialect"].as_str().unwrap().to_owned()).or_default().extend(texts.cloned());
    }
    assert_eq!(said.keys().collect::<Vec<_>>(), ["deepgram", "realtime", "simuleval", "simulstream"]);
    for (dialect, said) in said {
        let schema = schema(&dialect);
        for side in ["client", "server"] {
            for definition in definitions(&schema, side) {
                let validator = validator(&schema, &definition);
                let seen = said.iter().any(|step| step["from"] == side && validator.is_valid(&step["text"]));
                assert!(seen, "{dialect}: no fixture has {definition}");
            }
        }
    }
}

/// Names of what a side may say: of each message, or of the side where it has but one.
fn definitions(schema: &Value, side: &str) -> Vec<String> {
    let each = schema["$defs"][side]["oneOf"].as_array().into_iter().flatten();
    let names = each.filter_map(|message| message["$ref"].as_str()?.strip_prefix("#/$defs/"));
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() { vec![side.to_owned()] } else { names }
}

#[test]
fn every_way_to_fail_is_in_a_fixture() {
    let ends = fixtures().into_iter().map(|(_, steps)| steps.last().unwrap()["reason"].clone());
    let seen: BTreeSet<String> = ends.filter_map(|reason| reason.as_str().map(str::to_owned)).collect();
    for kind in FailureKind::ALL {
        assert!(seen.contains(kind.codes().code), "no fixture ends with {}", kind.codes().code);
    }
}

/// `decalage stream` reads and writes these types.
#[test]
fn the_clients_types_hold_every_message_of_the_native_dialect() {
    for (name, steps) in fixtures().into_iter().filter(|(name, _)| name.starts_with("realtime")) {
        for (line, step) in steps.iter().enumerate().filter(|(_, step)| step["text"].is_object()) {
            let (place, text) = (format!("{name}:{}", line + 1), &step["text"]);
            if step["from"] == "server" {
                let message: ServerMessage = serde_json::from_value(text.clone()).unwrap();
                assert_ne!(message.event, ServerEvent::Unknown, "{place}");
                assert_eq!(&serde_json::to_value(message).unwrap(), text, "{place}");
            } else if step["invalid"] != true {
                let message = ClientMessage::parse(&text.to_string()).unwrap();
                assert_eq!(&serde_json::to_value(message).unwrap(), text, "{place}");
            }
        }
    }
}

#[test]
fn the_examples_in_the_schemas_keep_to_them() {
    let mut num_examples = 0;
    for dialect in ["realtime", "deepgram", "simulstream", "simuleval"] {
        let schema = schema(dialect);
        jsonschema::validator_for(&schema).unwrap();
        for (definition, part) in schema["$defs"].as_object().unwrap() {
            let validator = validator(&schema, definition);
            for example in part["examples"].as_array().into_iter().flatten() {
                assert_valid(&validator, example, &format!("{dialect}, {definition}"));
                num_examples += 1;
            }
        }
    }
    assert!(num_examples >= 10);
}

/// `proto/README.md` shows the defaults to people who write clients.
#[cfg(feature = "server")]
#[test]
fn the_limits_are_documented() {
    let readme = fs::read_to_string(proto().join("README.md")).unwrap();
    let server = decalage::config::Config::default().server;
    for (setting, default) in [
        ("max_message_bytes", format!("{} bytes", server.max_message_bytes)),
        ("idle_timeout_ms", format!("{} ms", server.idle_timeout_ms)),
        ("write_timeout_ms", format!("{} ms", server.write_timeout_ms)),
        ("max_session_ms", format!("{} ms", server.max_session_ms)),
        ("drain_timeout_ms", format!("{} ms", server.drain_timeout_ms)),
    ] {
        let row = format!("| `{setting}` | {default} |");
        assert!(readme.contains(&row), "proto/README.md lacks {row}");
    }
}

#[test]
fn keys_are_asked_for_and_given_as_the_schema_says() {
    let schema = schema("realtime");
    let info = SessionInfo {
        id: "sess_1".into(),
        model: "en-de-small".into(),
        bundle: "0123abcd".into(),
        source_language: "en".into(),
        target_language: "de".into(),
        created_at: 1_000,
        expires_at: 9_000,
    };
    let response = validator(&schema, "client_secret_response");
    for (example, expires_at) in
        schema["$defs"]["client_secret_request"]["examples"].as_array().unwrap().iter().zip([1_600, 1_060])
    {
        let request = SecretRequest::parse(example.to_string().as_bytes()).unwrap();
        let session = request.preview(&info).unwrap();
        let answer = SecretResponse { value: "ek_1".into(), expires_at: info.created_at + request.seconds, session };
        let answer = serde_json::to_value(answer).unwrap();
        assert_valid(&response, &answer, "response");
        assert_eq!(answer["expires_at"], expires_at);
    }
}
