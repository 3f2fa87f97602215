//! Transcripts to word error rates.
//!
//! Invariant: words are compared as they are; whoever wants case and punctuation ignored normalises both sides first.

use serde::Serialize;

use super::EvalError;

/// Errors of a corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WordErrors {
    /// Fewest substitutions, deletions and insertions that turn the hypotheses into the references.
    pub errors: usize,
    /// Words in the references.
    pub reference_words: usize,
}

impl WordErrors {
    /// Errors a reference word: 0 is perfect, and insertions may bring it above 1. Without reference words it is 0 if
    /// there are no errors either, and infinite otherwise.
    pub fn rate(&self) -> f64 {
        match self.errors {
            0 => 0.0,
            errors => errors as f64 / self.reference_words as f64,
        }
    }
}

/// Counts the word errors of a corpus; words are separated by white space.
///
/// # Errors
/// If the numbers of segments differ.
pub fn wer<H: AsRef<str>, R: AsRef<str>>(hypotheses: &[H], references: &[R]) -> Result<WordErrors, EvalError> {
    if hypotheses.len() != references.len() {
        return Err(EvalError::Count { hypotheses: hypotheses.len(), references: references.len() });
    }
    let mut total = WordErrors::default();
    for (hypothesis, reference) in hypotheses.iter().zip(references) {
        let hypothesis: Vec<&str> = hypothesis.as_ref().split_whitespace().collect();
        let reference: Vec<&str> = reference.as_ref().split_whitespace().collect();
        total.errors += levenshtein(&hypothesis, &reference);
        total.reference_words += reference.len();
    }
    Ok(total)
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
        wer(&[hypothesis], &[reference]).unwrap().errors
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
        let total = wer(&["a b c", "x"], &["a b d", ""]).unwrap();
        assert_eq!(total, WordErrors { errors: 2, reference_words: 3 });
        assert_eq!(total.rate(), 2.0 / 3.0);
        assert_eq!(WordErrors::default().rate(), 0.0);
        assert_eq!(wer(&["a"], &[""]).unwrap().rate(), f64::INFINITY);
        assert!(matches!(wer::<&str, &str>(&["a"], &[]), Err(EvalError::Count { .. })));
    }
}
