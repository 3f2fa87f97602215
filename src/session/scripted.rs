//! A translator without weights: text that is a hash of everything it was given, for tests of all that lies around it.
//!
//! Invariant: equal jobs get equal answers, and any change in what was encoded (values, segment borders, order) or fed
//! (tokens, and the source that was there when they were fed) changes what follows.

use serde::{Deserialize, Serialize};

use super::{
    SessionAssets, SourceAssets,
    translator::{
        Allowed, DecodeJob, Decoded, EncodeJob, Encoded, Search, SearchJob, Searched, Searching, SourceInput,
        Translator, TranslatorError, TranslatorSpec,
    },
};
use crate::{
    features::{Cmvn, FbankConfig},
    text::{BLANK, TextError, Tokenizer},
};

/// Encoder steps for one word of script: about three words a second.
const STEPS_PER_WORD: usize = 8;

/// Which job is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The encoding of the segment with this number in its utterance, from 0.
    Encode(usize),
    /// The decoder step after this many others in its utterance.
    Decode(usize),
    /// Every search.
    Search,
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct ScriptedTranslator {
    spec: TranslatorSpec,
    word_starts: Vec<u32>,
    continuations: Vec<u32>,
    labels: Vec<u32>,
    /// Of the source, special ones included.
    num_labels: u32,
    /// A job that fails, in every utterance.
    pub failure: Option<Failure>,
}

/// Tokens that a search finds before it makes room for others.
const SLICE: usize = 3;

/// A search under way.
#[derive(Debug, Clone)]
pub struct ScriptedSearch {
    job: SearchJob<ScriptedState>,
    tokens: Vec<u32>,
}

/// What an utterance has heard and said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptedState {
    heard: u64,
    said: u64,
    num_segments: usize,
    num_steps: usize,
    num_fed: usize,
    num_words: usize,
}

impl ScriptedTranslator {
    /// A translator that speaks with the pieces of these assets.
    pub fn new(assets: &SessionAssets) -> Self {
        let target = &assets.target_tokenizer;
        let pieces = (0..target.vocab_size() as u32).filter(|&id| !target.decode(&[id]).is_empty());
        let (word_starts, continuations) = pieces.partition(|&id| target.begins_word(id));
        let source = &assets.source_tokenizer;
        let num_labels = source.vocab_size() as u32;
        let labels = (0..num_labels).filter(|&id| !source.is_special(id)).collect();
        Self { spec: assets.spec.clone(), word_starts, continuations, labels, num_labels, failure: None }
    }

    /// The first choice of each state among the classes in order of preference, and the piece within the class.
    fn choose(&self, state: &ScriptedState, allowed: Allowed) -> Result<Option<u32>, TranslatorError> {
        let said_all = state.num_words * STEPS_PER_WORD >= state.num_steps;
        let one_piece_more = !state.said.is_multiple_of(3);
        let pick = |pieces: &[u32]| pieces.get(state.said as usize % pieces.len().max(1)).copied();
        let eos = allowed.eos.then_some(None);
        let word_start = pick(&self.word_starts).filter(|_| allowed.word_start).map(Some);
        let continuation = pick(&self.continuations).filter(|_| allowed.continuation).map(Some);
        let choice = match (one_piece_more, said_all) {
            (true, _) => continuation.or(if said_all { eos } else { word_start }).or(word_start).or(eos),
            (false, true) => eos.or(word_start).or(continuation),
            (false, false) => word_start.or(continuation).or(eos),
        };
        choice.ok_or_else(|| TranslatorError::InvalidJob("no token is allowed".into()))
    }

    fn encode_one(&self, job: EncodeJob<ScriptedState>) -> Result<Encoded<ScriptedState>, TranslatorError> {
        let mut state = job.state.unwrap_or_default();
        if self.failure == Some(Failure::Encode(state.num_segments)) {
            return Err(TranslatorError::Backend("scripted failure of an encoding".into()));
        }
        let frames = match job.source {
            SourceInput::Frames(frames) => frames,
            SourceInput::Pieces(pieces) => {
                state.heard = pieces.iter().fold(mix(state.heard, 1), |hash, &piece| mix(hash, piece.into()));
                state.num_segments += 1;
                state.num_steps += STEPS_PER_WORD;
                return Ok(Encoded { state, log_probs: Vec::new() });
            }
        };
        let num_frames = frames.len() / self.spec.num_mel_bins.max(1);
        if num_frames == 0
            || num_frames > self.spec.frames_per_segment()
            || num_frames * self.spec.num_mel_bins != frames.len()
        {
            return Err(TranslatorError::InvalidJob(format!("a segment of {} values", frames.len())));
        }
        state.heard = frames.iter().fold(mix(state.heard, 1), |hash, value| mix(hash, value.to_bits().into()));
        let num_steps = num_frames.div_ceil(self.spec.frames_per_step);
        let label = |step: usize| {
            let hash = mix(state.heard, step as u64);
            let label = self.labels.get(hash as usize % self.labels.len().max(1));
            label.filter(|_| hash >> 60 < 4).copied().unwrap_or(self.spec.blank)
        };
        let row = |step| {
            let best = label(step);
            (0..self.num_labels).map(move |label| if label == best { 0.0 } else { f32::NEG_INFINITY })
        };
        let log_probs = (0..num_steps).flat_map(row).collect();
        state.num_segments += 1;
        state.num_steps += num_steps;
        Ok(Encoded { state, log_probs })
    }

    fn decode_one(&self, job: DecodeJob<ScriptedState>) -> Result<Decoded<ScriptedState>, TranslatorError> {
        let mut state = job.state;
        if self.failure == Some(Failure::Decode(state.num_fed)) {
            return Err(TranslatorError::Backend("scripted failure of a step".into()));
        }
        if (state.num_fed == 0) != job.token.is_none() || state.num_segments == 0 {
            return Err(TranslatorError::InvalidJob("a sentence begins with no token, after some source".into()));
        }
        state.said = mix(mix(state.said, job.token.map_or(u64::MAX, u64::from)), state.heard);
        state.num_fed += 1;
        state.num_words += usize::from(job.token.is_some_and(|token| self.word_starts.contains(&token)));
        let token = self.choose(&state, job.allowed)?;
        Ok(Decoded { state, token, log_prob: 0.0 })
    }

    /// What decoding step by step would say, [`SLICE`] tokens at a time; the beam's width changes nothing.
    fn search_one(
        &self,
        search: Search<ScriptedState, ScriptedSearch>,
    ) -> Result<Searching<ScriptedState, ScriptedSearch>, TranslatorError> {
        let ScriptedSearch { mut job, mut tokens } = match search {
            Search::Begin(job) => ScriptedSearch { job, tokens: Vec::new() },
            Search::GoOn(search) => search,
        };
        if self.failure == Some(Failure::Search) && !job.is_lookahead {
            return Err(TranslatorError::Backend("scripted failure of a search".into()));
        }
        let (mut states, before) = (Vec::new(), tokens.len());
        while tokens.len() < job.max_tokens {
            if tokens.len() == before + SLICE && !job.is_lookahead {
                return Ok(Searching::Underway(ScriptedSearch { job, tokens }));
            }
            let state = job.state.clone();
            let allowed = Allowed { continuation: !tokens.is_empty(), ..Allowed::ALL };
            let token = tokens.last().copied().or(job.token);
            let decoded = self.decode_one(DecodeJob { state, token, allowed })?;
            job.state = decoded.state;
            match decoded.token {
                Some(token) => {
                    tokens.push(token);
                    states.extend(job.is_lookahead.then(|| job.state.clone()));
                }
                None => break,
            }
        }
        Ok(Searching::Ended(Searched { tokens, score: 0.0, states }))
    }
}

impl Translator for ScriptedTranslator {
    type State = ScriptedState;
    type Search = ScriptedSearch;

    fn spec(&self) -> &TranslatorSpec {
        &self.spec
    }

    fn encode(&self, jobs: Vec<EncodeJob<ScriptedState>>) -> Vec<Result<Encoded<ScriptedState>, TranslatorError>> {
        jobs.into_iter().map(|job| self.encode_one(job)).collect()
    }

    fn decode(&self, jobs: Vec<DecodeJob<ScriptedState>>) -> Vec<Result<Decoded<ScriptedState>, TranslatorError>> {
        jobs.into_iter().map(|job| self.decode_one(job)).collect()
    }

    fn search(
        &self,
        searches: Vec<Search<ScriptedState, ScriptedSearch>>,
    ) -> Vec<Result<Searching<ScriptedState, ScriptedSearch>, TranslatorError>> {
        searches.into_iter().map(|search| self.search_one(search)).collect()
    }

    fn state_to_bytes(&self, state: &ScriptedState) -> Result<Vec<u8>, TranslatorError> {
        postcard::to_allocvec(state).map_err(|error| TranslatorError::InvalidState(error.to_string()))
    }

    fn state_from_bytes(&self, bytes: &[u8]) -> Result<ScriptedState, TranslatorError> {
        postcard::from_bytes(bytes).map_err(|error| TranslatorError::InvalidState(error.to_string()))
    }
}

/// The finaliser of SplitMix64 (Steele et al. 2014) over two numbers.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.rotate_left(23) ^ b.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Assets for a [`ScriptedTranslator`]: the product's framing, small vocabularies, no file.
///
/// # Errors
/// If the tokenizers cannot be trained, which their tests rule out.
pub fn scripted_assets() -> Result<SessionAssets, TextError> {
    const ENGLISH: &str = "we would like to know what the others are saying while they are still saying it";
    const GERMAN: &str = "wir möchten gerne wissen, was die anderen sagen, während sie es noch sagen.";
    let spec = TranslatorSpec {
        num_mel_bins: 80,
        frame_shift_ms: 10,
        frames_per_step: 4,
        steps_per_segment: 8,
        max_utterance_segments: 78,
        max_tokens: 255,
        reach_segments: None,
        blank: BLANK,
    };
    let cmvn = Cmvn::new(vec![8.0; 80], vec![0.25; 80]).map_err(|error| TextError::Train(error.to_string()))?;
    Ok(SessionAssets {
        spec,
        source: SourceAssets::Speech { fbank: FbankConfig::default(), cmvn },
        source_tokenizer: Tokenizer::train_source([ENGLISH; 3], 0)?,
        target_tokenizer: Tokenizer::train_cased([GERMAN; 3], 60)?,
        language: None,
        reads: None,
    })
}
