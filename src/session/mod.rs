//! One stream's state machine: samples or text in, translation jobs out, answers in, events out.
//!
//! ```text
//! samples ─ filterbank, CMVN ─▶ frames ─ voice activity ─▶ utterance cutter ─▶ segments ─┬▶ Request::Encode
//! text ─ words, sentences ───────────────────────────────────────────────────────────────┘
//!     Reply::Encoded ─ transcript; policy: READ | WRITE ─▶ Request::Decode ─ Reply::Decoded ─▶ whole words ─▶ Event
//! ```
//!
//! Invariants: no IO, no clock, no tensor; frames are worked off one at a time and every job is answered before the
//! next frame is looked at, so that the events are the same for any chunking of the audio; text is append-only; between
//! requests the session and its state are one value, which [`snapshot`] turns into bytes and back.
//!
//! How to use one: [`Session::accept_waveform`] (or [`Session::accept_text`]), [`drive`], [`Session::poll_event`] until
//! empty, again; in the end [`Session::input_finished`] and the same once more.

mod answer;
mod cascade;
mod config;
mod density;
mod drive;
pub mod event;
mod guess;
pub mod scripted;
pub mod snapshot;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod timeline;
pub mod translator;
mod utterance;

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

pub use config::{SessionAssets, SessionConfig, SessionError, SourceAssets};
pub use drive::{Reply, Request, drive};
pub use source::{cutter, vad};

use crate::{
    policy::{Action, PolicyKind},
    text::{CtcCollapse, Detokenizer, Likeness, Recognizer},
};
use cascade::Reader;
use event::Event;
use guess::Guess;
use source::{Segment, Source, Step};
use timeline::Span;
use translator::{Allowed, DecodeJob, EncodeJob, SearchJob};
use utterance::Utterance;

/// One stream; `S` is the translator's state of an utterance. See the [module](self).
#[derive(Debug)]
pub struct Session<S> {
    assets: Arc<SessionAssets>,
    source: Source,
    core: Core,
    /// The running utterance's state, unless a request has taken it along.
    state: Option<S>,
    in_flight: Option<InFlight<S>>,
    guess: Option<Guess<S>>,
    /// Where the transcript is what is translated.
    reader: Option<Box<Reader<S>>>,
    events: VecDeque<Event>,
    failure: Option<SessionError>,
}

/// All that a session knows besides its source and the translator's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Core {
    config: SessionConfig,
    utterance: Option<Utterance>,
    num_utterances: u64,
    num_committed: u64,
    ctc: CtcCollapse,
    recognizer: Recognizer,
    transcript: Detokenizer,
    translation: Detokenizer,
    /// Of what was heard to the source language.
    likeness: Likeness,
    finished: bool,
}

/// What the answer that is being waited for is about.
#[derive(Debug)]
enum InFlight<S> {
    Encode(Segment),
    /// The state from before the step, if it may be taken back.
    Decode {
        allowed: Allowed,
        before: Option<S>,
    },
    /// The session keeps the state.
    Lookahead,
    Search,
    /// Nothing of it stays.
    Guess,
}

/// What came of looking at the source.
enum Read<S> {
    Request(Request<S>),
    Moved,
    Wait,
}

impl<S: Clone> Session<S> {
    /// A session that has heard nothing.
    ///
    /// # Errors
    /// If a number in `config` is out of range or the assets do not fit together.
    pub fn new(config: SessionConfig, assets: Arc<SessionAssets>) -> Result<Self, SessionError> {
        let reader = Reader::new(&config, &assets)?;
        let config = match reader.is_some() {
            true => SessionConfig { policy: PolicyKind::Transcribe, tentative_tokens: 0, ..config },
            false => config,
        };
        Ok(Self { reader, ..Self::alone(config, assets)? })
    }

    /// A session that hears, or reads, and does nothing else.
    fn alone(config: SessionConfig, assets: Arc<SessionAssets>) -> Result<Self, SessionError> {
        assets.validate(&config)?;
        let core = Core {
            utterance: None,
            num_utterances: 0,
            num_committed: 0,
            ctc: CtcCollapse::new(assets.spec.blank),
            recognizer: Recognizer::new(assets.spec.blank),
            transcript: Detokenizer::default(),
            translation: Detokenizer::default(),
            likeness: Likeness::default(),
            finished: false,
            config,
        };
        let source = Source::new(&assets, &core.config)?;
        Ok(Self {
            assets,
            source,
            core,
            state: None,
            in_flight: None,
            guess: None,
            reader: None,
            events: VecDeque::new(),
            failure: None,
        })
    }

    /// Takes 16 kHz mono samples in [-1, 1]; any number of them, none included. They are kept as frames until the
    /// session is driven, so a long recording comes in pieces of some seconds with [`drive`] between.
    ///
    /// # Errors
    /// [`SessionError::InputFinished`] or [`SessionError::OtherInput`], which change nothing, or the error that ended the
    /// session.
    pub fn accept_waveform(&mut self, samples: &[f32]) -> Result<(), SessionError> {
        self.check()?;
        self.source.accept_waveform(samples)
    }

    /// Takes text, where the translator reads: any number of characters, none included. A word counts when white space
    /// follows it, a sentence ends with its line or its full stop. Text is kept until the session is driven.
    ///
    /// # Errors
    /// As [`Session::accept_waveform`].
    pub fn accept_text(&mut self, text: &str) -> Result<(), SessionError> {
        self.check()?;
        self.source.accept_text(text)
    }

    /// No more input will come; the utterance that is running ends here. Saying it twice is harmless.
    pub fn input_finished(&mut self) {
        self.source.finish();
    }

    /// Ends the running utterance behind the input accepted so far, as a pause would; [`Event::Flushed`] follows. The
    /// last few milliseconds, which fill no frame yet, belong to what comes next. Drive the session before more input.
    ///
    /// # Errors
    /// The error that ended the session.
    pub fn flush(&mut self) -> Result<(), SessionError> {
        self.check()?;
        self.source.flush();
        Ok(())
    }

    /// What the session needs done next; `None` while an answer is awaited, and when it needs more input or is finished.
    ///
    /// # Errors
    /// The error that ended the session.
    pub fn next_request(&mut self) -> Result<Option<Request<S>>, SessionError> {
        self.check()?;
        while self.in_flight.is_none() && !self.reader.as_ref().is_some_and(|reader| reader.is_asked) {
            let relayed = self.relay();
            if let Some(request) = relayed.inspect_err(|error| self.fail(error))? {
                return Ok(Some(request));
            }
            if let Some(request) = self.write() {
                return Ok(Some(request));
            }
            if self.end_utterance() {
                continue;
            }
            if let Some(request) = self.guess() {
                return Ok(Some(request));
            }
            match self.read()? {
                Read::Request(request) => return Ok(Some(request)),
                Read::Moved => {}
                Read::Wait => break,
            }
        }
        Ok(None)
    }

    /// Takes the answer to the last request.
    ///
    /// # Errors
    /// The job's, or that the answer breaks the translator's contract. The session has ended then: the state is lost.
    pub fn answer(&mut self, reply: Reply<S>) -> Result<(), SessionError> {
        self.check()?;
        if let Some(reader) = self.reader.as_mut().filter(|reader| reader.is_asked) {
            reader.is_asked = false;
            let result = reader.session.answer(reply);
            return result.inspect_err(|error| self.fail(error));
        }
        let result = match (self.in_flight.take(), reply) {
            (Some(InFlight::Encode(segment)), Reply::Encoded(encoded)) => self.accept_encoded(encoded, segment),
            (Some(InFlight::Decode { allowed, before }), Reply::Decoded(decoded)) => {
                self.accept_decoded(decoded, allowed, before)
            }
            (Some(InFlight::Guess), Reply::Decoded(decoded)) => self.accept_guessed(decoded),
            (Some(InFlight::Lookahead), Reply::Searched(searched)) => self.accept_lookahead(searched),
            (Some(InFlight::Search), Reply::Searched(searched)) => self.accept_searched(&searched),
            (Some(_), Reply::Failed(error)) => Err(error.into()),
            (Some(_), _) => Err(SessionError::UnexpectedReply("it is not of the request's kind")),
            (None, _) => Err(SessionError::UnexpectedReply("nothing was requested")),
        };
        result.inspect_err(|error| self.fail(error))
    }

    /// The next event, oldest first. Events of before a failure can still be had after it.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Everything has been heard, translated and put into events, the last of which is [`Event::Finished`].
    pub fn is_finished(&self) -> bool {
        self.core.finished && self.reader.as_ref().is_none_or(|reader| reader.is_finished())
    }

    /// Audio accepted so far, in milliseconds; of text, words.
    pub fn accepted_ms(&self) -> u64 {
        self.source.accepted_ms()
    }

    /// Audio that had to be consumed for all that was said so far, in milliseconds: no later word has a smaller
    /// [`event::Committed::source_ms`]. Of text, words.
    pub fn consumed_ms(&self) -> u64 {
        self.source.consumed_ms()
    }

    /// How this session behaves.
    pub fn config(&self) -> &SessionConfig {
        &self.core.config
    }

    fn check(&self) -> Result<(), SessionError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: &SessionError) {
        self.failure = Some(error.clone());
        self.state = None;
    }

    /// The utterance's next step of writing, if the policy allows one.
    fn write(&mut self) -> Option<Request<S>> {
        let Core { utterance, config, .. } = &mut self.core;
        let utterance = utterance.as_mut()?;
        match utterance.next_action(config) {
            Action::Read => None,
            Action::Write => {
                if let Some(max_tokens) = utterance.lookahead(config) {
                    let (state, token) = (self.state.clone()?, utterance.pending());
                    self.in_flight = Some(InFlight::Lookahead);
                    let beam_size = config.word_beam_size;
                    return Some(Request::Search(SearchJob {
                        state,
                        token,
                        beam_size,
                        max_tokens,
                        is_lookahead: true,
                    }));
                }
                let state = self.state.take()?;
                let (token, allowed) = utterance.decode_input(config);
                // Once the source has ended nothing is taken back: what could be read again is the same.
                let before = (!utterance.source_ended).then(|| state.clone());
                self.in_flight = Some(InFlight::Decode { allowed, before });
                Some(Request::Decode(DecodeJob { state, token, allowed }))
            }
            Action::Search { beam_size } => {
                let state = self.state.take()?;
                self.in_flight = Some(InFlight::Search);
                let (token, max_tokens) = (utterance.pending(), utterance.tokens_left(config));
                Some(Request::Search(SearchJob { state, token, beam_size, max_tokens, is_lookahead: false }))
            }
        }
    }

    /// What decides when something is said, by whichever half.
    fn policy(&self) -> PolicyKind {
        let config = self.reader.as_ref().map_or(&self.core.config, |reader| &reader.session.core.config);
        config.policy
    }

    /// Ends the utterance if everything in it is heard and said.
    fn end_utterance(&mut self) -> bool {
        if !self.core.utterance.as_ref().is_some_and(Utterance::is_over) {
            return false;
        }
        let by = self.assets.search(self.policy());
        let words = self.core.recognizer.finish(&by);
        self.transcribe(words);
        self.core.ctc.reset();
        self.state = None;
        let Some(utterance) = self.core.utterance.take() else {
            return false;
        };
        let Span { start_ms, end_ms } = utterance.timeline.encoded();
        self.emit(Event::UtteranceEnd { utterance: utterance.number, start_ms, end_ms });
        true
    }

    /// Takes one step of the source.
    fn read(&mut self) -> Result<Read<S>, SessionError> {
        let step = self.source.next(&self.assets);
        match step.inspect_err(|error| self.fail(error))? {
            Step::Begin { start_ms } => {
                let utterance = self.core.num_utterances;
                self.core.utterance = Some(Utterance::new(utterance, start_ms, self.assets.spec.max_tokens));
                self.core.num_utterances += 1;
                self.emit(Event::UtteranceStart { utterance, start_ms });
            }
            Step::Segment(source, segment) => {
                self.in_flight = Some(InFlight::Encode(segment));
                let reach_steps = self.assets.spec.reach_steps(self.core.config.policy);
                return Ok(Read::Request(Request::Encode(EncodeJob { state: self.state.take(), source, reach_steps })));
            }
            Step::End => {
                if let Some(utterance) = &mut self.core.utterance {
                    utterance.source_ended = true;
                }
            }
            Step::Flushed => self.emit(Event::Flushed),
            Step::Finished => {
                self.core.finished = true;
                self.emit(Event::Finished);
            }
            Step::Moved => {}
            Step::Wait => return Ok(Read::Wait),
        }
        Ok(Read::Moved)
    }
}
