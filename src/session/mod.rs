//! One stream's state machine: samples in, translation jobs out, answers in, events out.
//!
//! ```text
//! samples ─ filterbank, CMVN ─▶ frames ─ voice activity ─▶ utterance cutter ─▶ segments ─▶ Request::Encode
//!     Reply::Encoded ─ transcript; policy: READ | WRITE ─▶ Request::Decode ─ Reply::Decoded ─▶ whole words ─▶ Event
//! ```
//!
//! Invariants: no IO, no clock, no tensor; frames are worked off one at a time and every job is answered before the
//! next frame is looked at, so that the events are the same for any chunking of the audio; text is append-only; between
//! requests the session and its state are one value, which [`snapshot`] turns into bytes and back.
//!
//! How to use one: [`Session::accept_waveform`], [`drive`], [`Session::poll_event`] until empty, again; in the end
//! [`Session::input_finished`] and the same once more.

mod answer;
mod config;
pub mod cutter;
mod drive;
pub mod event;
mod front;
mod guess;
pub mod scripted;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod timeline;
pub mod translator;
mod utterance;
pub mod vad;

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

pub use config::{SessionAssets, SessionConfig, SessionError};
pub use drive::{Reply, Request, drive};

use crate::{
    policy::Action,
    text::{CtcCollapse, Detokenizer},
};
use cutter::{Cut, UtteranceCutter};
use event::Event;
use front::FrontEnd;
use guess::Guess;
use timeline::Span;
use translator::{Allowed, DecodeJob, EncodeJob, SearchJob};
use utterance::Utterance;

/// One stream; `S` is the translator's state of an utterance. See the [module](self).
#[derive(Debug)]
pub struct Session<S> {
    assets: Arc<SessionAssets>,
    front: FrontEnd,
    core: Core,
    /// The running utterance's state, unless a request has taken it along.
    state: Option<S>,
    in_flight: Option<InFlight<S>>,
    guess: Option<Guess<S>>,
    events: VecDeque<Event>,
    failure: Option<SessionError>,
}

/// All that a session knows besides samples, frames and the translator's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Core {
    config: SessionConfig,
    cutter: UtteranceCutter,
    /// Decisions of the cutter that have not been carried out.
    cuts: VecDeque<Cut>,
    utterance: Option<Utterance>,
    num_utterances: u64,
    num_committed: u64,
    ctc: CtcCollapse,
    transcript: Detokenizer,
    translation: Detokenizer,
    /// The cutter has heard the last frame.
    cutter_finished: bool,
    finished: bool,
    flush: Flush,
    /// Frames of the segment that is being filled,
    segment: Vec<f32>,
    /// and how many of them are speech.
    segment_speech_frames: usize,
}

/// What the answer that is being waited for is about.
#[derive(Debug)]
enum InFlight<S> {
    Encode {
        num_frames: usize,
        speech: bool,
        last: bool,
    },
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

/// How far a flush has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Flush {
    No,
    /// Ends the utterance as soon as all frames are judged.
    Asked,
    /// The utterance is ending.
    Ending,
}

/// What came of looking at the input.
enum Input<S> {
    Request(Request<S>),
    Moved,
    Nothing,
}

impl<S: Clone> Session<S> {
    /// A session that has heard nothing.
    ///
    /// # Errors
    /// If a number in `config` is out of range or the assets do not fit together.
    pub fn new(config: SessionConfig, assets: Arc<SessionAssets>) -> Result<Self, SessionError> {
        assets.validate(&config)?;
        let spec = &assets.spec;
        let max_frames = spec.max_utterance_segments * spec.frames_per_segment();
        let core = Core {
            cutter: UtteranceCutter::new(&config.utterances, spec.frame_shift_ms, max_frames),
            cuts: VecDeque::new(),
            segment: Vec::new(),
            segment_speech_frames: 0,
            utterance: None,
            num_utterances: 0,
            num_committed: 0,
            ctc: CtcCollapse::new(spec.blank),
            transcript: Detokenizer::default(),
            translation: Detokenizer::default(),
            cutter_finished: false,
            finished: false,
            flush: Flush::No,
            config,
        };
        let front = FrontEnd::new(&assets, core.config.vad_threshold)?;
        Ok(Self {
            assets,
            front,
            core,
            state: None,
            in_flight: None,
            guess: None,
            events: VecDeque::new(),
            failure: None,
        })
    }

    /// Takes 16 kHz mono samples in [-1, 1]; any number of them, none included. They are kept as frames until the
    /// session is driven, so a long recording comes in pieces of some seconds with [`drive`] between.
    ///
    /// # Errors
    /// [`SessionError::InputFinished`], which changes nothing, or the error that ended the session.
    pub fn accept_waveform(&mut self, samples: &[f32]) -> Result<(), SessionError> {
        self.check()?;
        if self.front.is_finished() {
            return Err(SessionError::InputFinished);
        }
        self.front.accept_waveform(samples);
        Ok(())
    }

    /// No more samples will come; the utterance that is running ends here. Saying it twice is harmless.
    pub fn input_finished(&mut self) {
        if !self.front.is_finished() {
            self.front.finish();
        }
    }

    /// Ends the running utterance behind the samples accepted so far, as a pause would; [`Event::Flushed`] follows. The
    /// last few milliseconds, which fill no frame yet, belong to what comes next. Drive the session before more samples.
    ///
    /// # Errors
    /// The error that ended the session.
    pub fn flush(&mut self) -> Result<(), SessionError> {
        self.check()?;
        self.core.flush = Flush::Asked;
        Ok(())
    }

    /// What the session needs done next; `None` while an answer is awaited, and when it needs more input or is finished.
    ///
    /// # Errors
    /// The error that ended the session.
    pub fn next_request(&mut self) -> Result<Option<Request<S>>, SessionError> {
        self.check()?;
        while self.in_flight.is_none() {
            if let Some(request) = self.write() {
                return Ok(Some(request));
            }
            if self.end_utterance() {
                continue;
            }
            if let Some(request) = self.guess() {
                return Ok(Some(request));
            }
            match self.read() {
                Input::Request(request) => return Ok(Some(request)),
                Input::Moved => {}
                Input::Nothing => break,
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
        let result = match (self.in_flight.take(), reply) {
            (Some(InFlight::Encode { num_frames, speech, last }), Reply::Encoded(encoded)) => {
                self.accept_encoded(encoded, num_frames, speech, last)
            }
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
        if let Err(error) = &result {
            self.failure = Some(error.clone());
            self.state = None;
        }
        result
    }

    /// The next event, oldest first. Events of before a failure can still be had after it.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Everything has been heard, translated and put into events, the last of which is [`Event::Finished`].
    pub fn is_finished(&self) -> bool {
        self.core.finished
    }

    /// Audio accepted so far, in milliseconds.
    pub fn accepted_ms(&self) -> u64 {
        self.front.accepted_ms()
    }

    /// Audio that had to be consumed for all that was said so far, in milliseconds: no later word has a smaller
    /// [`event::Committed::source_ms`].
    pub fn consumed_ms(&self) -> u64 {
        self.front.consumed_ms()
    }

    /// How this session behaves.
    pub fn config(&self) -> &SessionConfig {
        &self.core.config
    }

    fn check(&self) -> Result<(), SessionError> {
        self.failure.clone().map_or(Ok(()), Err)
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

    /// Ends the utterance if everything in it is heard and said.
    fn end_utterance(&mut self) -> bool {
        let Some(utterance) = self.core.utterance.take_if(|utterance| utterance.is_over()) else {
            return false;
        };
        self.state = None;
        let text = self.core.transcript.finish().unwrap_or_default();
        self.push_transcript(utterance.number, text, utterance.timeline.last_segment());
        self.core.ctc.reset();
        let Span { start_ms, end_ms } = utterance.timeline.encoded();
        self.events.push_back(Event::UtteranceEnd { utterance: utterance.number, start_ms, end_ms });
        true
    }

    /// Carries out one decision of the cutter, or has it take one.
    fn read(&mut self) -> Input<S> {
        match self.core.cuts.pop_front() {
            Some(cut) => self.cut(cut),
            None => {
                if let Some(speech) = self.front.next_flag() {
                    self.core.cuts.extend(self.core.cutter.push(speech));
                } else if self.core.flush == Flush::Asked {
                    self.core.flush = Flush::Ending;
                    self.core.cuts.extend(self.core.cutter.finish());
                } else if self.core.flush == Flush::Ending {
                    self.core.flush = Flush::No;
                    self.events.push_back(Event::Flushed);
                } else if self.front.is_finished() && !self.core.cutter_finished {
                    self.core.cutter_finished = true;
                    self.core.cuts.extend(self.core.cutter.finish());
                } else if self.core.cutter_finished && !self.core.finished {
                    self.core.finished = true;
                    self.events.push_back(Event::Finished);
                } else {
                    return Input::Nothing;
                }
                Input::Moved
            }
        }
    }

    fn cut(&mut self, cut: Cut) -> Input<S> {
        match cut {
            Cut::Skip(num_frames) => {
                self.front.skip(num_frames);
            }
            Cut::Begin => {
                let start_ms = self.front.first_frame() * u64::from(self.assets.spec.frame_shift_ms);
                let utterance = self.core.num_utterances;
                self.core.utterance = Some(Utterance::new(utterance, start_ms, self.assets.spec.max_tokens));
                self.core.num_utterances += 1;
                self.events.push_back(Event::UtteranceStart { utterance, start_ms });
            }
            Cut::Take(num_frames) => {
                let spec = &self.assets.spec;
                let room = spec.frames_per_segment() - self.core.segment.len() / spec.num_mel_bins;
                let taken = num_frames.min(room);
                self.core.segment_speech_frames += self.front.take(taken, &mut self.core.segment);
                if taken < num_frames {
                    self.core.cuts.push_front(Cut::Take(num_frames - taken));
                }
                if taken == room {
                    let last = self.core.cuts.front() == Some(&Cut::End);
                    if last {
                        self.core.cuts.pop_front();
                    }
                    return Input::Request(self.encode(last));
                }
            }
            Cut::End if !self.core.segment.is_empty() => return Input::Request(self.encode(true)),
            Cut::End => {
                if let Some(utterance) = &mut self.core.utterance {
                    utterance.source_ended = true;
                }
            }
        }
        Input::Moved
    }

    /// The segment as a job; `last` says that the utterance has no more.
    fn encode(&mut self, last: bool) -> Request<S> {
        let frames = std::mem::take(&mut self.core.segment);
        let speech_frames = std::mem::take(&mut self.core.segment_speech_frames);
        let num_frames = frames.len() / self.assets.spec.num_mel_bins;
        // A click is no speech here either.
        let speech = speech_frames >= self.core.cutter.min_speech_frames();
        self.in_flight = Some(InFlight::Encode { num_frames, speech, last });
        Request::Encode(EncodeJob { state: self.state.take(), frames })
    }
}
