//! What fixtures cannot hold: long input, and that no message whatever does harm.

use proptest::prelude::*;

use super::*;
use crate::protocol::query::pairs;

fn opened(query: &[(&str, &str)]) -> Deepgram {
    let mut dialect = Deepgram::parse(&pairs(query)).unwrap().0;
    let messages = dialect.open(&SessionInfo {
        id: "sess_1".into(),
        model: "en-de-small".into(),
        bundle: "0123abcd".into(),
        source_language: "en".into(),
        target_language: "de".into(),
        created_at: 0,
        expires_at: 9_000,
    });
    assert_eq!(messages, []);
    dialect
}

fn value(message: &Message) -> Value {
    match message {
        Message::Text(text) => serde_json::from_str(text).unwrap(),
        Message::Binary(bytes) => panic!("{} bytes, not text", bytes.len()),
    }
}

fn word(text: &str) -> Emission {
    let (start_ms, end_ms) = (100, 350);
    let event = Committed { seq: 0, utterance: 0, text: text.into(), start_ms, end_ms, source_ms: 900 };
    Emission { event: Event::Committed(event), emitted_ms: 0, lag_ms: 0 }
}

#[test]
fn words_come_with_and_without_punctuation() {
    let mut dialect = opened(&[]);
    for (text, bare, punctuated) in [("Ja", "Ja", "Ja"), (" „Tag“,", "Tag", "„Tag“,"), (" –", "–", "–")] {
        let results = value(&dialect.emit(&word(text))[0]);
        let alternative = &results["channel"]["alternatives"][0];
        assert_eq!(alternative["transcript"], punctuated);
        assert_eq!(alternative["words"][0]["word"], bare);
        assert_eq!(alternative["words"][0]["punctuated_word"], punctuated);
    }
}

#[test]
fn audio_in_a_container_lasts_as_long_as_events_have_said() {
    let mut dialect = opened(&[]);
    dialect.receive(Message::Binary(vec![1, 2, 3]));
    dialect.emit(&word("Ja"));
    let summary = value(&dialect.close(&End::Finished).messages[0]);
    assert_eq!((summary["duration"].as_f64(), summary["channels"].as_u64()), (Some(0.9), Some(1)));
}

#[test]
fn little_of_a_long_message_is_sent_back() {
    let actions = opened(&[]).receive(Message::Text("é".repeat(100_000)));
    let [Action::Reply(reply)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(value(reply)["message"], "é".repeat(MAX_ECHO));
}

proptest! {
    /// The digest and the duration are those of all bytes, in whatever pieces they came.
    #[test]
    fn the_summary_counts_bytes_not_messages(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..20)) {
        let mut dialect = opened(&[("encoding", "linear16"), ("sample_rate", "8000"), ("channels", "2")]);
        for piece in &pieces {
            dialect.receive(Message::Binary(piece.clone()));
        }
        let bytes = pieces.concat();
        let summary = value(&dialect.close(&End::Finished).messages[0]);
        prop_assert_eq!(summary["sha256"].as_str().unwrap(), format!("{:x}", Sha256::digest(&bytes)));
        prop_assert_eq!(summary["duration"].as_f64().unwrap(), (bytes.len() / 4) as f64 / 8000.0);
    }

    #[test]
    fn every_message_but_a_sign_of_life_has_an_answer_or_a_command(text in "\\PC{0,40}|\\{\"type\": ?\"[A-Z][a-zA-Z]{3,10}\"\\}") {
        let mut dialect = opened(&[]);
        let actions = dialect.receive(Message::Text(text.clone()));
        let alive = serde_json::from_str::<Value>(&text).is_ok_and(|text| text["type"] == "KeepAlive");
        prop_assert_eq!(actions.is_empty(), alive);
        prop_assert_eq!(dialect.receive(Message::Binary(text.into_bytes())).len(), 1);
        prop_assert_eq!(dialect.receive(Message::Binary(Vec::new())).len(), 1);
    }
}
