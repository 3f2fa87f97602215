//! Beam search over everything that utterances have heard: for what is left to say, or for the next few tokens.
//!
//! States being values, the beams of many utterances are one batch and a step is an `index_select`. Scores are
//! log-probabilities over length to the power of [`LENGTH_POWER`] (Wu et al. 2016, arXiv 1609.08144, eq. 14, without its
//! offset). Invariant: an utterance's answer is the same alone and among others.

use tch::{Kind, Tensor};

use super::EncoderDecoder;
use super::decoder::DecoderState;
use super::state::{Shallow, State, select};

/// 0 prefers short translations, 1 is the mean log-probability a token.
const LENGTH_POWER: f64 = 1.0;

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
#[derive(Debug)]
pub struct Task<'a> {
    /// It must have heard at least one segment.
    pub state: &'a State,
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
#[derive(Clone)]
struct Path {
    tokens: Vec<i64>,
    /// For each token the row of its step's batch that it was chosen from.
    rows: Vec<i64>,
    /// Sum of log-probabilities, or once it is finished, normalised.
    score: f64,
}

/// One utterance's beam.
struct Beam<'a> {
    task: &'a Task<'a>,
    /// Those that go on; none when the search is over.
    alive: Vec<Path>,
    finished: Vec<Path>,
}

impl<E> EncoderDecoder<E> {
    /// The best hypothesis found for each task; empty if the best translation is nothing.
    pub fn search(&self, tasks: &[Task<'_>], vocabulary: &Vocabulary<'_>) -> Vec<Hypothesis> {
        let mut beams: Vec<Beam<'_>> = tasks.iter().map(Beam::new).collect();
        let Some(width) = tasks.iter().map(|task| 2 * task.beam_size.max(1) as i64).max() else {
            return Vec::new();
        };
        let keeps_states = tasks.iter().any(|task| task.is_lookahead);
        let mut history = Vec::new();
        let mut states = self.beam(&tasks.iter().map(|task| task.state).collect::<Vec<_>>());
        let mut parents: Vec<i64> = (0..tasks.len() as i64).collect();
        // Beams whose task is not over, by number; each has its rows behind those of the one before it.
        let mut running: Vec<usize> = (0..beams.len()).collect();
        for length in 1.. {
            let mut tokens = Vec::new();
            for beam in running.iter().map(|&number| &beams[number]) {
                tokens.extend(beam.alive.iter().map(|h| h.tokens.last().copied().unwrap_or(beam.task.begin)));
            }
            let (next, scores) = self.beam_step(&states, &parents, &tokens);
            states = next;
            if keeps_states {
                history.push(states.0.shallow());
            }
            let allowed = if length == 1 { vocabulary.allowed_first } else { vocabulary.allowed };
            // Each of the best of all rows is among the best of its row.
            let (best, index) = (scores + allowed).topk(width.min(allowed.size()[0]), -1, true, true);
            let candidates = rows_of(&best, &index);
            parents.clear();
            let mut row = 0;
            running.retain(|&number| {
                let beam = &mut beams[number];
                let rows = row..row + beam.alive.len();
                row = rows.end;
                beam.step(length, rows.start as i64, &candidates[rows], vocabulary.end);
                parents.extend(beam.alive.iter().filter_map(|path| path.rows.last()));
                !beam.alive.is_empty()
            });
            if running.is_empty() {
                break;
            }
        }
        beams.into_iter().map(|beam| beam.best(&history)).collect()
    }
}

impl<'a> Beam<'a> {
    fn new(task: &'a Task<'a>) -> Self {
        Self { task, alive: vec![Path { tokens: Vec::new(), rows: Vec::new(), score: 0.0 }], finished: Vec::new() }
    }

    /// Goes on by one token, given the best (log-probability, token) after each hypothesis, the first of which is the
    /// batch's row `first`.
    fn step(&mut self, length: usize, first: i64, candidates: &[Vec<(f64, i64)>], end: i64) {
        let Task { beam_size, max_tokens, is_lookahead, .. } = *self.task;
        let beam_size = beam_size.max(1);
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

    /// `history` has the decoders after each step.
    fn best(self, history: &[DecoderState]) -> Hypothesis {
        let nothing = Path { tokens: Vec::new(), rows: Vec::new(), score: f64::NEG_INFINITY };
        let best = self.finished.into_iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap_or(nothing);
        let state = |(decoders, &row): (&DecoderState, &i64)| {
            let decoder = select(decoders, &Tensor::from_slice(&[row]).to_device(decoders.tokens.device()));
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
