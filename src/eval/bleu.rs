//! Hypotheses and references to BLEU (Papineni et al. 2002), as sacrebleu computes it by default (Post 2018): the whole
//! corpus, cased, tokenizer `13a`, exponential smoothing.
//!
//! Invariant: counts are summed over the corpus before anything is divided; the score is no mean over segments.

use std::collections::HashMap;
use std::iter::Sum;

use super::{Estimate, EvalError, pair, tokenize::tokenize_13a};

const MAX_ORDER: usize = 4;

/// Scores a corpus from 0 to 100. Each segment has one or more references; a missing one is simply left out of its list.
/// The score is 0 for an empty corpus, for one without a single common word, and for one without any sentence of four
/// words.
///
/// # Errors
/// If the numbers of segments differ or a segment has no reference.
pub fn bleu<H: AsRef<str>, R: AsRef<str>>(hypotheses: &[H], references: &[Vec<R>]) -> Result<Estimate, EvalError> {
    let segments: Vec<Counts> = pair(hypotheses, references)?
        .map(|(hypothesis, references)| Counts::of(&tokenize_13a(hypothesis), references.map(tokenize_13a).collect()))
        .collect();
    Ok(Estimate::of(&segments, Counts::score))
}

#[derive(Default)]
struct Counts {
    matches: [usize; MAX_ORDER],
    totals: [usize; MAX_ORDER],
    hypothesis_words: usize,
    /// Words in the references that come closest in length, the shorter of two.
    reference_words: usize,
}

impl<'a> Sum<&'a Counts> for Counts {
    fn sum<I: Iterator<Item = &'a Counts>>(segments: I) -> Self {
        segments.fold(Self::default(), |mut sum, segment| {
            for order in 0..MAX_ORDER {
                sum.matches[order] += segment.matches[order];
                sum.totals[order] += segment.totals[order];
            }
            sum.hypothesis_words += segment.hypothesis_words;
            sum.reference_words += segment.reference_words;
            sum
        })
    }
}

impl Counts {
    fn of(hypothesis: &str, references: Vec<String>) -> Self {
        let hypothesis: Vec<&str> = hypothesis.split_whitespace().collect();
        let references: Vec<Vec<&str>> = references.iter().map(|line| line.split_whitespace().collect()).collect();
        let lengths = references.iter().map(Vec::len);
        let mut counts = Self {
            hypothesis_words: hypothesis.len(),
            reference_words: lengths.min_by_key(|&len| (len.abs_diff(hypothesis.len()), len)).unwrap_or(0),
            ..Self::default()
        };
        for order in 1..=MAX_ORDER {
            // An n-gram may match as often as the reference that has it most often.
            let mut allowed: HashMap<&[&str], usize> = HashMap::new();
            for reference in &references {
                for (ngram, count) in count_ngrams(reference, order) {
                    let most = allowed.entry(ngram).or_default();
                    *most = count.max(*most);
                }
            }
            for (ngram, count) in count_ngrams(&hypothesis, order) {
                counts.totals[order - 1] += count;
                counts.matches[order - 1] += count.min(allowed.get(ngram).copied().unwrap_or(0));
            }
        }
        counts
    }

    fn score(&self) -> f64 {
        let lengths_ratio = self.reference_words as f64 / self.hypothesis_words as f64;
        let brevity_penalty = match self.hypothesis_words {
            0 if self.reference_words > 0 => 0.0,
            words if words < self.reference_words => (1.0 - lengths_ratio).exp(),
            _ => 1.0,
        };
        let mut precisions = [0.0; MAX_ORDER];
        if self.matches != [0; MAX_ORDER] {
            // Exponential smoothing: the i-th precision without a match counts as 1/2^i of a match.
            let mut virtual_match = 1.0;
            for ((precision, &matches), &total) in precisions.iter_mut().zip(&self.matches).zip(&self.totals) {
                *precision = match (matches, total) {
                    (_, 0) => 0.0,
                    (0, _) => {
                        virtual_match /= 2.0;
                        100.0 * virtual_match / total as f64
                    }
                    _ => 100.0 * matches as f64 / total as f64,
                };
            }
        }
        let mean_log = precisions.iter().map(|precision| precision.ln()).sum::<f64>() / MAX_ORDER as f64;
        brevity_penalty * mean_log.exp()
    }
}

fn count_ngrams<'a, 'b>(words: &'a [&'b str], order: usize) -> HashMap<&'a [&'b str], usize> {
    let mut counts = HashMap::new();
    for ngram in words.windows(order) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn agrees_with_sacrebleu() {
        for corpus in fixture::text().corpora {
            let got = bleu(&corpus.hypotheses, &corpus.references()).unwrap();
            assert!((got.score - corpus.bleu).abs() < 1e-6, "{}: {got:?}, not {}", corpus.name, corpus.bleu);
        }
    }

    #[test]
    fn refuses_what_does_not_pair_up() {
        let none: Vec<Vec<&str>> = vec![vec!["a"], vec![]];
        assert!(matches!(bleu(&["a", "b"], &none), Err(EvalError::NoReference { segment: 1 })));
        assert!(matches!(bleu(&["a"], &none), Err(EvalError::Count { hypotheses: 1, references: 2 })));
    }

    #[test]
    fn an_empty_corpus_scores_nothing() {
        assert_eq!(bleu::<&str, &str>(&[], &[]).unwrap().score, 0.0);
    }
}
