//! Wire messages to a stream's commands, and its events to wire messages; one dialect a file.
//!
//! A dialect is told what its connection was opened with, turns each message into [`Action`]s, each [`Emission`] into
//! messages, and says good-bye. It is pure: no socket, no clock, nothing random; what it needs of those is handed in.
//! Invariant: for the same inputs the same messages, which is what the recorded conversations in `proto/fixtures` check.

pub mod deepgram;
pub mod error;
pub mod query;
pub mod realtime;
pub mod simuleval;
pub mod simulstream;

use core::time::Duration;

use serde::Serialize;
use thiserror::Error;

use crate::audio::Encoding;
use crate::session::event::{Command, Emission};

/// A websocket message with content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// UTF-8.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// A text message that holds this as JSON. `value` is plain data with text for keys, which JSON always can hold.
    fn json(value: &impl Serialize) -> Self {
        Self::Text(serde_json::to_string(value).unwrap_or_default())
    }
}

/// What is to be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Speech, so encoded.
    Audio(Encoding),
    /// Text.
    Text,
}

/// What a connection asks for, read from its URL by the dialect's `parse`.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamOptions {
    /// Name of the model; `None` takes the only one.
    pub model: Option<String>,
    /// What the client sends.
    pub source: Source,
    /// Lag of the wait-k policy; `None` takes the server's.
    pub k: Option<usize>,
    /// Language spoken, if the client says it.
    pub source_language: Option<String>,
    /// Language wanted, if the client says it.
    pub target_language: Option<String>,
    /// Guesses are wanted.
    pub tentative: bool,
}

/// What a session is, as its client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Unique.
    pub id: String,
    /// Name of the model.
    pub model: String,
    /// SHA-256 of the bundle's manifest, shortened.
    pub bundle: String,
    /// ISO 639-1.
    pub source_language: String,
    /// ISO 639-1.
    pub target_language: String,
    /// When it was opened, in seconds since 1970.
    pub created_at: u64,
    /// When the server will end it at the latest, in seconds since 1970; far away if never.
    pub expires_at: u64,
}

/// What a client's message amounts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Pass this to the stream.
    Command(Command),
    /// Answer at once.
    Reply(Message),
    /// End the connection.
    Fail(Failure),
}

/// What went wrong, and whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A message that the dialect does not allow.
    InvalidMessage,
    /// The kind of message, text or binary, that the dialect does not take.
    UnsupportedData,
    /// The audio cannot be decoded.
    UndecodableAudio,
    /// A message larger than allowed.
    TooLarge,
    /// The client does not read what it is sent.
    SlowReader,
    /// Nothing came for too long.
    Idle,
    /// The session has lasted as long as it may.
    Expired,
    /// A defect of the server's.
    Internal,
}

/// Why a connection ends before its time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Failure {
    /// Kind, which decides codes.
    pub kind: FailureKind,
    /// Lower-case; names what was wrong and what is allowed.
    pub message: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Everything was said: [`crate::session::event::Event::Finished`] has been emitted.
    Finished,
    /// The server stops.
    Draining,
    /// Something went wrong.
    Failed(Failure),
}

/// The last messages and the close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Sent first.
    pub messages: Vec<Message>,
    /// RFC 6455 §7.4, or 4000 and above.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

/// One wire format.
pub trait Dialect: Send {
    /// The first messages, once the session is there.
    fn open(&mut self, session: &SessionInfo) -> Vec<Message>;

    /// What a message of the client's amounts to, in order. Every message has an answer or a command, but for those that
    /// only keep the connection alive; a bad one is answered with the dialect's error and, where the dialect says so,
    /// ends the connection.
    fn receive(&mut self, message: Message) -> Vec<Action>;

    /// The messages that an event makes; none for what the dialect does not show.
    fn emit(&mut self, emission: &Emission) -> Vec<Message>;

    /// The server stops: what says so, where the client wants to know. It sends no more audio; the rest of the text, and
    /// [`End::Draining`], come within `time_left_ms`.
    fn drain(&mut self, time_left_ms: u64) -> Vec<Message> {
        let _ = time_left_ms;
        Vec::new()
    }

    /// The last messages. After it nothing is called.
    fn close(&mut self, end: &End) -> Closing;

    /// How long the client may send nothing; `None` takes the server's limit.
    fn idle_limit(&self) -> Option<Duration> {
        None
    }
}
