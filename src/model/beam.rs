//! Beam search over everything that utterances have heard: for what is left to say, or for the next few tokens.
//!
//! States being values, the beams of many utterances are one batch and a step is an `index_select`. Scores are
//! log-probabilities over length to the power of [`LENGTH_POWER`] (Wu et al. 2016, arXiv 1609.08144, eq. 14, without its
//! offset). Invariant: an utterance's answer is the same alone and among others.

use tch::{Kind, Tensor};

use super::EncoderDecoder;
use super::decoder::DecoderState;
use super::state::{Rows, Shallow, State, select, stack};

/// 0 prefers short translations, 1 is the mean log-probability a token.
const LENGTH_POWER: f64 = 1.0;

/// Tokens after which searches that are not lookaheads make room for others.
const SLICE: usize = 4;

/// A translation, or its beginning.
#[derive(Debug, Clone)]
pub struct Hypothesis {
    /// Tokens without begin and end.
    pub tokens: Vec<i64>,
    /// Length-normalised log-probability.
    pub score: f64,
    /// Of a lookahead, for each token the state before it; otherwise none.
    pub states: Vec<State>,
}

/// What to search for one utterance.
#[derive(Debug, Clone)]
pub struct Task {
    /// It must have heard at least one segment.
    pub state: State,
    /// The token to feed first: what begins a sentence, or the last one said.
    pub begin: i64,
    /// Hypotheses kept, at least 1.
    pub beam_size: usize,
    /// The longest answer.
    pub max_tokens: usize,
    /// What is cut off at `max_tokens` counts as much as what has ended.
    pub is_lookahead: bool,
}

/// What may be said.
#[derive(Debug)]
pub struct Vocabulary<'a> {
    /// The token that ends a sentence.
    pub end: i64,
    /// `(target_vocab,)`: 0 for tokens that may be chosen, −∞ for the others.
    pub allowed: &'a Tensor,
    /// The same for the first token.
    pub allowed_first: &'a Tensor,
}

/// A hypothesis under way.
#[derive(Debug, Clone)]
struct Path {
    tokens: Vec<i64>,
    /// For each token the row of its step's batch that it was chosen from, which only counts within one slice.
    rows: Vec<i64>,
    /// Sum of log-probabilities, or once it is finished, normalised.
    score: f64,
}

/// One utterance's search, under way.
#[derive(Debug, Clone)]
pub struct Search {
    task: Task,
    /// Those that go on; none when the search is over.
    alive: Vec<Path>,
    finished: Vec<Path>,
    /// Tokens of those that go on.
    length: usize,
    /// What they go on from, one a row.
    rows: Rows,
}

/// How far a search has come.
#[derive(Debug)]
pub enum Progress {
    /// To its end: the best hypothesis, which is empty if the best translation is nothing.
    Ended(Hypothesis),
    /// Some tokens further.
    Underway(Box<Search>),
}

impl<E> EncoderDecoder<E> {
    /// Takes searches on together: lookaheads to their end, others a few tokens or as far as the lookaheads go, so that what is
    /// left of one utterance never keeps the next word of another waiting for long.
    pub fn search(&self, mut searches: Vec<Search>, vocabulary: &Vocabulary<'_>) -> Vec<Progress> {
        let Some(width) = searches.iter().map(|search| 2 * search.task.beam_size.max(1) as i64).max() else {
            return Vec::new();
        };
        let keeps_states = searches.iter().any(|search| search.task.is_lookahead);
        let masks = Tensor::stack(&[vocabulary.allowed, vocabulary.allowed_first], 0);
        let mut history = Vec::new();
        let mut rows = stack(&searches.iter().map(|search| &search.rows).collect::<Vec<_>>());
        // The search of each row; those of one stand behind those of the one before it.
        let numbers = searches.iter().enumerate();
        let mut owners: Vec<usize> =
            numbers.flat_map(|(number, search)| std::iter::repeat_n(number, search.alive.len())).collect();
        let mut parents: Vec<i64> = (0..owners.len() as i64).collect();
        let mut sources = parents.clone();
        for step in 1.. {
            let alive = || searches.iter().flat_map(|search| search.alive.iter().map(move |path| (search, path)));
            let tokens: Vec<i64> =
                alive().map(|(search, path)| path.tokens.last().copied().unwrap_or(search.task.begin)).collect();
            let begins: Vec<i64> = alive().map(|(search, _)| i64::from(search.length == 0)).collect();
            let (next, scores) = self.beam_step(&rows, &parents, &sources, &tokens);
            rows = next;
            if keeps_states {
                history.push(rows.decoder.shallow());
            }
            let allowed = masks.index_select(0, &Tensor::from_slice(&begins).to_device(masks.device()));
            // Each of the best of all rows is among the best of its row.
            let (best, index) = (scores + &allowed).topk(width.min(allowed.size()[1]), -1, true, true);
            let candidates = rows_of(&best, &index);
            let before = std::mem::take(&mut owners);
            parents.clear();
            for (number, search) in searches.iter_mut().enumerate() {
                let first = before.partition_point(|&owner| owner < number);
                let candidates = &candidates[first..first + search.alive.len()];
                search.step(first as i64, candidates, vocabulary.end);
                parents.extend(search.alive.iter().filter_map(|path| path.rows.last()));
                owners.resize(parents.len(), number);
            }
            // All rows of a search have heard the same: what may stay where it is needs no copy.
            let source = |(row, &parent): (usize, &i64)| {
                if before.get(row) == Some(&owners[row]) { row as i64 } else { parent }
            };
            sources = parents.iter().enumerate().map(source).collect();
            let looks_ahead = searches.iter().any(|search| search.task.is_lookahead && !search.alive.is_empty());
            if owners.is_empty() || (step >= SLICE && !looks_ahead) {
                break;
            }
        }
        let end = |(number, mut search): (usize, Search)| {
            if search.alive.is_empty() {
                return Progress::Ended(search.best(&history));
            }
            let own = owners.partition_point(|&owner| owner < number)..owners.partition_point(|&owner| owner <= number);
            let (decoder, cross) = (select(&rows.decoder, &parents[own.clone()]), select(&rows.cross, &sources[own]));
            search.rows = Rows { decoder, cross };
            Progress::Underway(Box::new(search))
        };
        searches.into_iter().enumerate().map(end).collect()
    }
}

impl Search {
    /// A search that has not begun.
    pub fn new(task: Task) -> Self {
        let alive = vec![Path { tokens: Vec::new(), rows: Vec::new(), score: 0.0 }];
        let rows = Rows { decoder: task.state.decoder.shallow(), cross: task.state.cross.shallow() };
        Self { task, alive, finished: Vec::new(), length: 0, rows }
    }

    /// Goes on by one token, given the best (log-probability, token) after each hypothesis, the first of which is the
    /// batch's row `first`.
    fn step(&mut self, first: i64, candidates: &[Vec<(f64, i64)>], end: i64) {
        if self.alive.is_empty() {
            return;
        }
        self.length += 1;
        let Task { beam_size, max_tokens, is_lookahead, .. } = self.task;
        let (length, beam_size) = (self.length, beam_size.max(1));
        let continued = self.alive.iter().zip(candidates).enumerate().flat_map(|(parent, (hypothesis, candidates))| {
            candidates.iter().map(move |&(log_prob, token)| (hypothesis.score + log_prob, parent, token))
        });
        let mut best: Vec<(f64, usize, i64)> = continued.filter(|(score, ..)| score.is_finite()).collect();
        // Stable, so that equals keep their order.
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        // Every hypothesis has one end, so twice the beam always leaves enough that go on.
        best.truncate(2 * beam_size);
        let mut alive = Vec::with_capacity(beam_size);
        for (rank, (score, parent, token)) in best.into_iter().enumerate() {
            let path = Path { score, ..self.alive[parent].clone() };
            if token == end {
                if rank < beam_size {
                    self.finished.push(Path { score: normalised(score, length), ..path });
                }
            } else if alive.len() < beam_size && length <= max_tokens {
                alive.push(path.to(token, first + parent as i64));
            }
        }
        if is_lookahead && length >= max_tokens {
            self.finish(std::mem::take(&mut alive));
        }
        if alive.is_empty() && self.finished.is_empty() {
            // One token past the limit, or nothing may follow: the unfinished ones of the step before are all there is.
            let unfinished = std::mem::take(&mut self.alive);
            self.finish(unfinished);
        }
        if self.finished.len() >= beam_size && !is_lookahead {
            alive.clear();
        }
        self.alive = alive;
    }

    /// Counts unfinished hypotheses as finished.
    fn finish(&mut self, unfinished: Vec<Path>) {
        let score = |path: &Path| normalised(path.score, path.tokens.len().max(1));
        self.finished.extend(unfinished.into_iter().map(|path| Path { score: score(&path), ..path }));
    }

    /// `history` has the decoders after each step of this slice, which is the only one of a lookahead.
    fn best(self, history: &[DecoderState]) -> Hypothesis {
        let nothing = Path { tokens: Vec::new(), rows: Vec::new(), score: f64::NEG_INFINITY };
        let best = self.finished.into_iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap_or(nothing);
        let state = |(decoders, &row): (&DecoderState, &i64)| {
            let decoder = select(decoders, &[row]);
            State { decoder, ..self.task.state.clone() }
        };
        let kept = if self.task.is_lookahead { history } else { &[] };
        Hypothesis { states: kept.iter().zip(&best.rows).map(state).collect(), tokens: best.tokens, score: best.score }
    }
}

impl Path {
    fn to(mut self, token: i64, row: i64) -> Self {
        self.tokens.push(token);
        self.rows.push(row);
        self
    }
}

fn normalised(score: f64, length: usize) -> f64 {
    score / (length as f64).powf(LENGTH_POWER)
}

/// Two `(R, W)` as R rows of W pairs.
fn rows_of(values: &Tensor, indices: &Tensor) -> Vec<Vec<(f64, i64)>> {
    let width = values.size()[1].max(1) as usize;
    let values: Vec<f64> = Vec::try_from(values.to_kind(Kind::Double).flatten(0, -1)).unwrap_or_default();
    let indices: Vec<i64> = Vec::try_from(indices.flatten(0, -1)).unwrap_or_default();
    let pairs: Vec<(f64, i64)> = values.into_iter().zip(indices).collect();
    pairs.chunks(width).map(<[_]>::to_vec).collect()
}
