//! The server's events of the native dialect as typed messages, for both sides. Invariant: a client reads any object with
//! a `type`, so that events of a later server do not break it.

use serde::{Deserialize, Serialize};

use super::session::Session;
use crate::protocol::{Failure, FailureKind};

/// An event on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerMessage {
    /// Unique within the connection: `event_1`, `event_2`, and so on.
    pub event_id: String,
    /// What happened.
    #[serde(flatten)]
    pub event: ServerEvent,
}

/// Something that the server says. Times without a note are milliseconds of audio since the session's first sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ServerEvent {
    /// Always the first event.
    #[serde(rename = "session.created")]
    Created {
        /// What was opened.
        session: Session,
    },
    /// Answers `session.update`.
    #[serde(rename = "session.updated")]
    Updated {
        /// All that holds from now on.
        session: Session,
    },
    /// Source text; only where `audio.input.transcription` is set.
    #[serde(rename = "session.input_transcript.delta")]
    InputTranscript(Delta),
    /// Translated text.
    #[serde(rename = "session.output_transcript.delta")]
    OutputTranscript(Delta),
    /// Answers `session.mark`, after all text of the audio before it that has been decided.
    #[serde(rename = "session.marked")]
    Marked {
        /// The client's number.
        mark: u64,
    },
    /// Answers `session.close`, after everything else and before the close frame.
    #[serde(rename = "session.closed")]
    Closed,
    /// Something was wrong. The session goes on unless a close frame follows.
    #[serde(rename = "error")]
    Error {
        /// What was wrong.
        error: ErrorBody,
    },
    /// Extension `lag`: follows each delta of the translation.
    #[serde(rename = "session.metrics")]
    Metrics {
        /// The delta's number.
        seq: u64,
        /// How much audio had been heard when its word was decided.
        source_ms: u64,
        /// From the arrival of the audio that decided the word until the word left, by the server's clock.
        lag_ms: u64,
    },
    /// Extension `vad`: an utterance begins.
    #[serde(rename = "session.speech_started")]
    SpeechStarted {
        /// Utterance number, from 0.
        utterance: u64,
        /// Where it begins.
        start_ms: u64,
    },
    /// Extension `vad`: an utterance is over, and all of it has been translated.
    #[serde(rename = "session.speech_stopped")]
    SpeechStopped {
        /// Utterance number, from 0.
        utterance: u64,
        /// Where it began.
        start_ms: u64,
        /// Where it ended.
        end_ms: u64,
    },
    /// Extension `tentative`: how the translation may go on. Takes the place of the guess before it and is void as soon as
    /// a delta comes; never a part of the translation.
    #[serde(rename = "session.tentative.delta")]
    Tentative {
        /// Utterance number, from 0.
        utterance: u64,
        /// May end within a word.
        text: String,
    },
    /// Extension `go_away`: the server stops. It takes no more audio, sends the rest of the text and closes the connection;
    /// a new one will be served.
    #[serde(rename = "session.go_away")]
    GoAway {
        /// How long the connection still lasts at most.
        time_left_ms: u64,
    },
    /// An event that this version does not know. Never sent.
    #[serde(other)]
    Unknown,
}

/// Text that goes behind all text before it, white space included. What OpenAI does not say is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The text.
    pub delta: String,
    /// How much audio had been heard, in whole steps of 200 ms; not unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// Number of the word in the translation, from 0 and without gaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Beginning of the speech that the text renders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_start_ms: Option<u64>,
    /// End of that speech.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_end_ms: Option<u64>,
    /// First word of the text that this text renders, from 0 since the session was opened; where text is translated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_start_word: Option<u64>,
    /// The word behind the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_end_word: Option<u64>,
    /// When the text left the session, in milliseconds since the session was opened, by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emitted_ms: Option<u64>,
}

/// What was wrong. Errors of HTTP endpoints have the same shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// `invalid_request_error` or `server_error`.
    #[serde(rename = "type")]
    pub error_type: String,
    /// For programs; `proto/README.md` lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For people.
    pub message: String,
    /// Path of the field that was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// `event_id` of the client's event that was wrong, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
}

impl ErrorBody {
    /// The client's fault.
    pub(super) fn invalid(code: &str, param: Option<&str>, message: impl Into<String>) -> Self {
        let error_type = FailureKind::InvalidMessage.codes().error_type.to_owned();
        let (code, param) = (Some(code.to_owned()), param.map(str::to_owned));
        Self { error_type, code, message: message.into(), param, event_id: None }
    }
}

impl From<&Failure> for ErrorBody {
    fn from(failure: &Failure) -> Self {
        let codes = failure.kind.codes();
        Self {
            error_type: codes.error_type.to_owned(),
            code: Some(codes.code.to_owned()),
            message: failure.message.clone(),
            param: None,
            event_id: None,
        }
    }
}
