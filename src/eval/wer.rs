//! Transcripts to word error rates.
//!
//! Invariant: words are compared as they are; whoever wants case and punctuation ignored normalises both sides first.

use std::iter::Sum;

use super::{Estimate, EvalError};

/// Errors in a hundred reference words; words are separated by white space. 0 is perfect, and insertions may bring it
/// above 100. Without reference words it is 0 if there are no errors either, and infinite otherwise.
///
/// # Errors
/// If the numbers of segments differ.
pub fn wer<H: AsRef<str>, R: AsRef<str>>(hypotheses: &[H], references: &[R]) -> Result<Estimate, EvalError> {
    if hypotheses.len() != references.len() {
        return Err(EvalError::Count { hypotheses: hypotheses.len(), references: references.len() });
    }
    let pairs = hypotheses.iter().zip(references);
    let segments: Vec<_> = pairs.map(|(heard, said)| WordErrors::of(heard.as_ref(), said.as_ref())).collect();
    Ok(Estimate::of(&segments, WordErrors::percent))
}

#[derive(Default)]
struct WordErrors {
    /// Fewest substitutions, deletions and insertions that turn the hypothesis into the reference.
    errors: usize,
    reference_words: usize,
}

impl WordErrors {
    fn of(hypothesis: &str, reference: &str) -> Self {
        let hypothesis: Vec<&str> = hypothesis.split_whitespace().collect();
        let reference: Vec<&str> = reference.split_whitespace().collect();
        Self { errors: levenshtein(&hypothesis, &reference), reference_words: reference.len() }
    }

    fn percent(&self) -> f64 {
        match self.errors {
            0 => 0.0,
            errors => 100.0 * errors as f64 / self.reference_words as f64,
        }
    }
}

impl<'a> Sum<&'a WordErrors> for WordErrors {
    fn sum<I: Iterator<Item = &'a WordErrors>>(segments: I) -> Self {
        segments.fold(Self::default(), |sum, segment| Self {
            errors: sum.errors + segment.errors,
            reference_words: sum.reference_words + segment.reference_words,
        })
    }
}

/// Edit distance, one row of the table at a time.
fn levenshtein(hypothesis: &[&str], reference: &[&str]) -> usize {
    let mut row: Vec<usize> = (0..=reference.len()).collect();
    for (i, word) in hypothesis.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, expected) in reference.iter().enumerate() {
            let substituted = diagonal + usize::from(word != expected);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[reference.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(hypothesis: &str, reference: &str) -> usize {
        WordErrors::of(hypothesis, reference).errors
    }

    #[test]
    fn counts_each_kind_of_error() {
        assert_eq!(errors("the cat sat", "the cat sat"), 0);
        assert_eq!(errors("the hat sat", "the cat sat"), 1, "a substitution");
        assert_eq!(errors("the sat", "the cat sat"), 1, "a deletion");
        assert_eq!(errors("the big cat sat", "the cat sat"), 1, "an insertion");
        assert_eq!(errors("cat the sat on", "the cat sat"), 3);
        assert_eq!(errors("", "the cat sat"), 3);
        assert_eq!(errors("the cat sat", ""), 3);
    }

    #[test]
    fn the_rate_is_of_the_whole_corpus() {
        assert_eq!(wer(&["a b c", "x"], &["a b d", ""]).unwrap().score, 200.0 / 3.0);
        assert_eq!(wer::<&str, &str>(&[], &[]).unwrap().score, 0.0);
        assert_eq!(wer(&["a"], &[""]).unwrap().score, f64::INFINITY);
        assert!(matches!(wer::<&str, &str>(&["a"], &[]), Err(EvalError::Count { .. })));
    }
}
