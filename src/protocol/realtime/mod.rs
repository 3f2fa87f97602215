//! The native dialect: OpenAI's Realtime Translation over a websocket, and optional extensions.
//!
//! `proto/README.md` describes it and `proto/realtime.schema.json` holds every message. Invariant: a client that asks for
//! no extension sees nothing but OpenAI's events, though with more fields.

mod client;
mod secret;
mod server;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error},
};

pub use client::{ClientEvent, ClientMessage};
pub use secret::{SecretRequest, SecretResponse};
pub use server::{Delta, ErrorBody, ServerEvent, ServerMessage};
pub use session::{
    Audio, AudioInput, AudioInputUpdate, AudioOutput, AudioOutputUpdate, AudioUpdate, Extension, Microphone,
    NoiseReduction, Session, SessionUpdate, Transcription,
};

use super::{
    Action, Closing, Dialect, End, Failure, FailureKind, Message, SessionInfo, Source, StreamOptions,
    query::{Query, QueryError},
};
use crate::{
    audio::Encoding,
    session::event::{Command, Emission, Event},
};

/// Rate of raw audio unless the URL says another: OpenAI's.
const DEFAULT_RATE_HZ: u32 = 24_000;
/// The step of `elapsed_ms`: OpenAI's engine frame.
const FRAME_MS: u64 = 200;

/// One connection. See the [module](self).
#[derive(Debug)]
pub struct Realtime {
    session: Option<Session>,
    source: Source,
    /// Those asked for in the URL,
    extensions: BTreeSet<Extension>,
    /// and those that can be on.
    available: BTreeSet<Extension>,
    preset: Option<SessionUpdate>,
    closing: bool,
    num_events: u64,
}

impl Realtime {
    /// Reads the parameters of the URL, percent-decoded: `model` (required), `input_format`, `rate`, `channels`, `k` and
    /// `ext`; others are ignored.
    ///
    /// # Errors
    /// If one is missing or has a value that is not allowed, or if there is an `intent`, which asks for another kind of
    /// session.
    pub fn parse(query: &[(String, String)]) -> Result<(Self, StreamOptions), QueryError> {
        let query = Query(query);
        if let Some(intent) = query.get("intent") {
            return Err(QueryError::invalid("intent", intent, "no intent: this endpoint only translates"));
        }
        let model = query.get("model").filter(|model| !model.is_empty());
        let missing = || QueryError::Missing { param: "model", allowed: "the name of a model".into() };
        let model = model.ok_or_else(missing)?.to_owned();
        let source = source(query)?;
        let k = query.number("k", |k| *k > 0, "1 and more")?;
        let extensions = extensions(query, source)?;
        let tentative = extensions.contains(&Extension::Tentative);
        let available = available(matches!(source, Source::Text), tentative);
        let options =
            StreamOptions { model: Some(model), source, k, source_language: None, target_language: None, tentative };
        let session = None;
        Ok((Self { session, source, extensions, available, preset: None, closing: false, num_events: 0 }, options))
    }

    /// Lets the session begin as an update would make it: the settings that an ephemeral key was given for.
    pub fn preset(&mut self, update: SessionUpdate) {
        self.preset = Some(update);
    }

    fn message(&mut self, event: ServerEvent) -> Message {
        self.num_events += 1;
        Message::json(&ServerMessage { event_id: format!("event_{}", self.num_events), event })
    }

    fn act(&mut self, event: ClientEvent) -> Result<Action, ErrorBody> {
        if self.closing {
            let message = "nothing can follow session.close";
            return Err(ErrorBody::invalid("session_closing", None, message));
        }
        match event {
            ClientEvent::Append { audio } => {
                let Source::Audio(encoding) = self.source else {
                    let message = "this session has text; send session.input_text.append";
                    return Err(ErrorBody::invalid("invalid_event", Some("type"), message));
                };
                check_whole_samples(&audio, encoding)?;
                Ok(Action::Command(Command::Audio(audio)))
            }
            ClientEvent::AppendText { text } if self.source == Source::Text => Ok(Action::Command(Command::Text(text))),
            ClientEvent::AppendText { .. } => {
                let message = "this session has audio; open one with input_format=text";
                Err(ErrorBody::invalid("invalid_event", Some("type"), message))
            }
            ClientEvent::Update { session: update } => {
                let unopened = || ErrorBody::invalid("invalid_event", None, "the session is not open yet");
                let session = self.session.as_mut().ok_or_else(unopened)?;
                session.update(update, &self.available)?;
                let session = session.clone();
                Ok(Action::Reply(self.message(ServerEvent::Updated { session })))
            }
            ClientEvent::Mark { mark } => Ok(Action::Command(Command::Mark(mark))),
            ClientEvent::Close => {
                self.closing = true;
                Ok(Action::Command(Command::Finish))
            }
        }
    }

    fn show(&self, emission: &Emission) -> Vec<ServerEvent> {
        let Some(session) = &self.session else {
            return Vec::new();
        };
        let on = |extension| session.extensions.contains(&extension);
        match &emission.event {
            Event::Committed(word) => {
                let (seq, source_ms, lag_ms) = (word.seq, word.source_ms, emission.lag_ms);
                let delta = match self.source {
                    Source::Audio(_) => delta(&word.text, source_ms, word.start_ms, word.end_ms, emission.emitted_ms),
                    // Its words are counted, it has no time.
                    Source::Text => Delta {
                        delta: word.text.clone(),
                        src_start_word: Some(word.start_ms),
                        src_end_word: Some(word.end_ms),
                        emitted_ms: Some(emission.emitted_ms),
                        ..Delta::default()
                    },
                };
                let delta = Delta { seq: Some(seq), ..delta };
                let metrics = on(Extension::Lag).then_some(ServerEvent::Metrics { seq, source_ms, lag_ms });
                [ServerEvent::OutputTranscript(delta)].into_iter().chain(metrics).collect()
            }
            Event::Transcript(heard) if session.audio.input.transcription.is_some() => {
                let delta = delta(&heard.text, heard.end_ms, heard.start_ms, heard.end_ms, emission.emitted_ms);
                vec![ServerEvent::InputTranscript(delta)]
            }
            &Event::UtteranceStart { utterance, start_ms } if on(Extension::Vad) => {
                vec![ServerEvent::SpeechStarted { utterance, start_ms }]
            }
            &Event::UtteranceEnd { utterance, start_ms, end_ms } if on(Extension::Vad) => {
                vec![ServerEvent::SpeechStopped { utterance, start_ms, end_ms }]
            }
            Event::Tentative(guess) if on(Extension::Tentative) => {
                vec![ServerEvent::Tentative { utterance: guess.utterance, text: guess.text.clone() }]
            }
            // Comes only to those who asked.
            &Event::Marked { mark } => vec![ServerEvent::Marked { mark }],
            _ => Vec::new(),
        }
    }
}

impl Dialect for Realtime {
    fn open(&mut self, info: &SessionInfo) -> Vec<Message> {
        let mut session = Session::new(info);
        session.extensions = self.extensions.clone();
        let refused = self.preset.take().and_then(|update| session.update(update, &self.available).err());
        self.session = Some(session.clone());
        let events = [ServerEvent::Created { session }].into_iter();
        events.chain(refused.map(|error| ServerEvent::Error { error })).map(|event| self.message(event)).collect()
    }

    fn receive(&mut self, message: Message) -> Vec<Action> {
        let read = match message {
            Message::Binary(_) if self.source == Source::Text => {
                let message = "a binary message is audio, and this session has text";
                return vec![Action::Fail(Failure::new(FailureKind::UnsupportedData, message))];
            }
            // Any split of the bytes will do, so that their number means nothing.
            Message::Binary(bytes) if !self.closing => return vec![Action::Command(Command::Audio(bytes))],
            Message::Binary(audio) => Ok(ClientMessage { event_id: None, event: ClientEvent::Append { audio } }),
            Message::Text(text) => ClientMessage::parse(&text),
        };
        let action = read.and_then(|ClientMessage { event_id, event }| {
            self.act(event).map_err(|error| ErrorBody { event_id, ..error })
        });
        vec![action.unwrap_or_else(|error| Action::Reply(self.message(ServerEvent::Error { error })))]
    }

    fn emit(&mut self, emission: &Emission) -> Vec<Message> {
        self.show(emission).into_iter().map(|event| self.message(event)).collect()
    }

    fn drain(&mut self, time_left_ms: u64) -> Vec<Message> {
        let wants_notice = |session: &Session| session.extensions.contains(&Extension::GoAway);
        match self.session.as_ref().is_some_and(wants_notice) {
            true => vec![self.message(ServerEvent::GoAway { time_left_ms })],
            false => Vec::new(),
        }
    }

    fn close(&mut self, end: &End) -> Closing {
        let (event, code, reason) = match end {
            End::Finished => (Some(ServerEvent::Closed), 1000, ""),
            End::Draining => (None, 1001, "draining"),
            End::Failed(failure) => {
                let codes = failure.kind.codes();
                (Some(ServerEvent::Error { error: failure.into() }), codes.close, codes.code)
            }
        };
        let messages = event.map(|event| self.message(event)).into_iter().collect();
        Closing { messages, code, reason: reason.to_owned() }
    }
}

fn source(query: Query<'_>) -> Result<Source, QueryError> {
    let raw = || Ok((query.rate_hz("rate")?.unwrap_or(DEFAULT_RATE_HZ), query.channels()?));
    match query.get("input_format").unwrap_or("pcm16") {
        "pcm16" => raw().map(|(rate_hz, channels)| Source::Audio(Encoding::Pcm16 { rate_hz, channels })),
        "f32" => raw().map(|(rate_hz, channels)| Source::Audio(Encoding::F32 { rate_hz, channels })),
        format @ ("opus" | "webm" | "ogg" | "text") => {
            let raw_only = ["rate", "channels"].into_iter().find_map(|param| Some((param, query.get(param)?)));
            match raw_only {
                None if format == "text" => Ok(Source::Text),
                None => Ok(Source::Audio(Encoding::Container)),
                Some((param, value)) => Err(QueryError::invalid(param, value, "nothing: only raw samples need it")),
            }
        }
        other => Err(QueryError::invalid("input_format", other, "pcm16, f32, opus, webm, ogg or text")),
    }
}

/// The extensions that a session can have, of text and of audio. Whether there will be guesses, a URL says.
fn available(text: bool, tentative: bool) -> BTreeSet<Extension> {
    let mut all = BTreeSet::from([Extension::GoAway]);
    if !text {
        all.extend([Extension::Lag, Extension::Vad]);
    }
    if tentative {
        all.insert(Extension::Tentative);
    }
    all
}

/// A list of names with commas between; an empty one is none.
fn extensions(query: Query<'_>, source: Source) -> Result<BTreeSet<Extension>, QueryError> {
    let names = query.get("ext").unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let known = |name| {
        let extension: Result<Extension, Error> = Extension::deserialize(IntoDeserializer::into_deserializer(name));
        let allowed = match source {
            Source::Audio(_) => "lag, vad, tentative or go_away",
            Source::Text => "tentative or go_away, with input_format=text",
        };
        let known = available(matches!(source, Source::Text), true);
        let extension = extension.ok().filter(|extension| known.contains(extension));
        extension.ok_or_else(|| QueryError::invalid("ext", name, allowed))
    };
    names.map(known).collect()
}

/// A message with raw audio holds whole samples of all channels.
fn check_whole_samples(audio: &[u8], encoding: Encoding) -> Result<(), ErrorBody> {
    let sample_bytes = match encoding {
        Encoding::Pcm16 { channels, .. } => 2 * usize::from(channels),
        Encoding::F32 { channels, .. } => 4 * usize::from(channels),
        Encoding::Container => 1,
    };
    if audio.len().is_multiple_of(sample_bytes) {
        return Ok(());
    }
    let message = format!("audio holds {} bytes; allowed is a multiple of {sample_bytes}", audio.len());
    Err(ErrorBody::invalid("invalid_value", Some("audio"), message))
}

fn delta(text: &str, heard_ms: u64, start_ms: u64, end_ms: u64, emitted_ms: u64) -> Delta {
    Delta {
        delta: text.to_owned(),
        elapsed_ms: Some(heard_ms.div_ceil(FRAME_MS).saturating_mul(FRAME_MS)),
        seq: None,
        src_start_ms: Some(start_ms),
        src_end_ms: Some(end_ms),
        emitted_ms: Some(emitted_ms),
        ..Delta::default()
    }
}
