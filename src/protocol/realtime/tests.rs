//! What fixtures cannot hold: parameters of URLs, ephemeral keys, and that no message whatever does harm.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::{Failure, FailureKind, query::pairs};

const MODEL: (&str, &str) = ("model", "en-de-small");

fn info() -> SessionInfo {
    SessionInfo {
        id: "sess_1".into(),
        model: "en-de-small".into(),
        bundle: "0123abcd".into(),
        source_language: "en".into(),
        target_language: "de".into(),
        created_at: 1_000,
        expires_at: 9_000,
    }
}

fn parse(query: &[(&str, &str)]) -> Result<(Realtime, StreamOptions), QueryError> {
    Realtime::parse(&pairs(&[&[MODEL], query].concat()))
}

fn opened(query: &[(&str, &str)]) -> Realtime {
    let mut dialect = parse(query).unwrap().0;
    assert_eq!(dialect.open(&info()).len(), 1);
    dialect
}

fn value(message: &Message) -> Value {
    match message {
        Message::Text(text) => serde_json::from_str(text).unwrap(),
        Message::Binary(bytes) => panic!("{} bytes, not text", bytes.len()),
    }
}

#[test]
fn a_bare_url_asks_for_openais_format() {
    let (_, options) = parse(&[]).unwrap();
    let source = Source::Audio(Encoding::Pcm16 { rate_hz: 24_000, channels: 1 });
    let (source_language, target_language) = (None, None);
    let model = Some("en-de-small".to_owned());
    assert_eq!(options, StreamOptions { model, source, k: None, source_language, target_language, tentative: false });
}

#[test]
fn extensions_in_the_url_are_read() {
    let options = |query: &[(&str, &str)]| parse(query).unwrap().1;
    let raw = options(&[("input_format", "f32"), ("rate", "48000"), ("channels", "2"), ("k", "7")]);
    assert_eq!(raw.source, Source::Audio(Encoding::F32 { rate_hz: 48_000, channels: 2 }));
    assert_eq!(raw.k, Some(7));
    for format in ["opus", "webm", "ogg"] {
        assert_eq!(options(&[("input_format", format)]).source, Source::Audio(Encoding::Container));
    }
    assert!(options(&[("ext", "lag,,tentative")]).tentative);
    assert!(!options(&[("ext", "")]).tentative);
}

#[test]
fn what_a_url_may_not_ask_is_refused_by_name() {
    let wrong = [
        (vec![("intent", "transcription")], "intent"),
        (vec![("input_format", "mp3")], "input_format"),
        (vec![("rate", "7999")], "rate"),
        (vec![("rate", "24k")], "rate"),
        (vec![("channels", "0")], "channels"),
        (vec![("input_format", "webm"), ("rate", "48000")], "rate"),
        (vec![("k", "0")], "k"),
        (vec![("k", "-1")], "k"),
        (vec![("ext", "lag,all")], "ext"),
    ];
    for (query, param) in wrong {
        assert_eq!(parse(&query).unwrap_err().param(), param, "{query:?}");
    }
    for nameless in [vec![], vec![("model", "")]] {
        assert_eq!(Realtime::parse(&pairs(&nameless)).unwrap_err().param(), "model");
    }
    let long = "x".repeat(100_000);
    assert!(parse(&[("ext", &long)]).unwrap_err().to_string().len() < 200);
}

#[test]
fn raw_audio_in_events_comes_in_whole_samples_of_all_channels() {
    let append = |audio: &[u8]| {
        Message::json(&ClientMessage { event_id: None, event: ClientEvent::Append { audio: audio.into() } })
    };
    for (query, sample_bytes) in [
        (vec![], 2),
        (vec![("channels", "2")], 4),
        (vec![("input_format", "f32"), ("channels", "2")], 8),
        (vec![("input_format", "ogg")], 1),
    ] {
        let mut dialect = opened(&query);
        for num_bytes in 0..=16 {
            let actions = dialect.receive(append(&vec![7; num_bytes]));
            let whole = num_bytes % sample_bytes == 0;
            assert_eq!(
                actions == [Action::Command(Command::Audio(vec![7; num_bytes]))],
                whole,
                "{query:?} {num_bytes}"
            );
        }
    }
}

#[test]
fn a_key_sets_what_a_session_begins_with() {
    let body = json!({
        "expires_after": { "anchor": "created_at", "seconds": 10 },
        "session": { "model": "en-de-small", "audio": { "input": { "transcription": { "model": "any" } } } },
    });
    let request = SecretRequest::parse(body.to_string().as_bytes()).unwrap();
    assert_eq!((request.model.as_str(), request.seconds), ("en-de-small", 10));
    let session = request.preview(&info()).unwrap();

    let mut dialect = parse(&[]).unwrap().0;
    dialect.preset(request.session);
    let created = value(&dialect.open(&info())[0]);
    assert_eq!(created["session"], serde_json::to_value(session).unwrap());
    assert_eq!(created["session"]["audio"]["input"]["transcription"]["model"], "any");
}

#[test]
fn a_preset_that_does_not_fit_is_an_error_behind_the_creation() {
    let mut dialect = parse(&[]).unwrap().0;
    dialect.preset(SessionUpdate { model: Some("other".into()), ..SessionUpdate::default() });
    let messages: Vec<Value> = dialect.open(&info()).iter().map(value).collect();
    assert_eq!(messages[0]["type"], "session.created");
    assert_eq!(messages[1]["error"]["param"], "session.model");
}

#[test]
fn a_key_that_would_not_work_is_not_given() {
    let wrong = [
        ("", None),
        ("[]", Some("session")),
        (r#"{"session":{}}"#, Some("session.model")),
        (r#"{"session":{"model":"m"},"expires_after":{"seconds":9}}"#, Some("expires_after.seconds")),
        (r#"{"session":{"model":"m"},"expires_after":{"seconds":7201}}"#, Some("expires_after.seconds")),
        (r#"{"session":{"model":"m"},"expires_after":{"anchor":"now"}}"#, Some("expires_after.anchor")),
        (r#"{"session":{"model":"m","audio":7}}"#, Some("session.audio")),
    ];
    for (body, param) in wrong {
        assert_eq!(SecretRequest::parse(body.as_bytes()).unwrap_err().param.as_deref(), param, "{body}");
    }
    let request = |session: Value| SecretRequest::parse(json!({ "session": session }).to_string().as_bytes()).unwrap();
    let french = request(json!({ "model": "en-de-small", "audio": { "output": { "language": "fr" } } }));
    let error = french.preview(&info()).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("session.audio.output.language"));
}

/// What OpenAI's own server sends has no fields of ours; what a later server of ours sends has more.
#[test]
fn a_client_reads_other_servers_too() {
    let event = |text: &str| serde_json::from_str::<ServerMessage>(text).unwrap().event;
    let created = r#"{"event_id":"e","type":"session.created",
        "session":{"id":"s","type":"translation","model":"m","expires_at":1,"audio":{"output":{"language":"es"}}}}"#;
    let ServerEvent::Created { session } = event(created) else { panic!("not created") };
    assert_eq!((session.audio.output.language.as_str(), session.extensions.len()), ("es", 0));
    let delta = event(r#"{"event_id":"e","type":"session.output_transcript.delta","delta":"Hola","elapsed_ms":200}"#);
    let expected = Delta { delta: "Hola".into(), elapsed_ms: Some(200), ..Delta::default() };
    assert_eq!(delta, ServerEvent::OutputTranscript(expected));
    assert_eq!(event(r#"{"event_id":"e","type":"session.new","new":[1]}"#), ServerEvent::Unknown);
}

#[test]
fn the_reason_of_a_failure_reaches_the_client() {
    let closing = opened(&[]).close(&End::Failed(Failure::new(FailureKind::Idle, "say something")));
    assert_eq!(value(&closing.messages[0])["error"]["message"], "say something");
    assert_eq!((closing.code, closing.reason.as_str()), (4031, "idle_timeout"));
}

/// Any JSON, with the names that mean something here more often than by chance.
fn json_value() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("type".to_owned()),
        Just("event_id".to_owned()),
        Just("session".to_owned()),
        Just("audio".to_owned()),
        Just("input".to_owned()),
        Just("transcription".to_owned()),
        Just("session.update".to_owned()),
        Just("session.close".to_owned()),
        Just("session.input_audio_buffer.append".to_owned()),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        name.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        ".{0,64}".prop_map(Message::Text),
        json_value().prop_map(|value| Message::json(&value)),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(Message::Binary),
    ]
}

proptest! {
    #[test]
    fn every_message_has_an_answer_or_a_command(messages in prop::collection::vec(message(), 1..8)) {
        let mut dialect = opened(&[]);
        let mut num_events = 1;
        for message in messages {
            let actions = dialect.receive(message);
            prop_assert_eq!(actions.len(), 1);
            if let Action::Reply(reply) = &actions[0] {
                num_events += 1;
                let reply = value(reply);
                prop_assert!(["error", "session.updated"].contains(&reply["type"].as_str().unwrap()));
                prop_assert_eq!(&reply["event_id"], &json!(format!("event_{num_events}")));
            }
        }
    }
}
