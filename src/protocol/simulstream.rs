//! simulstream's websocket protocol, the toolkit of IWSLT 2026 (the package `simulstream` 1.0.0, read and run).
//!
//! ```text
//! {"sample_rate":16000,"source_lang":"en","target_lang":"de","metrics_metadata":{"wav_name":"talk.wav"}}  ─▶
//! binary: mono samples, int16 LE                                                                        ─▶
//!                                                       ◀─ {"new":"Guten","deleted":""}  when there is text
//! {"end_of_stream":true}                                                                                ─▶
//!                                                       ◀─ {"new":" Tag.","deleted":""}  the rest, maybe empty
//!                                                       ◀─ {"end_of_processing":true}, then close code 1000
//! ```
//!
//! One connection is one recording. What the toolkit's scorers read is written by the server: [`MetricsLine`]s, one for
//! each message of audio; they are scored with `detokenizer_type: simuleval` and `latency_unit: word`.
//!
//! Invariants: `deleted` is empty and the concatenation of all `new` is the translation. A message goes out only where
//! there is text: the client sends a whole recording before it reads a word, so that an answer to each chunk could fill
//! the socket's buffers and stop both sides.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Action, Closing, Dialect, End, Failure, FailureKind, Message, SessionInfo, Source, StreamOptions};
use crate::{
    audio::Encoding,
    session::event::{Command, Emission, Event},
};

/// What a close frame can hold besides its code: RFC 6455 §5.5.
const MAX_REASON_BYTES: usize = 123;

/// Takes the lines of the metrics log as they arise.
pub type MetricsSink = Box<dyn FnMut(MetricsLine) + Send>;

/// One line of the log that simulstream's scorers read. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MetricsLine {
    /// The log's first line.
    Loading {
        /// How long the model took to load.
        model_loading_time: f64,
    },
    /// A recording begins.
    Recording {
        /// The session's name, which its other lines repeat.
        id: String,
        /// What the client said about the recording; the scorers take its `wav_name`.
        metadata: Value,
    },
    /// A message of audio has been worked off, or, as the recording's last line, the end of the stream.
    Chunk {
        /// The session's name.
        id: String,
        /// Audio received up to and including this message.
        total_audio_processed: f64,
        /// How long the server was busy with it: not what it waited for the messages before it.
        computation_time: f64,
        /// The words committed meanwhile, without white space.
        generated_tokens: Vec<String>,
        /// Always empty: what is committed stays.
        deleted_tokens: Vec<String>,
    },
}

impl fmt::Display for MetricsLine {
    /// As one line of JSON, without the newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// What a client may say in text.
#[derive(Debug, Deserialize)]
struct ClientText {
    #[serde(default = "default_rate_hz")]
    sample_rate: u32,
    source_lang: Option<String>,
    target_lang: Option<String>,
    metrics_metadata: Option<Value>,
    end_of_stream: Option<Value>,
}

/// What simulstream's own server assumes.
fn default_rate_hz() -> u32 {
    16_000
}

/// One recording of simulstream's client. See the [module](self).
pub struct Simulstream {
    rate_hz: u32,
    /// What the client said about the recording, until it is logged.
    metadata: Option<Value>,
    metrics: MetricsSink,
    /// The session's name if the recording is logged: the scorers refuse lines that belong to no recording.
    logged_as: Option<String>,
    received_bytes: u64,
    /// Committed and not yet sent.
    new: String,
    /// When the line before was written.
    logged_ms: u64,
    ended: bool,
}

impl fmt::Debug for Simulstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulstream").field("logged_as", &self.logged_as).finish_non_exhaustive()
    }
}

impl Simulstream {
    /// Reads a connection's first message, which says how the audio comes; only then can a stream be opened.
    ///
    /// # Errors
    /// If it is not a header; [`closing`] says how to take leave.
    pub fn parse(first: &Message, metrics: MetricsSink) -> Result<(Self, StreamOptions), Failure> {
        let Message::Text(text) = first else {
            return Err(Failure::new(FailureKind::UnsupportedData, "the first message must be the header, as text"));
        };
        let header = parse_text(text)?;
        if header.end_of_stream.is_some() {
            return Err(Failure::new(FailureKind::InvalidMessage, "the first message must be the header"));
        }
        let options = StreamOptions {
            model: None,
            source: Source::Audio(Encoding::Pcm16 { rate_hz: header.sample_rate, channels: 1 }),
            k: None,
            source_language: header.source_lang,
            target_language: header.target_lang,
            tentative: false,
        };
        let stream = Self {
            rate_hz: header.sample_rate,
            metadata: header.metrics_metadata,
            metrics,
            logged_as: None,
            received_bytes: 0,
            new: String::new(),
            logged_ms: 0,
            ended: false,
        };
        Ok((stream, options))
    }

    /// Logs what was done since the line before, and takes the text that came of it.
    fn conclude(&mut self, received_bytes: u64, emission: &Emission) -> String {
        let new = std::mem::take(&mut self.new);
        let busy_ms = emission.lag_ms.min(emission.emitted_ms.saturating_sub(self.logged_ms));
        self.logged_ms = emission.emitted_ms;
        if let Some(id) = &self.logged_as {
            (self.metrics)(MetricsLine::Chunk {
                id: id.clone(),
                total_audio_processed: received_bytes as f64 / 2.0 / f64::from(self.rate_hz),
                computation_time: busy_ms as f64 / 1000.0,
                generated_tokens: new.split_whitespace().map(str::to_owned).collect(),
                deleted_tokens: Vec::new(),
            });
        }
        new
    }
}

impl Dialect for Simulstream {
    fn open(&mut self, session: &SessionInfo) -> Vec<Message> {
        if let Some(metadata) = self.metadata.take() {
            (self.metrics)(MetricsLine::Recording { id: session.id.clone(), metadata });
            self.logged_as = Some(session.id.clone());
        }
        Vec::new()
    }

    fn receive(&mut self, message: Message) -> Vec<Action> {
        if self.ended {
            return fail("nothing may follow end_of_stream: a recording is a connection");
        }
        match message {
            Message::Binary(bytes) => {
                self.received_bytes += bytes.len() as u64;
                let mark = Command::Mark(self.received_bytes);
                vec![Action::Command(Command::Audio(bytes)), Action::Command(mark)]
            }
            Message::Text(text) => match parse_text(&text) {
                Ok(ClientText { end_of_stream: Some(_), .. }) => {
                    self.ended = true;
                    vec![Action::Command(Command::Finish)]
                }
                Ok(_) => fail("a second header: what a recording is cannot change"),
                Err(failure) => vec![Action::Fail(failure)],
            },
        }
    }

    fn emit(&mut self, emission: &Emission) -> Vec<Message> {
        match &emission.event {
            Event::Committed(word) => {
                self.new.push_str(&word.text);
                Vec::new()
            }
            Event::Marked { mark: received_bytes } => {
                let new = self.conclude(*received_bytes, emission);
                if new.is_empty() { Vec::new() } else { vec![answer(&new)] }
            }
            Event::Finished => {
                let new = self.conclude(self.received_bytes, emission);
                vec![answer(&new), Message::Text(json!({ "end_of_processing": true }).to_string())]
            }
            _ => Vec::new(),
        }
    }

    fn close(&mut self, end: &End) -> Closing {
        closing(end)
    }
}

/// How a connection ends. The protocol has no error message: the close frame says it all.
pub fn closing(end: &End) -> Closing {
    let (code, reason) = match end {
        End::Finished => (1000, ""),
        End::Draining => (1001, "the server stops"),
        End::Failed(failure) => (failure.kind.codes().close, failure.message.as_str()),
    };
    let bytes = (0..=reason.len().min(MAX_REASON_BYTES)).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
    Closing { messages: Vec::new(), code, reason: reason[..bytes].to_owned() }
}

fn parse_text(text: &str) -> Result<ClientText, Failure> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("neither a header nor {{\"end_of_stream\": true}}: {error}");
        Failure::new(FailureKind::InvalidMessage, message)
    })
}

fn fail(message: &str) -> Vec<Action> {
    vec![Action::Fail(Failure::new(FailureKind::InvalidMessage, message))]
}

fn answer(new: &str) -> Message {
    Message::Text(json!({ "new": new, "deleted": "" }).to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use proptest::prelude::*;

    use super::*;
    use crate::session::event::Committed;

    const HEADER: &str = r#"{"sample_rate":8000,"target_lang":"de","metrics_metadata":{"wav_name":"/talks/a.wav"}}"#;

    fn opened(header: &str) -> (Simulstream, StreamOptions, Receiver<MetricsLine>) {
        let (sender, lines) = channel();
        let sink = Box::new(move |line| sender.send(line).unwrap());
        let (mut dialect, options) = Simulstream::parse(&Message::Text(header.into()), sink).unwrap();
        let session = SessionInfo {
            id: "s1".into(),
            model: "en-de-small".into(),
            bundle: "0123".into(),
            source_language: "en".into(),
            target_language: "de".into(),
            created_at: 0,
            expires_at: 1,
        };
        assert!(dialect.open(&session).is_empty());
        (dialect, options, lines)
    }

    fn emission(event: Event, emitted_ms: u64, lag_ms: u64) -> Emission {
        Emission { event, emitted_ms, lag_ms }
    }

    fn word(text: &str) -> Event {
        Event::Committed(Committed { seq: 0, utterance: 0, text: text.into(), start_ms: 0, end_ms: 0, source_ms: 0 })
    }

    fn logged(lines: &Receiver<MetricsLine>) -> Vec<String> {
        lines.try_iter().map(|line| line.to_string()).collect()
    }

    fn failure(actions: &[Action]) -> FailureKind {
        let [Action::Fail(failure)] = actions else { panic!("{actions:?}") };
        failure.kind
    }

    #[test]
    fn a_recording_is_answered_and_logged() {
        let (mut dialect, options, lines) = opened(HEADER);
        assert_eq!(options.source, Source::Audio(Encoding::Pcm16 { rate_hz: 8000, channels: 1 }));
        assert_eq!((options.source_language, options.target_language.as_deref()), (None, Some("de")));

        let chunk =
            |bytes: u64| [Action::Command(Command::Audio(vec![0; 1600])), Action::Command(Command::Mark(bytes))];
        assert_eq!(dialect.receive(Message::Binary(vec![0; 1600])), chunk(1600));
        assert_eq!(dialect.receive(Message::Binary(vec![0; 1600])), chunk(3200));
        let end = dialect.receive(Message::Text(r#"{"end_of_stream": true}"#.into()));
        assert_eq!(end, [Action::Command(Command::Finish)]);

        assert!(dialect.emit(&emission(word("Guten"), 9, 9)).is_empty());
        let answers = dialect.emit(&emission(Event::Marked { mark: 1600 }, 10, 9));
        assert_eq!(answers, [Message::Text(r#"{"deleted":"","new":"Guten"}"#.into())]);
        // Nothing new: nothing is said, but the time counts; what it waited for the chunk before it does not.
        assert!(dialect.emit(&emission(Event::Marked { mark: 3200 }, 14, 13)).is_empty());
        assert!(dialect.emit(&emission(word(" Tag."), 20, 6)).is_empty());
        let answers = dialect.emit(&emission(Event::Finished, 30, 2));
        assert_eq!(
            answers,
            [
                Message::Text(r#"{"deleted":"","new":" Tag."}"#.into()),
                Message::Text(r#"{"end_of_processing":true}"#.into())
            ]
        );
        assert_eq!(dialect.close(&End::Finished), Closing { messages: vec![], code: 1000, reason: String::new() });

        let chunk = |seconds: &str, busy: &str, tokens: &str| {
            format!(
                r#"{{"id":"s1","total_audio_processed":{seconds},"computation_time":{busy},"generated_tokens":[{tokens}],"deleted_tokens":[]}}"#
            )
        };
        assert_eq!(
            logged(&lines),
            [
                r#"{"id":"s1","metadata":{"wav_name":"/talks/a.wav"}}"#.to_owned(),
                chunk("0.1", "0.009", r#""Guten""#),
                chunk("0.2", "0.004", ""),
                chunk("0.2", "0.002", r#""Tag.""#),
            ]
        );
    }

    #[test]
    fn a_recording_without_a_name_is_not_logged() {
        let (mut dialect, options, lines) = opened("{}");
        assert_eq!(options.source, Source::Audio(Encoding::Pcm16 { rate_hz: 16_000, channels: 1 }));
        assert_eq!(dialect.emit(&emission(Event::Finished, 0, 0)).len(), 2);
        assert_eq!(logged(&lines), Vec::<String>::new());
        let line = MetricsLine::Loading { model_loading_time: 1.5 };
        assert_eq!(line.to_string(), r#"{"model_loading_time":1.5}"#);
    }

    #[test]
    fn wrong_order_is_refused() {
        let refused = |first: Message| Simulstream::parse(&first, Box::new(drop)).unwrap_err().kind;
        assert_eq!(refused(Message::Binary(vec![0; 4])), FailureKind::UnsupportedData);
        for text in ["", "null", "[]", r#"{"sample_rate":-1}"#, r#"{"end_of_stream":true}"#] {
            assert_eq!(refused(Message::Text(text.into())), FailureKind::InvalidMessage, "{text}");
        }
        let (mut dialect, ..) = opened(HEADER);
        assert_eq!(failure(&dialect.receive(Message::Text(HEADER.into()))), FailureKind::InvalidMessage);
        dialect.receive(Message::Text(r#"{"end_of_stream":true}"#.into()));
        assert_eq!(failure(&dialect.receive(Message::Binary(vec![0; 4]))), FailureKind::InvalidMessage);
    }

    #[test]
    fn the_close_frame_says_what_was_wrong_in_123_bytes() {
        let end = End::Failed(Failure::new(FailureKind::InvalidMessage, "ü".repeat(100)));
        let closing = closing(&end);
        assert_eq!((closing.code, closing.reason.as_str()), (1008, "ü".repeat(61).as_str()));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_a_header(text in ".*") {
            let _ = Simulstream::parse(&Message::Text(text.clone()), Box::new(drop));
            let (mut dialect, ..) = opened(HEADER);
            prop_assert_eq!(dialect.receive(Message::Text(text)).len(), 1);
        }
    }
}
