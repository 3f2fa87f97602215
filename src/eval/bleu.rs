//! Hypotheses and references to BLEU (Papineni et al. 2002), as sacrebleu computes it by default (Post 2018): the whole
//! corpus, cased, tokenizer `13a`, exponential smoothing.
//!
//! Invariant: counts are summed over the corpus before anything is divided; the score is no mean over segments.

use std::collections::HashMap;

use serde::Serialize;

use super::{EvalError, pair, tokenize::tokenize_13a};

const MAX_ORDER: usize = 4;

/// A corpus score and what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bleu {
    /// 0 to 100.
    pub score: f64,
    /// In percent, of n-grams of 1 to 4 words, smoothed.
    pub precisions: [f64; MAX_ORDER],
    /// 1, or less if the hypotheses are shorter than the references.
    pub brevity_penalty: f64,
    /// Words in all hypotheses.
    pub hypothesis_words: usize,
    /// Words in the references that come closest in length, the shorter of two.
    pub reference_words: usize,
}

/// Scores a corpus. Each segment has one or more references; a missing one is simply left out of its list. The score
/// is 0 for an empty corpus, for one without a single common word, and for one without any sentence of four words.
///
/// # Errors
/// If the numbers of segments differ or a segment has no reference.
pub fn bleu<H: AsRef<str>, R: AsRef<str>>(hypotheses: &[H], references: &[Vec<R>]) -> Result<Bleu, EvalError> {
    let mut counts = Counts::default();
    for (hypothesis, references) in pair(hypotheses, references)? {
        counts.add_segment(&tokenize_13a(hypothesis), references.map(tokenize_13a).collect());
    }
    Ok(counts.score())
}

#[derive(Default)]
struct Counts {
    matches: [usize; MAX_ORDER],
    totals: [usize; MAX_ORDER],
    hypothesis_words: usize,
    reference_words: usize,
}

impl Counts {
    fn add_segment(&mut self, hypothesis: &str, references: Vec<String>) {
        let hypothesis: Vec<&str> = hypothesis.split_whitespace().collect();
        let references: Vec<Vec<&str>> = references.iter().map(|line| line.split_whitespace().collect()).collect();
        let lengths = references.iter().map(Vec::len);
        self.hypothesis_words += hypothesis.len();
        self.reference_words += lengths.min_by_key(|&len| (len.abs_diff(hypothesis.len()), len)).unwrap_or(0);
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
                self.totals[order - 1] += count;
                self.matches[order - 1] += count.min(allowed.get(ngram).copied().unwrap_or(0));
            }
        }
    }

    fn score(&self) -> Bleu {
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
        Bleu {
            score: brevity_penalty * mean_log.exp(),
            precisions,
            brevity_penalty,
            hypothesis_words: self.hypothesis_words,
            reference_words: self.reference_words,
        }
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
