//! Deepgram's dialect: `/v1/listen`, with the translation where Deepgram has the transcript.
//!
//! `proto/README.md` describes it and `proto/deepgram.schema.json` holds every message. Invariant: the transcripts of all
//! `Results` with `is_final`, joined with spaces, are the translation.

mod date;
mod query;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Action, Closing, Dialect, End, Message, SessionInfo, StreamOptions, query::QueryError};
use crate::{
    audio::Encoding,
    session::event::{Command, Committed, Emission, Event},
};
use query::Wishes;

/// Deepgram's: audio or a message must come this often.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
/// How much of a message that cannot be read is sent back, in characters.
const MAX_ECHO: usize = 1000;

/// One connection. See the [module](self).
#[derive(Debug)]
pub struct Deepgram {
    wishes: Wishes,
    encoding: Encoding,
    /// `metadata` of the results.
    metadata: Value,
    created_at: u64,
    sha256: Sha256,
    num_bytes: u64,
    closing: bool,
    /// Where the running utterance's words end so far.
    last_word_end_ms: Option<u64>,
    /// The latest time that an event has named.
    heard_ms: u64,
}

/// What a client may write; fields beside these are left alone.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum ClientText {
    KeepAlive,
    Finalize,
    CloseStream,
    Configure {
        keyterms: Option<Vec<String>>,
        /// Formatting, which has no effect here: the text is as the model writes it.
        #[serde(rename = "features")]
        _features: Option<BTreeMap<String, bool>>,
    },
}

/// What text a result carries and how final it is.
#[derive(Default)]
struct Outcome<'a> {
    text: &'a str,
    is_final: bool,
    speech_final: bool,
    from_finalize: bool,
}

impl Deepgram {
    /// Reads the parameters of the URL, percent-decoded: `model`, `language`, `target_language` (ours), `encoding`,
    /// `sample_rate`, `channels`, `interim_results`, `vad_events`, `utterance_end_ms` and `endpointing`; others are
    /// ignored, as Deepgram does.
    ///
    /// # Errors
    /// If one of these has a value that is not allowed, or raw audio comes without its rate.
    pub fn parse(query: &[(String, String)]) -> Result<(Self, StreamOptions), QueryError> {
        let (wishes, encoding, options) = query::parse(query)?;
        let dialect = Self {
            wishes,
            encoding,
            metadata: Value::Null,
            created_at: 0,
            sha256: Sha256::new(),
            num_bytes: 0,
            closing: false,
            last_word_end_ms: None,
            heard_ms: 0,
        };
        Ok((dialect, options))
    }

    fn audio(&mut self, bytes: Vec<u8>) -> Action {
        if bytes.is_empty() {
            return self.finish(); // Deepgram's older way to say CloseStream
        }
        self.sha256.update(&bytes);
        self.num_bytes = self.num_bytes.saturating_add(bytes.len() as u64);
        Action::Command(Command::Audio(bytes))
    }

    fn finish(&mut self) -> Action {
        self.closing = true;
        Action::Command(Command::Finish)
    }

    fn text(&mut self, text: &str) -> Option<Action> {
        match serde_json::from_str(text) {
            Ok(ClientText::KeepAlive) => None,
            Ok(_) if self.closing => Some(closed()),
            Ok(ClientText::Finalize) => Some(Action::Command(Command::Flush)),
            Ok(ClientText::CloseStream) => Some(self.finish()),
            Ok(ClientText::Configure { keyterms: None, .. }) => {
                Some(reply(&json!({ "type": "ConfigureSuccess", "request_id": self.request_id() })))
            }
            Ok(ClientText::Configure { .. }) => Some(reply(&json!({
                "type": "ConfigureFailure",
                "request_id": self.request_id(),
                "code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED",
                "description": "the model takes no keyterms",
            }))),
            Err(error) => Some(reply(&json!({
                "type": "Error",
                "variant": "SchemaError",
                "description": format!("not a message of this protocol: {error}"),
                "message": text.chars().take(MAX_ECHO).collect::<String>(),
            }))),
        }
    }

    fn request_id(&self) -> &Value {
        &self.metadata["request_id"]
    }

    fn committed(&mut self, word: &Committed) -> Value {
        self.last_word_end_ms = Some(word.end_ms);
        let text = word.text.trim();
        let bare = text.trim_matches(|c: char| !c.is_alphanumeric());
        let entry = json!({
            "word": if bare.is_empty() { text } else { bare },
            "punctuated_word": text,
            "start": seconds(word.start_ms),
            "end": seconds(word.end_ms),
            "confidence": 1.0,
        });
        self.results(&Outcome { text, is_final: true, ..Outcome::default() }, vec![entry], word.start_ms, word.end_ms)
    }

    /// Deepgram's clients need a confidence, which a translation has not: it is 1 for what will not change, else 0.
    fn results(&self, outcome: &Outcome<'_>, words: Vec<Value>, start_ms: u64, end_ms: u64) -> Value {
        let confidence = if outcome.is_final && !outcome.text.is_empty() { 1.0 } else { 0.0 };
        json!({
            "type": "Results",
            "channel_index": [0, 1],
            "start": seconds(start_ms),
            "duration": seconds(end_ms.saturating_sub(start_ms)),
            "is_final": outcome.is_final,
            "speech_final": outcome.speech_final,
            "from_finalize": outcome.from_finalize,
            "channel": {
                "alternatives": [{ "transcript": outcome.text, "confidence": confidence, "words": words }]
            },
            "metadata": self.metadata,
        })
    }

    /// The end of an utterance: an empty result, since its last word has gone out already, and the event.
    fn utterance_end(&mut self, start_ms: u64, end_ms: u64) -> Vec<Value> {
        let outcome = Outcome { is_final: true, speech_final: true, ..Outcome::default() };
        let result = self.wishes.endpointing.then(|| self.results(&outcome, Vec::new(), start_ms, end_ms));
        let last_word_end_ms = self.last_word_end_ms.take().filter(|_| self.wishes.utterance_end);
        let event = last_word_end_ms
            .map(|end_ms| json!({ "type": "UtteranceEnd", "channel": [0, 1], "last_word_end": seconds(end_ms) }));
        result.into_iter().chain(event).collect()
    }

    fn show(&mut self, event: &Event) -> Vec<Value> {
        match event {
            Event::Committed(word) => {
                self.heard_ms = self.heard_ms.max(word.source_ms);
                vec![self.committed(word)]
            }
            Event::Tentative(guess) if self.wishes.interim_results => {
                let outcome = Outcome { text: guess.text.trim(), ..Outcome::default() };
                let at_ms = self.last_word_end_ms.unwrap_or(self.heard_ms);
                vec![self.results(&outcome, Vec::new(), at_ms, at_ms)]
            }
            &Event::UtteranceStart { start_ms, .. } => {
                self.heard_ms = self.heard_ms.max(start_ms);
                let event = json!({ "type": "SpeechStarted", "channel": [0, 1], "timestamp": seconds(start_ms) });
                if self.wishes.vad_events { vec![event] } else { Vec::new() }
            }
            &Event::UtteranceEnd { start_ms, end_ms, .. } => {
                self.heard_ms = self.heard_ms.max(end_ms);
                self.utterance_end(start_ms, end_ms)
            }
            Event::Flushed => {
                let outcome = Outcome { is_final: true, from_finalize: true, ..Outcome::default() };
                vec![self.results(&outcome, Vec::new(), self.heard_ms, self.heard_ms)]
            }
            Event::Tentative(_) | Event::Transcript(_) | Event::Marked { .. } | Event::Finished => Vec::new(),
        }
    }

    /// The summary. Of audio in a container the duration is only known as far as events have named it.
    fn summary(&self) -> Value {
        let (duration, channels) = match self.encoding {
            Encoding::Pcm16 { rate_hz, channels } => (self.raw_seconds(2, rate_hz, channels), channels),
            Encoding::F32 { rate_hz, channels } => (self.raw_seconds(4, rate_hz, channels), channels),
            Encoding::Container => (seconds(self.heard_ms), 1),
        };
        json!({
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self.request_id(),
            "sha256": format!("{:x}", self.sha256.clone().finalize()),
            "created": date::iso_8601(self.created_at),
            "duration": duration,
            "channels": if self.num_bytes == 0 { 0 } else { channels },
        })
    }

    fn raw_seconds(&self, sample_bytes: u64, rate_hz: u32, channels: u16) -> f64 {
        let samples = self.num_bytes / (sample_bytes * u64::from(channels).max(1));
        samples as f64 / f64::from(rate_hz.max(1))
    }
}

impl Dialect for Deepgram {
    fn open(&mut self, session: &SessionInfo) -> Vec<Message> {
        self.created_at = session.created_at;
        self.metadata = json!({
            "request_id": session.id,
            "model_uuid": session.bundle,
            "model_info": { "name": session.model, "version": session.bundle, "arch": "decalage" },
        });
        Vec::new()
    }

    fn receive(&mut self, message: Message) -> Vec<Action> {
        match message {
            Message::Binary(_) if self.closing => vec![closed()],
            Message::Binary(bytes) => vec![self.audio(bytes)],
            Message::Text(text) => self.text(&text).into_iter().collect(),
        }
    }

    fn emit(&mut self, emission: &Emission) -> Vec<Message> {
        self.show(&emission.event).iter().map(Message::json).collect()
    }

    fn close(&mut self, end: &End) -> Closing {
        let (message, code, reason) = match end {
            End::Finished => (Some(self.summary()), 1000, ""),
            End::Draining => (None, 1001, "draining"),
            End::Failed(failure) => {
                let codes = failure.kind.codes();
                let error = json!({ "type": "Error", "variant": codes.code, "description": failure.message });
                (Some(error), codes.deepgram.0, codes.deepgram.1)
            }
        };
        Closing { messages: message.iter().map(Message::json).collect(), code, reason: reason.to_owned() }
    }

    fn idle_limit(&self) -> Option<Duration> {
        Some(IDLE_LIMIT)
    }
}

fn reply(message: &Value) -> Action {
    Action::Reply(Message::json(message))
}

fn closed() -> Action {
    reply(&json!({ "type": "Error", "variant": "StreamClosed", "description": "nothing can follow CloseStream" }))
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
