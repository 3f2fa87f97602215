//! When to read and when to write: counts of source and target in, an [`Action`] out.
//!
//! Invariant: a decision depends on [`Progress`] alone, and more source never turns a permission to write into a
//! refusal; so the same audio gives the same actions however it arrived.

mod repetition;
mod wait_k;

pub use repetition::RepetitionGuard;
pub use wait_k::{may_write, source_segment};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Widest beam that a session may ask for,
pub const MAX_BEAM_SIZE: usize = 32;
/// and what it gets where it does not ask.
pub const DEFAULT_BEAM_SIZE: usize = 5;
/// Greatest lag that a session may ask for: longer than any utterance.
pub const MAX_K: usize = 1000;

/// How a session trades latency for quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Target word `w` may be written once the utterance has `k + w - 1` segments of speech (see [`may_write`]).
    WaitK {
        /// The lag, in segments; 1 to [`MAX_K`].
        k: usize,
    },
    /// Nothing is written before the utterance has ended; then its best translation is searched.
    Offline {
        /// Hypotheses kept; 1 is greedy.
        beam_size: usize,
    },
    /// Nothing is written: what is wanted is the transcript.
    Transcribe,
}

/// How far an utterance has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Encoded segments that contain speech: the policy's clock, which pauses do not move.
    pub speech_segments: usize,
    /// Target words decided.
    pub words: usize,
    /// No more source will come.
    pub source_ended: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Wait for more source.
    Read,
    /// Decide the next target word.
    Write,
    /// Decide all words at once.
    Search {
        /// Hypotheses to keep.
        beam_size: usize,
    },
}

/// A policy that cannot be followed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum PolicyError {
    /// A lag of 0 would write before anything was read.
    #[error("k is {0}, allowed is 1 to {MAX_K}")]
    Lag(usize),
    /// No hypothesis, or more than the backend should be asked to hold.
    #[error("beam_size is {0}, allowed is 1 to {MAX_BEAM_SIZE}")]
    BeamSize(usize),
}

impl PolicyKind {
    /// Checks the policy's numbers.
    ///
    /// # Errors
    /// If `k` is 0 or above [`MAX_K`], or the beam is empty or wider than [`MAX_BEAM_SIZE`].
    pub fn validate(self) -> Result<(), PolicyError> {
        match self {
            Self::WaitK { k } if !(1..=MAX_K).contains(&k) => Err(PolicyError::Lag(k)),
            Self::Offline { beam_size } if !(1..=MAX_BEAM_SIZE).contains(&beam_size) => {
                Err(PolicyError::BeamSize(beam_size))
            }
            Self::WaitK { .. } | Self::Offline { .. } | Self::Transcribe => Ok(()),
        }
    }

    /// The next action of an utterance whose translation is not complete yet. Never [`Action::Read`] once the source
    /// has ended, so that every utterance ends, unless nothing is to be written.
    pub fn action(self, progress: Progress) -> Action {
        match self {
            Self::WaitK { k } if may_write(k, progress) => Action::Write,
            Self::Offline { beam_size } if progress.source_ended => Action::Search { beam_size },
            Self::WaitK { .. } | Self::Offline { .. } | Self::Transcribe => Action::Read,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policies() -> impl Strategy<Value = PolicyKind> {
        prop_oneof![
            (1_usize..20).prop_map(|k| PolicyKind::WaitK { k }),
            (1_usize..=MAX_BEAM_SIZE).prop_map(|beam_size| PolicyKind::Offline { beam_size }),
        ]
    }

    proptest! {
        #[test]
        fn every_policy_reads_first_and_writes_in_the_end(policy in policies(), words in 0_usize..200) {
            prop_assert!(policy.validate().is_ok());
            prop_assert_eq!(policy.action(Progress::default()), Action::Read);
            let ended = Progress { speech_segments: 0, words, source_ended: true };
            prop_assert_ne!(policy.action(ended), Action::Read);
        }

        #[test]
        fn more_source_never_forbids(policy in policies(), speech_segments in 0_usize..200, words in 0_usize..200) {
            let now = Progress { speech_segments, words, source_ended: false };
            let later = Progress { speech_segments: speech_segments + 1, ..now };
            prop_assert!(policy.action(now) == Action::Read || policy.action(later) == policy.action(now));
        }
    }

    #[test]
    fn refuses_numbers_without_meaning() {
        for k in [0, MAX_K + 1] {
            assert_eq!(PolicyKind::WaitK { k }.validate(), Err(PolicyError::Lag(k)));
        }
        for beam_size in [0, MAX_BEAM_SIZE + 1] {
            assert_eq!(PolicyKind::Offline { beam_size }.validate(), Err(PolicyError::BeamSize(beam_size)));
        }
    }
}
