//! Hypotheses and references to chrF2 (Popović 2015), as sacrebleu computes it by default: n-grams of 1 to 6 characters
//! without white space, no word n-grams, recall weighted twice, cased.
//!
//! Invariant: with several references a segment counts with the one that suits it best, and only that.

use std::collections::HashMap;
use std::iter::Sum;

use super::{Estimate, EvalError, pair};

const MAX_ORDER: usize = 6;
const BETA: f64 = 2.0;

/// Scores a corpus from 0 to 100. Each segment has one or more references; a missing one is simply left out of its
/// list. An empty corpus scores 0.
///
/// # Errors
/// If the numbers of segments differ or a segment has no reference.
pub fn chrf<H: AsRef<str>, R: AsRef<str>>(hypotheses: &[H], references: &[Vec<R>]) -> Result<Estimate, EvalError> {
    let mut segments = Vec::with_capacity(hypotheses.len());
    for (hypothesis, references) in pair(hypotheses, references)? {
        let hypothesis = visible(hypothesis);
        let candidates = references.map(|reference| Orders::of(&hypothesis, &visible(reference)));
        // The first of equals, as sacrebleu takes it.
        let best = candidates.reduce(|best, next| if next.f_score() > best.f_score() { next } else { best });
        segments.push(best.unwrap_or_default());
    }
    Ok(Estimate::of(&segments, Orders::f_score))
}

/// Numbers of n-grams of one order.
#[derive(Clone, Copy, Default)]
struct Counts {
    hypothesis: usize,
    reference: usize,
    matches: usize,
}

/// Numbers of n-grams of 1 to 6 letters.
#[derive(Default)]
struct Orders([Counts; MAX_ORDER]);

impl<'a> Sum<&'a Orders> for Orders {
    fn sum<I: Iterator<Item = &'a Orders>>(segments: I) -> Self {
        segments.fold(Self::default(), |mut sum, segment| {
            for (total, counts) in sum.0.iter_mut().zip(segment.0) {
                total.hypothesis += counts.hypothesis;
                total.reference += counts.reference;
                total.matches += counts.matches;
            }
            sum
        })
    }
}

fn visible(line: &str) -> Vec<char> {
    line.chars().filter(|c| !c.is_whitespace()).collect()
}

impl Orders {
    fn of(hypothesis: &[char], reference: &[char]) -> Self {
        Self(std::array::from_fn(|index| {
            let order = index + 1;
            let in_reference = count_ngrams(reference, order);
            if in_reference.is_empty() {
                return Counts::default();
            }
            let in_hypothesis = count_ngrams(hypothesis, order);
            let matches =
                in_hypothesis.iter().map(|(ngram, count)| in_reference.get(ngram).map_or(0, |n| *n.min(count)));
            Counts {
                hypothesis: in_hypothesis.values().sum(),
                reference: in_reference.values().sum(),
                matches: matches.sum(),
            }
        }))
    }

    /// F-score of the mean precision and the mean recall over the orders that both sides have.
    fn f_score(&self) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        for order in self.0.iter().filter(|counts| counts.hypothesis > 0 && counts.reference > 0) {
            precision += order.matches as f64 / order.hypothesis as f64;
            recall += order.matches as f64 / order.reference as f64;
            orders += 1.0;
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let factor = BETA * BETA;
        100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall) / orders
    }
}

fn count_ngrams(chars: &[char], order: usize) -> HashMap<&[char], usize> {
    let mut counts = HashMap::new();
    for ngram in chars.windows(order) {
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
            let got = chrf(&corpus.hypotheses, &corpus.references()).unwrap();
            assert!((got.score - corpus.chrf).abs() < 1e-6, "{}: {got:?}, not {}", corpus.name, corpus.chrf);
        }
    }

    #[test]
    fn an_empty_corpus_scores_nothing() {
        assert_eq!(chrf::<&str, &str>(&[], &[]).unwrap().score, 0.0);
        assert!(chrf::<&str, &str>(&["a"], &[]).is_err());
    }
}
