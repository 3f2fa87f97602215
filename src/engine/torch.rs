//! [`Translator`] for the networks: jobs stacked into one batched step, answers taken apart again.
//!
//! Invariant: what reaches libtorch has been checked, because its operators panic and its errors are slow.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use thiserror::Error;

use super::Cascade;
use crate::bundle::{Assets, Bundle};
use crate::model::{
    self, ModelConfig, Progress, SpeechTranslator, State, Task, TextTranslator, Vocabulary, WeightsError,
};
use crate::session::translator::{
    Allowed, DecodeJob, Decoded, EncodeJob, Encoded, Search, SearchJob, Searched, Searching, SourceInput, Translator,
    TranslatorError, TranslatorSpec,
};
use crate::session::{SessionAssets, SourceAssets};
use crate::text::{BLANK, BOS, EOS, Tokenizer};

/// A loaded network and what a session must know of it.
#[derive(Debug)]
pub struct TorchTranslator {
    model: Model,
    spec: TranslatorSpec,
    /// Labels of what is heard, or pieces of the text that is read.
    source_vocab: usize,
    /// One row for each [`Allowed`] (see [`row`]): 0 for tokens that may be chosen, −∞ for the others.
    masks: Tensor,
}

/// Hears or reads.
#[derive(Debug)]
enum Model {
    Speech(SpeechTranslator),
    Text(TextTranslator),
}

impl Model {
    fn config(&self) -> &ModelConfig {
        match self {
            Self::Speech(model) => model.config(),
            Self::Text(model) => model.config(),
        }
    }

    fn init(&self) -> State {
        match self {
            Self::Speech(model) => model.init(),
            Self::Text(model) => model.init(),
        }
    }

    fn decode_step(&self, states: &[&State], tokens: &[i64]) -> (Vec<State>, Tensor) {
        match self {
            Self::Speech(model) => model.decode_step(states, tokens),
            Self::Text(model) => model.decode_step(states, tokens),
        }
    }

    fn search(&self, searches: Vec<model::Search>, vocabulary: &Vocabulary<'_>) -> Vec<Progress> {
        match self {
            Self::Speech(model) => model.search(searches, vocabulary),
            Self::Text(model) => model.search(searches, vocabulary),
        }
    }
}

/// Why a bundle cannot be served.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Its weights do not fit its config.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It has no part that reads.
    #[error("this bundle does not read text")]
    NoText,
}

/// What sessions must know of the network that `assets` describe.
pub fn spec(assets: &Assets) -> TranslatorSpec {
    let model = &assets.config.model;
    TranslatorSpec {
        num_mel_bins: model.num_mel_bins,
        frame_shift_ms: assets.config.features.frame_shift_ms,
        frames_per_step: model.frames_per_step,
        steps_per_segment: model.steps_per_segment,
        max_utterance_segments: model.max_utterance_segments,
        // The end of the sentence has a position, too.
        max_tokens: model.max_target_tokens - 1,
        reach_segments: model.reach_segments,
        blank: BLANK,
    }
}

/// The same of the network that reads: a piece is an encoder step, and a segment.
fn text_spec(assets: &Assets) -> TranslatorSpec {
    let max_utterance_segments = assets.config.model.max_utterance_steps();
    TranslatorSpec {
        frames_per_step: 1,
        steps_per_segment: 1,
        max_utterance_segments,
        reach_segments: None,
        ..spec(assets)
    }
}

/// What the sessions that read share; `None` of a bundle that does not.
pub fn text_session_assets(bundle: &Bundle) -> Option<SessionAssets> {
    let (assets, text) = (&bundle.assets, bundle.text.as_ref()?);
    Some(SessionAssets {
        spec: text_spec(assets),
        source: SourceAssets::Text,
        source_tokenizer: text.source.clone(),
        language: None,
        reads: None,
        target_tokenizer: assets.target.clone(),
    })
}

/// What the sessions that hear share, and, of a bundle that also reads, those that do both.
pub fn session_assets(bundle: &Bundle) -> SessionAssets {
    let assets = &bundle.assets;
    SessionAssets {
        reads: text_session_assets(bundle).map(Arc::new),
        spec: spec(assets),
        source: SourceAssets::Speech { fbank: assets.config.features.clone(), cmvn: assets.cmvn.clone() },
        source_tokenizer: assets.source.clone(),
        language: assets.language.clone(),
        target_tokenizer: assets.target.clone(),
    }
}

impl Cascade<TorchTranslator> {
    /// Loads all that a bundle has onto `device`.
    pub fn load(bundle: &Bundle, device: Device) -> Result<Self, LoadError> {
        let reads = bundle.text.is_some().then(|| TorchTranslator::load_text(bundle, device)).transpose()?;
        Ok(Self { hears: TorchTranslator::load(bundle, device)?, reads })
    }
}

impl TorchTranslator {
    /// Loads a bundle's network that hears onto `device`.
    pub fn load(bundle: &Bundle, device: Device) -> Result<Self, LoadError> {
        let model = SpeechTranslator::load(&bundle.weights, &bundle.assets.config.model, device)?;
        Ok(Self::new(model, &bundle.assets))
    }

    /// Loads a bundle's network that reads.
    pub fn load_text(bundle: &Bundle, device: Device) -> Result<Self, LoadError> {
        let (assets, text) = (&bundle.assets, bundle.text.as_ref().ok_or(LoadError::NoText)?);
        let vocab = text.source.vocab_size();
        let model = TextTranslator::load(&text.weights, vocab, &assets.config.model, device)?;
        let masks = masks(&assets.target).to_device(device);
        Ok(Self { model: Model::Text(model), spec: text_spec(assets), source_vocab: vocab, masks })
    }

    /// Wraps a network that hears; `assets` must be those that it was built from.
    pub fn new(model: SpeechTranslator, assets: &Assets) -> Self {
        let masks = masks(&assets.target).to_device(model.device());
        Self { spec: spec(assets), masks, source_vocab: assets.source.vocab_size(), model: Model::Speech(model) }
    }
}

impl TorchTranslator {
    /// The state of an utterance of which nothing has been heard.
    pub fn init(&self) -> State {
        self.model.init()
    }

    fn check_source(&self, source: &SourceInput) -> Result<(), TranslatorError> {
        let wrong = |message| Err(TranslatorError::InvalidJob(message));
        match (&self.model, source) {
            (Model::Speech(_), SourceInput::Frames(frames)) => self.check_frames(frames),
            (Model::Text(_), SourceInput::Pieces(pieces)) => {
                let limit = self.source_vocab;
                match pieces.iter().find(|&&piece| piece as usize >= limit) {
                    _ if pieces.is_empty() => wrong("a word without pieces, allowed: 1 or more".to_owned()),
                    Some(piece) => wrong(format!("piece is {piece}, allowed: 0 to {}", limit - 1)),
                    None => Ok(()),
                }
            }
            (Model::Speech(_), SourceInput::Pieces(_)) => wrong("pieces of text, allowed: frames".to_owned()),
            (Model::Text(_), SourceInput::Frames(_)) => wrong("frames, allowed: pieces of text".to_owned()),
        }
    }

    fn check_frames(&self, frames: &[f32]) -> Result<(), TranslatorError> {
        let (bins, longest) = (self.spec.num_mel_bins, self.spec.frames_per_segment());
        let count = frames.len() / bins;
        if !frames.len().is_multiple_of(bins) || !(1..=longest).contains(&count) {
            let message = format!("{} feature values, allowed: 1 to {longest} rows of {bins}", frames.len());
            return Err(TranslatorError::InvalidJob(message));
        }
        Ok(())
    }

    /// The token that is fed to a state, which must have heard something.
    fn check_turn(&self, state: &State, token: Option<u32>) -> Result<i64, TranslatorError> {
        if !state.has_heard() {
            return Err(TranslatorError::InvalidJob("nothing has been encoded yet".to_owned()));
        }
        let vocab = self.model.config().target_vocab;
        match token {
            None => Ok(i64::from(BOS)),
            Some(token) if (token as usize) < vocab => Ok(i64::from(token)),
            Some(token) => Err(TranslatorError::InvalidJob(format!("token is {token}, allowed: 0 to {}", vocab - 1))),
        }
    }

    fn encode_batch(&self, jobs: Vec<EncodeJob<State>>) -> Vec<Encoded<State>> {
        let reach: Vec<Option<usize>> = jobs.iter().map(|job| job.reach_steps).collect();
        let (states, sources): (Vec<State>, Vec<SourceInput>) =
            jobs.into_iter().map(|job| (job.state.unwrap_or_else(|| self.init()), job.source)).unzip();
        match &self.model {
            Model::Speech(model) => self.hear(model, &states, &sources, &reach),
            Model::Text(model) => read(model, states, &sources),
        }
    }

    fn hear(
        &self,
        model: &SpeechTranslator,
        states: &[State],
        sources: &[SourceInput],
        reach: &[Option<usize>],
    ) -> Vec<Encoded<State>> {
        let (bins, length) = (self.spec.num_mel_bins, self.spec.frames_per_segment());
        let counts: Vec<usize> = sources.iter().map(|source| source.frames().len() / bins).collect();
        let mut frames = Vec::with_capacity(sources.len() * length * bins);
        for (number, source) in (1..).zip(sources) {
            frames.extend_from_slice(source.frames());
            frames.resize(number * length * bins, 0.0);
        }
        let frames = Tensor::from_slice(&frames).view([states.len() as i64, length as i64, bins as i64]);
        let frames = frames.to_device(model.device());
        let (next, log_probs) = model.encode_step(&states.iter().collect::<Vec<_>>(), &frames, &counts, reach);
        let answers = next.into_iter().zip(rows(&log_probs)).zip(counts);
        answers
            .map(|((state, mut log_probs), count)| {
                log_probs.truncate(count.div_ceil(self.spec.frames_per_step) * self.source_vocab);
                Encoded { state, log_probs }
            })
            .collect()
    }

    fn decode_batch(&self, jobs: Vec<(DecodeJob<State>, i64)>) -> Vec<Decoded<State>> {
        let (jobs, tokens): (Vec<DecodeJob<State>>, Vec<i64>) = jobs.into_iter().unzip();
        let states: Vec<&State> = jobs.iter().map(|job| &job.state).collect();
        let (next, log_probs) = self.model.decode_step(&states, &tokens);
        let wanted: Vec<i64> = jobs.iter().map(|job| row(job.allowed)).collect();
        let masks = self.masks.index_select(0, &Tensor::from_slice(&wanted).to_device(self.masks.device()));
        let (best, chosen) = (log_probs + masks).max_dim(-1, false);
        let (best, chosen) = (values::<f64>(&best.to_kind(Kind::Double)), values::<i64>(&chosen));
        let answers = next.into_iter().zip(best).zip(chosen);
        answers
            .map(|((state, log_prob), token)| Decoded {
                state,
                token: (token != i64::from(EOS)).then_some(token as u32),
                log_prob: log_prob as f32,
            })
            .collect()
    }

    fn begin_search(&self, job: SearchJob<State>) -> Result<model::Search, TranslatorError> {
        let SearchJob { state, token, beam_size, max_tokens, is_lookahead } = job;
        let begin = self.check_turn(&state, token)?;
        Ok(model::Search::new(Task { state, begin, beam_size, max_tokens, is_lookahead }))
    }

    fn search_batch(&self, searches: Vec<model::Search>) -> Vec<Searching<State, Box<model::Search>>> {
        let allowed_first = self.masks.select(0, row(Allowed { continuation: false, ..Allowed::ALL }));
        let allowed = self.masks.select(0, row(Allowed::ALL));
        let vocabulary = Vocabulary { end: i64::from(EOS), allowed: &allowed, allowed_first: &allowed_first };
        let progress = self.model.search(searches, &vocabulary).into_iter();
        progress
            .map(|progress| match progress {
                Progress::Ended(best) => Searching::Ended(Searched {
                    tokens: best.tokens.into_iter().map(|token| token as u32).collect(),
                    score: best.score as f32,
                    states: best.states,
                }),
                Progress::Underway(search) => Searching::Underway(search),
            })
            .collect()
    }
}

impl Translator for TorchTranslator {
    type State = State;
    type Search = Box<model::Search>;

    fn spec(&self) -> &TranslatorSpec {
        &self.spec
    }

    fn encode(&self, jobs: Vec<EncodeJob<State>>) -> Vec<Result<Encoded<State>, TranslatorError>> {
        let check = |job: EncodeJob<State>| self.check_source(&job.source).map(|()| job);
        batched(jobs, check, |jobs| self.encode_batch(jobs))
    }

    fn decode(&self, jobs: Vec<DecodeJob<State>>) -> Vec<Result<Decoded<State>, TranslatorError>> {
        let check = |job: DecodeJob<State>| {
            let Allowed { eos, word_start, continuation } = job.allowed;
            if !(eos || word_start || continuation) {
                return Err(TranslatorError::InvalidJob("no token is allowed".to_owned()));
            }
            self.check_turn(&job.state, job.token).map(|token| (job, token))
        };
        batched(jobs, check, |jobs| self.decode_batch(jobs))
    }

    fn search(
        &self,
        searches: Vec<Search<State, Box<model::Search>>>,
    ) -> Vec<Result<Searching<State, Self::Search>, TranslatorError>> {
        let begin = |search: Search<State, Self::Search>| match search {
            Search::Begin(job) => self.begin_search(job),
            Search::GoOn(search) => Ok(*search),
        };
        batched(searches, begin, |searches| self.search_batch(searches))
    }

    fn state_to_bytes(&self, state: &State) -> Result<Vec<u8>, TranslatorError> {
        state.to_bytes().map_err(|e| TranslatorError::InvalidState(e.to_string()))
    }

    fn state_from_bytes(&self, bytes: &[u8]) -> Result<State, TranslatorError> {
        self.init().with_bytes(bytes).map_err(|e| TranslatorError::InvalidState(e.to_string()))
    }
}

/// Runs the jobs that pass `check` as one batch and puts all answers in the order of the jobs.
fn batched<J, C, A>(
    jobs: Vec<J>,
    check: impl Fn(J) -> Result<C, TranslatorError>,
    run: impl FnOnce(Vec<C>) -> Vec<A>,
) -> Vec<Result<A, TranslatorError>> {
    let mut good = Vec::new();
    let checked: Vec<Result<(), TranslatorError>> =
        jobs.into_iter().map(|job| check(job).map(|job| good.push(job))).collect();
    let mut done = if good.is_empty() { Vec::new() } else { tch::no_grad(|| run(good)) }.into_iter();
    let missing = || TranslatorError::Backend("a batch returned too few answers".to_owned());
    checked.into_iter().map(|passed| passed.and_then(|()| done.next().ok_or_else(missing))).collect()
}

/// The row of the masks that stands for a choice.
fn row(allowed: Allowed) -> i64 {
    i64::from(allowed.eos) + 2 * i64::from(allowed.word_start) + 4 * i64::from(allowed.continuation)
}

/// Feeds words piece by piece, those that have one more in one step.
fn read(model: &TextTranslator, mut states: Vec<State>, sources: &[SourceInput]) -> Vec<Encoded<State>> {
    let words: Vec<&[u32]> = sources.iter().map(SourceInput::pieces).collect();
    let longest = words.iter().map(|word| word.len()).max().unwrap_or(0);
    for at in 0..longest {
        let (rows, pieces): (Vec<usize>, Vec<i64>) =
            (0..words.len()).filter_map(|row| Some((row, i64::from(*words[row].get(at)?)))).unzip();
        let next = model.encode_step(&rows.iter().map(|&row| &states[row]).collect::<Vec<_>>(), &pieces);
        for (row, state) in rows.into_iter().zip(next) {
            states[row] = state;
        }
    }
    states.into_iter().map(|state| Encoded { state, log_probs: Vec::new() }).collect()
}

fn masks(target: &Tokenizer) -> Tensor {
    let vocab = target.vocab_size() as u32;
    let mut values = Vec::new();
    for number in 0..8 {
        for token in 0..vocab {
            let class = match token {
                EOS => 1,
                _ if target.is_special(token) => 0,
                _ if target.begins_word(token) => 2,
                _ => 4,
            };
            values.push(if class & number != 0 { 0.0f32 } else { f32::NEG_INFINITY });
        }
    }
    Tensor::from_slice(&values).view([8, i64::from(vocab)])
}

/// A tensor's values, row by row.
fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    let width = tensor.size().iter().skip(1).product::<i64>().max(1);
    values(tensor).chunks(width as usize).map(<[f32]>::to_vec).collect()
}

fn values<T: tch::kind::Element + Copy>(tensor: &Tensor) -> Vec<T> {
    Vec::<T>::try_from(tensor.flatten(0, -1).to_device(Device::Cpu)).unwrap_or_default()
}
