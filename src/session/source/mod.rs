//! What a session is given to translate, speech or text, to steps: where utterances begin, what is to be encoded, where
//! they end.
//!
//! Invariant: the steps depend on the whole input alone, not on the pieces that it came in.

pub mod cutter;
mod front;
mod speech;
mod text;
pub mod vad;

use serde::{Deserialize, Serialize};

use super::{
    config::{SessionAssets, SessionConfig, SessionError, SourceAssets},
    translator::{SourceInput, TranslatorSpec},
};
use speech::{SpeechSource, SpeechState};
use text::TextSource;

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Source {
    Speech(Box<SpeechSource>),
    Text(TextSource),
}

/// A source's memory, for snapshots.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum SourceState {
    Speech(Box<SpeechState>),
    Text(TextSource),
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// An utterance.
    Begin { start_ms: u64 },
    /// More of it.
    Segment(SourceInput, Segment),
    /// Its end, unless the last segment said so.
    End,
    /// All that came before a flush is on its way.
    Flushed,
    /// All is on its way; said once.
    Finished,
    /// Nothing yet: ask again.
    Moved,
    /// Nothing before there is more input.
    Wait,
}

/// What must be known of a segment besides its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Encoder steps that it makes,
    pub(super) num_steps: usize,
    /// and source labels.
    pub(super) num_labels: usize,
    pub(super) duration_ms: u64,
    /// Moves the policy's clock.
    pub(super) speech: bool,
    /// The utterance has no more.
    pub(super) last: bool,
    /// Letters that it is known to have, apart from those that the labels spell.
    pub(super) num_letters: usize,
}

impl Source {
    pub(super) fn new(assets: &SessionAssets, config: &SessionConfig) -> Result<Self, SessionError> {
        Ok(match &assets.source {
            SourceAssets::Speech { fbank, cmvn } => {
                Self::Speech(Box::new(SpeechSource::new(fbank, cmvn, &assets.spec, config)?))
            }
            SourceAssets::Text => Self::Text(TextSource::default()),
        })
    }

    pub(super) fn accept_waveform(&mut self, samples: &[f32]) -> Result<(), SessionError> {
        match self {
            Self::Speech(_) if self.is_finished() => Err(SessionError::InputFinished),
            Self::Speech(speech) => {
                speech.accept_waveform(samples);
                Ok(())
            }
            Self::Text(_) => Err(SessionError::OtherInput { given: "samples", allowed: "text" }),
        }
    }

    pub(super) fn accept_text(&mut self, more: &str) -> Result<(), SessionError> {
        match self {
            Self::Text(_) if self.is_finished() => Err(SessionError::InputFinished),
            Self::Text(text) => {
                text.accept_text(more);
                Ok(())
            }
            Self::Speech(_) => Err(SessionError::OtherInput { given: "text", allowed: "samples" }),
        }
    }

    /// No more will come. Saying it twice is harmless.
    pub(super) fn finish(&mut self) {
        match self {
            Self::Speech(speech) => speech.finish(),
            Self::Text(text) => text.finish(),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::Speech(speech) => speech.is_finished(),
            Self::Text(text) => text.is_finished(),
        }
    }

    pub(super) fn flush(&mut self) {
        match self {
            Self::Speech(speech) => speech.flush(),
            Self::Text(text) => text.flush(),
        }
    }

    /// The next step. Asked only when all that came of the one before is done.
    pub(super) fn next(&mut self, assets: &SessionAssets) -> Result<Step, SessionError> {
        match self {
            Self::Speech(speech) => Ok(speech.next(&assets.spec)),
            Self::Text(text) => text.next(assets),
        }
    }

    /// How much was accepted.
    pub(super) fn accepted_ms(&self) -> u64 {
        match self {
            Self::Speech(speech) => speech.accepted_ms(),
            Self::Text(text) => text.accepted_words(),
        }
    }

    /// How much had to be consumed for all that was said so far.
    pub(super) fn consumed_ms(&self) -> u64 {
        match self {
            Self::Speech(speech) => speech.consumed_ms(),
            Self::Text(text) => text.consumed_words(),
        }
    }

    pub(super) fn state(&self) -> SourceState {
        match self {
            Self::Speech(speech) => SourceState::Speech(Box::new(speech.state())),
            Self::Text(text) => SourceState::Text(text.clone()),
        }
    }

    /// Goes on from a state; false, and nothing changes, if it is none that this source can reach.
    pub(super) fn restore(&mut self, state: SourceState, spec: &TranslatorSpec) -> bool {
        match (self, state) {
            (Self::Speech(speech), SourceState::Speech(state)) => speech.restore(*state, spec),
            (Self::Text(text), SourceState::Text(state)) => {
                *text = state;
                true
            }
            _ => false,
        }
    }
}
