//! The recorded conversations of `proto/fixtures`, replayed: through the dialects as the server runs them, through the
//! client's types, and through the schemas. `proto/README.md` describes the format.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use decalage::{
    protocol::{
        Action, Closing, Dialect, End, Failure, FailureKind, Message, SessionInfo,
        deepgram::Deepgram,
        realtime::{ClientMessage, Realtime, SecretRequest, SecretResponse, ServerEvent, ServerMessage},
    },
    session::event::{Command, Emission, Event},
};
use jsonschema::Validator;
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

/// A connection on the server's side, with what it has put out and nobody has looked at yet.
struct Connection {
    dialect: Box<dyn Dialect>,
    /// As steps of a fixture.
    output: VecDeque<Value>,
}

impl Connection {
    fn open(step: &Value) -> Self {
        let query = step["query"].as_object().unwrap();
        let query: Vec<(String, String)> =
            query.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let mut dialect: Box<dyn Dialect> = match step["dialect"].as_str().unwrap() {
            "realtime" => Box::new(Realtime::parse(&query).unwrap().0),
            "deepgram" => Box::new(Deepgram::parse(&query).unwrap().0),
            other => panic!("{other} is no dialect"),
        };
        let idle_limit_ms = dialect.idle_limit().map(|limit| limit.as_millis() as u64);
        assert_eq!(idle_limit_ms, step["idle_limit_ms"].as_u64());
        let text = |name: &str| step["session"][name].as_str().unwrap().to_owned();
        let seconds = |name: &str| step["session"][name].as_u64().unwrap();
        let messages = dialect.open(&SessionInfo {
            id: text("id"),
            model: text("model"),
            bundle: text("bundle"),
            source_language: text("source_language"),
            target_language: text("target_language"),
            created_at: seconds("created_at"),
            expires_at: seconds("expires_at"),
        });
        Self { dialect, output: messages.iter().map(server_step).collect() }
    }

    fn client(&mut self, step: &Value) {
        let message = if let Some(bytes) = step["binary_base64"].as_str() {
            Message::Binary(BASE64_STANDARD.decode(bytes).unwrap())
        } else {
            Message::Text(step["raw"].as_str().map_or_else(|| step["text"].to_string(), str::to_owned))
        };
        let actions = self.dialect.receive(message);
        self.output.extend(actions.iter().map(|action| match action {
            Action::Reply(message) => server_step(message),
            Action::Command(Command::Audio(bytes)) => {
                json!({ "from": "codec", "audio_base64": BASE64_STANDARD.encode(bytes) })
            }
            Action::Command(Command::Flush) => json!({ "from": "codec", "command": "flush" }),
            Action::Command(Command::Mark(mark)) => json!({ "from": "codec", "command": "mark", "mark": mark }),
            Action::Command(Command::Finish) => json!({ "from": "codec", "command": "finish" }),
            other => panic!("no fixture describes {other:?}"),
        }));
    }

    fn stream(&mut self, step: &Value) {
        if step["end"].is_null() {
            let event: Event = serde_json::from_value(step["event"].clone()).unwrap();
            let (emitted_ms, lag_ms) = (step["emitted_ms"].as_u64().unwrap(), step["lag_ms"].as_u64().unwrap());
            let messages = self.dialect.emit(&Emission { event, emitted_ms, lag_ms });
            return self.output.extend(messages.iter().map(server_step));
        }
        let Closing { messages, code, reason } = self.dialect.close(&end(&step["end"]));
        self.output.extend(messages.iter().map(server_step));
        self.output.push_back(json!({ "from": "server", "close": code, "reason": reason }));
    }
}

fn server_step(message: &Message) -> Value {
    match message {
        Message::Text(text) => {
            json!({ "from": "server", "text": serde_json::from_str::<Value>(text).unwrap() })
        }
        Message::Binary(_) => panic!("no dialect here sends bytes"),
    }
}

fn end(step: &Value) -> End {
    match step.as_str() {
        Some("finished") => End::Finished,
        Some("draining") => End::Draining,
        _ => {
            let kind = match step["failed"].as_str().unwrap() {
                "undecodable_audio" => FailureKind::UndecodableAudio,
                "too_large" => FailureKind::TooLarge,
                "slow_reader" => FailureKind::SlowReader,
                "idle" => FailureKind::Idle,
                "expired" => FailureKind::Expired,
                "internal" => FailureKind::Internal,
                other => panic!("{other} is no failure"),
            };
            End::Failed(Failure::new(kind, step["message"].as_str().unwrap()))
        }
    }
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
            if matches!(from, "server" | "codec") {
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
        assert!(steps.last().unwrap()["close"].is_u64(), "{name} does not end");
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
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, steps) in fixtures() {
        let types =
            steps.iter().filter(|step| step["invalid"] != true).filter_map(|step| step["text"]["type"].as_str());
        seen.entry(steps[0]["dialect"].as_str().unwrap().to_owned()).or_default().extend(types.map(str::to_owned));
    }
    for (dialect, seen) in seen {
        let schema = schema(&dialect);
        let sides = ["client", "server"].map(|side| schema["$defs"][side]["oneOf"].as_array().unwrap().clone());
        let defined = sides.iter().flatten().map(|side| side["$ref"].as_str().unwrap());
        let defined: BTreeSet<String> = defined.map(|path| path.trim_start_matches("#/$defs/").to_owned()).collect();
        assert_eq!(defined, seen, "{dialect}");
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
