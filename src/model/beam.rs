//! Beam search over everything that an utterance has heard, for what is left to say.
//!
//! The state being a value, a beam is a batch of states and a step an `index_select`. Scores are log-probabilities over
//! length to the power of [`LENGTH_POWER`] (Wu et al. 2016, arXiv 1609.08144, eq. 14, without its offset).

use tch::{Kind, Tensor};

use super::SpeechTranslator;
use super::state::{Shallow, State};

/// 0 prefers short translations, 1 is the mean log-probability a token.
const LENGTH_POWER: f64 = 1.0;

/// A finished translation.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Tokens without begin and end.
    pub tokens: Vec<i64>,
    /// Length-normalised log-probability.
    pub score: f64,
}

/// What a search may say.
#[derive(Debug)]
pub struct Vocabulary<'a> {
    /// The token to feed first: what begins a sentence, or the last one said.
    pub begin: i64,
    /// The token that ends it.
    pub end: i64,
    /// `(target_vocab,)`: 0 for tokens that may be chosen, −∞ for the others.
    pub allowed: &'a Tensor,
    /// The same for the first token.
    pub allowed_first: &'a Tensor,
}

impl SpeechTranslator {
    /// The best translation found with `beam_size` hypotheses (at least 1) of at most `max_tokens` tokens; empty if
    /// the best translation is nothing. The utterance must have heard at least one segment.
    pub fn search(
        &self,
        state: &State,
        vocabulary: &Vocabulary<'_>,
        beam_size: usize,
        max_tokens: usize,
    ) -> Hypothesis {
        let beam_size = beam_size.max(1);
        let mut state = state.shallow();
        let mut alive = vec![Hypothesis { tokens: Vec::new(), score: 0.0 }];
        let mut parents = vec![0];
        let mut finished: Vec<Hypothesis> = Vec::new();
        for length in 1..=max_tokens + 1 {
            let tokens: Vec<i64> = alive.iter().map(|h| h.tokens.last().copied().unwrap_or(vocabulary.begin)).collect();
            let (next, scores) = self.beam_step(&state, &parents, &tokens);
            state = next;
            let so_far: Vec<f64> = alive.iter().map(|h| h.score).collect();
            let allowed = if length == 1 { vocabulary.allowed_first } else { vocabulary.allowed };
            let totals = (scores + allowed).to_kind(Kind::Double)
                + Tensor::from_slice(&so_far).to_device(self.device()).unsqueeze(-1);
            let width = totals.size()[1];
            // Every hypothesis has one end, so twice the beam always leaves enough that go on.
            let wanted = (2 * beam_size as i64).min(totals.numel() as i64);
            let (best, index) = totals.flatten(0, 1).topk(wanted, 0, true, true);
            let best: Vec<f64> = best.iter::<f64>().map(Iterator::collect).unwrap_or_default();
            let index: Vec<i64> = index.iter::<i64>().map(Iterator::collect).unwrap_or_default();
            let normalised = |score: f64| score / (length as f64).powf(LENGTH_POWER);
            let mut next_alive = Vec::with_capacity(beam_size);
            parents.clear();
            for (rank, (score, index)) in best.into_iter().zip(index).enumerate() {
                let (parent, token) = (index / width, index % width);
                let mut tokens = alive[parent as usize].tokens.clone();
                if token == vocabulary.end {
                    if rank < beam_size {
                        finished.push(Hypothesis { tokens, score: normalised(score) });
                    }
                } else if score.is_finite() && next_alive.len() < beam_size && length <= max_tokens {
                    tokens.push(token);
                    next_alive.push(Hypothesis { tokens, score });
                    parents.push(parent);
                }
            }
            if next_alive.is_empty() || finished.len() >= beam_size {
                break;
            }
            alive = next_alive;
        }
        // Cut off at the limit: the unfinished ones are all there is.
        if finished.is_empty() {
            finished = alive;
        }
        let best = finished.into_iter().max_by(|a, b| a.score.total_cmp(&b.score));
        best.unwrap_or(Hypothesis { tokens: Vec::new(), score: f64::NEG_INFINITY })
    }
}
