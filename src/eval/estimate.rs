//! A corpus score and how far chance may have moved it: the bootstrap over segments of Koehn 2004 ("Statistical
//! significance tests for machine translation evaluation", §3).
//!
//! Invariant: the same segments give the same interval, on any machine and in any run.

use std::iter::Sum;

use rand::{Rng, SeedableRng, rngs::StdRng};

const RESAMPLES: usize = 1000;
const SEED: u64 = 12345;

/// A score of a corpus, and the interval that holds 95 % of the scores of corpora drawn from the same segments. Two systems
/// whose intervals overlap may still differ for certain: their segments are the same, which the interval does not know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Of the corpus itself.
    pub score: f64,
    /// 2.5th and 97.5th percentile; the score twice where there is no segment.
    pub interval: [f64; 2],
}

impl Estimate {
    /// Scores the sum of what was counted in each segment, and of as many segments drawn with replacement.
    pub(super) fn of<'a, C: Sum<&'a C>>(segments: &'a [C], score: impl Fn(&C) -> f64) -> Self {
        let whole = score(&segments.iter().sum());
        if segments.is_empty() {
            return Self { score: whole, interval: [whole; 2] };
        }
        let mut rng = StdRng::seed_from_u64(SEED);
        let resample = |_| score(&(0..segments.len()).map(|_| &segments[rng.random_range(0..segments.len())]).sum());
        let mut scores: Vec<f64> = (0..RESAMPLES).map(resample).collect();
        scores.sort_by(f64::total_cmp);
        Self { score: whole, interval: [scores[RESAMPLES * 25 / 1000], scores[RESAMPLES * 975 / 1000 - 1]] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64]) -> Estimate {
        Estimate::of(values, |sum| sum / values.len().max(1) as f64)
    }

    #[test]
    fn the_interval_of_a_mean_is_what_theory_says() {
        let coin: Vec<f64> = (0..400).map(|toss| f64::from(toss % 2)).collect();
        let Estimate { score, interval: [low, high] } = mean(&coin);
        // A standard error of 0.5 / √400.
        assert_eq!(score, 0.5);
        assert!(
            (low - (0.5 - 1.96 * 0.025)).abs() < 0.006 && (high - (0.5 + 1.96 * 0.025)).abs() < 0.006,
            "{low} {high}"
        );
        assert_eq!(mean(&coin), mean(&coin));
    }

    #[test]
    fn nothing_and_no_difference_have_no_width() {
        assert_eq!(mean(&[]), Estimate { score: 0.0, interval: [0.0; 2] });
        assert_eq!(mean(&[3.0; 7]), Estimate { score: 3.0, interval: [3.0; 2] });
    }
}
