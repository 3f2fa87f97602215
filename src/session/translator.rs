//! The seam between a session and whatever translates: jobs that carry a state in, replies that carry the next one out.
//!
//! No tensor type appears here, so sessions, policies and servers build and are tested without libtorch;
//! [`crate::session::scripted`] stands behind this trait in tests, `crate::engine::torch` in the product.
//! Invariant: a translator is read-only; everything that a stream has said so far lives in its `State`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::policy::PolicyKind;

/// What a session must know of its translator in order to cut audio into jobs. Comes from the bundle. Where text is read, a
/// piece is an encoder step and a segment, and what is said of frames has no meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslatorSpec {
    /// Filterbank bins in a frame.
    pub num_mel_bins: usize,
    /// Time between two frames, in milliseconds (10).
    pub frame_shift_ms: u32,
    /// Frames that become one encoder step (the subsampling factor, 4).
    pub frames_per_step: usize,
    /// Encoder steps in one segment: the policy's pre-decision unit (8, which is 320 ms).
    pub steps_per_segment: usize,
    /// Longest utterance, in segments; a session rolls over to a new utterance before it.
    pub max_utterance_segments: usize,
    /// Longest translation of an utterance, in tokens, whatever [`super::SessionConfig`] allows.
    pub max_tokens: usize,
    /// Under wait-k a word sees the last `k` and so many more segments; without a number all of them.
    pub reach_segments: Option<usize>,
    /// Source vocabulary's blank label, a column of [`Encoded::log_probs`].
    pub blank: u32,
}

impl TranslatorSpec {
    /// Frames in a full segment.
    pub fn frames_per_segment(&self) -> usize {
        self.frames_per_step * self.steps_per_segment
    }

    /// Encoder steps, the last ones, that a word sees; `None` for all of them. Where nothing is translated one segment is kept.
    pub fn reach_steps(&self, policy: PolicyKind) -> Option<usize> {
        match policy {
            PolicyKind::WaitK { k } => self.reach_segments.map(|reach| (k + reach) * self.steps_per_segment),
            PolicyKind::Offline { .. } => None,
            PolicyKind::Transcribe => Some(self.steps_per_segment),
        }
    }

    /// Time that an encoder step stands for, in milliseconds (40).
    pub fn step_ms(&self) -> u64 {
        self.frames_per_step as u64 * u64::from(self.frame_shift_ms)
    }

    /// Duration of a full segment, in milliseconds.
    pub fn segment_ms(&self) -> u32 {
        self.frames_per_segment() as u32 * self.frame_shift_ms
    }
}

/// One segment of an utterance on its way to the encoder.
#[derive(Debug, Clone)]
pub struct EncodeJob<S> {
    /// The utterance's state; `None` begins an utterance. So a session that hears silence holds no state at all, and
    /// needs no translator at hand to make one.
    pub state: Option<S>,
    /// The segment.
    pub source: SourceInput,
    /// Encoder steps, the last ones, that later jobs may look back on; `None` for all of them.
    pub reach_steps: Option<usize>,
}

/// What an encoder is given.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceInput {
    /// Normalised filterbank frames, row-major `(num_frames, num_mel_bins)`. Exactly a full segment, except for
    /// the last segment of an utterance, which has 1 to `frames_per_segment` frames.
    Frames(Vec<f32>),
    /// Pieces of text, 1 or more: a word.
    Pieces(Vec<u32>),
}

impl SourceInput {
    /// The frames' values; none of text.
    pub fn frames(&self) -> &[f32] {
        match self {
            Self::Frames(frames) => frames,
            Self::Pieces(_) => &[],
        }
    }

    /// The pieces; none of speech.
    pub fn pieces(&self) -> &[u32] {
        match self {
            Self::Frames(_) => &[],
            Self::Pieces(pieces) => pieces,
        }
    }
}

/// The encoder's answer: the state has grown by the segment's steps, which are final.
#[derive(Debug, Clone)]
pub struct Encoded<S> {
    /// The next state.
    pub state: S,
    /// What the connectionist temporal classification (CTC) head says of each label: natural log-probabilities, row-major
    /// `(ceil(num_frames / frames_per_step), source labels)`. Text has none.
    pub log_probs: Vec<f32>,
}

/// Which tokens may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// The end of the sentence may be chosen.
    pub eos: bool,
    /// Pieces that begin a new word may be chosen.
    pub word_start: bool,
    /// Pieces that continue the current word may be chosen.
    pub continuation: bool,
}

impl Allowed {
    /// Every token.
    pub const ALL: Self = Self { eos: true, word_start: true, continuation: true };
}

/// One decoder step: feed `token`, ask for the next one.
#[derive(Debug, Clone)]
pub struct DecodeJob<S> {
    /// The utterance's state. A caller that may want to take the step back keeps a clone.
    pub state: S,
    /// The token to feed; `None` begins the sentence.
    pub token: Option<u32>,
    /// Restricts the choice; at least one class must be allowed.
    pub allowed: Allowed,
}

/// The decoder's answer.
#[derive(Debug, Clone)]
pub struct Decoded<S> {
    /// The state after the fed token (the chosen one is not fed yet).
    pub state: S,
    /// The most probable allowed token; `None` is the end of the sentence. Never a special token: those have no text
    /// and belong to no class.
    pub token: Option<u32>,
    /// Its natural log-probability among all tokens.
    pub log_prob: f32,
}

/// A beam search over everything that has been encoded: for the rest of the translation once the source has ended, or for
/// the next tokens while it goes on.
#[derive(Debug, Clone)]
pub struct SearchJob<S> {
    /// The utterance's state.
    pub state: S,
    /// The token to feed first; `None` begins the sentence. A new word, or the end, must follow it.
    pub token: Option<u32>,
    /// Hypotheses kept; 1 is greedy.
    pub beam_size: usize,
    /// Upper limit of the length, in tokens.
    pub max_tokens: usize,
    /// Only the beginning is wanted: a hypothesis that is cut off at `max_tokens` counts as much as one that ended, and the
    /// last word may be unfinished.
    pub is_lookahead: bool,
}

/// A search that is to begin, or one that is under way.
#[derive(Debug, Clone)]
pub enum Search<S, P> {
    /// Nothing has been searched yet.
    Begin(SearchJob<S>),
    /// What [`Searching::Underway`] gave.
    GoOn(P),
}

/// How far a search has come.
#[derive(Debug, Clone)]
pub enum Searching<S, P> {
    /// To its end.
    Ended(Searched<S>),
    /// Some tokens further; never a lookahead. It wants to go on, others may step meanwhile.
    Underway(P),
}

/// The best hypothesis.
#[derive(Debug, Clone)]
pub struct Searched<S> {
    /// Its tokens, without the end of the sentence, which stands behind fewer than `max_tokens`; empty if the best is to
    /// say nothing more.
    pub tokens: Vec<u32>,
    /// Its length-normalised natural log-probability.
    pub score: f32,
    /// Of a lookahead, for each token the state before it: all that precedes it is fed, it is not. Otherwise empty.
    pub states: Vec<S>,
}

/// Why a job failed. The session that sent it ends; nobody else is touched.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum TranslatorError {
    /// The job breaks the contract of [`EncodeJob`], [`DecodeJob`] or [`SearchJob`]: a defect of the caller.
    #[error("invalid job: {0}")]
    InvalidJob(String),
    /// A state's bytes do not belong to this translator.
    #[error("invalid state: {0}")]
    InvalidState(String),
    /// The backend failed.
    #[error("translator failed: {0}")]
    Backend(String),
}

/// Something that turns speech segments into target tokens, many sessions in one step.
///
/// Each method takes any number of jobs of any age and answers in their order; the answer to a job is the same
/// alone and among others. An empty batch gives an empty answer.
pub trait Translator {
    /// All that one utterance has accumulated. Cloning it forks the utterance; dropping it frees it.
    type State: Clone + std::fmt::Debug + Send + 'static;

    /// All that one search has accumulated.
    type Search: Clone + std::fmt::Debug + Send + 'static;

    /// The shapes that jobs must have.
    fn spec(&self) -> &TranslatorSpec;

    /// Encodes one segment for each job.
    fn encode(&self, jobs: Vec<EncodeJob<Self::State>>) -> Vec<Result<Encoded<Self::State>, TranslatorError>>;

    /// Makes one decoder step for each job.
    fn decode(&self, jobs: Vec<DecodeJob<Self::State>>) -> Vec<Result<Decoded<Self::State>, TranslatorError>>;

    /// Searches how translations go on best: every lookahead to its end, of others at least one token.
    #[expect(clippy::type_complexity, reason = "an answer for each search, as in the other methods")]
    fn search(
        &self,
        searches: Vec<Search<Self::State, Self::Search>>,
    ) -> Vec<Result<Searching<Self::State, Self::Search>, TranslatorError>>;

    /// One search to its end.
    fn search_whole(
        &self,
        search: Search<Self::State, Self::Search>,
    ) -> Result<Searched<Self::State>, TranslatorError> {
        let mut search = search;
        loop {
            match only(self.search(vec![search]))? {
                Searching::Ended(searched) => return Ok(searched),
                Searching::Underway(further) => search = Search::GoOn(further),
            }
        }
    }

    /// The state as versioned bytes, for snapshots.
    fn state_to_bytes(&self, state: &Self::State) -> Result<Vec<u8>, TranslatorError>;

    /// The inverse of [`Translator::state_to_bytes`]; refuses bytes of another version or model.
    fn state_from_bytes(&self, bytes: &[u8]) -> Result<Self::State, TranslatorError>;
}

/// The answer to one job.
pub(super) fn only<A>(mut answers: Vec<Result<A, TranslatorError>>) -> Result<A, TranslatorError> {
    match (answers.pop(), answers.len()) {
        (Some(answer), 0) => answer,
        (_, others) => Err(TranslatorError::Backend(format!("one job has not one answer, {others} too many"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::scripted::scripted_assets;

    #[test]
    fn only_a_live_word_has_a_reach() {
        let spec = scripted_assets().unwrap().spec;
        let (live, offline) = (PolicyKind::WaitK { k: 3 }, PolicyKind::Offline { beam_size: 5 });
        assert_eq!(spec.reach_steps(live), None);
        let spec = TranslatorSpec { reach_segments: Some(2), ..spec };
        assert_eq!((spec.reach_steps(live), spec.reach_steps(offline)), (Some(40), None));
        assert_eq!(spec.reach_steps(PolicyKind::Transcribe), Some(8));
    }
}
