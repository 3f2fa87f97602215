//! Translations, transcripts and their delays to scores: quality by [`bleu`], [`chrf`] and [`wer`], latency by
//! [`latency`] over the [`Instance`]s of a run.
//!
//! Invariant: the scores are those of sacrebleu and SimulEval for the same input; the tests hold them to stored values.

mod bleu;
mod chrf;
mod estimate;
mod instance;
mod latency;
mod report;
mod tokenize;
mod wer;

pub use bleu::bleu;
pub use chrf::chrf;
pub use estimate::Estimate;
pub use instance::{Instance, read_instances, write_instances};
pub use latency::{Clock, Latency, latency, mean_latency};
pub use report::{Clip, Scores, table};
pub use wer::wer;

use thiserror::Error;

/// Why something cannot be scored.
#[derive(Debug, Error)]
pub enum EvalError {
    /// Hypotheses and references do not pair up.
    #[error("there are {hypotheses} hypotheses for {references} segments with references, there must be as many")]
    Count {
        /// Number of hypotheses.
        hypotheses: usize,
        /// Number of segments with references.
        references: usize,
    },
    /// A segment has nothing to be compared with.
    #[error("segment {segment} has no reference, it needs at least one")]
    NoReference {
        /// Its number, from 0.
        segment: usize,
    },
    /// A line of an instance log is not an instance.
    #[error("line {line} of the instance log")]
    Instance {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An instance log cannot be read or written.
    #[error("instance log")]
    Io(#[from] std::io::Error),
}

/// Pairs hypotheses with the references of their segments.
fn pair<'a, H: AsRef<str>, R: AsRef<str>>(
    hypotheses: &'a [H],
    references: &'a [Vec<R>],
) -> Result<impl Iterator<Item = (&'a str, impl Iterator<Item = &'a str>)>, EvalError> {
    if hypotheses.len() != references.len() {
        return Err(EvalError::Count { hypotheses: hypotheses.len(), references: references.len() });
    }
    if let Some(segment) = references.iter().position(Vec::is_empty) {
        return Err(EvalError::NoReference { segment });
    }
    let pairs = hypotheses.iter().zip(references);
    Ok(pairs.map(|(hypothesis, references)| (hypothesis.as_ref(), references.iter().map(AsRef::as_ref))))
}

/// What sacrebleu says of the same corpora.
#[cfg(test)]
mod fixture {
    use serde::Deserialize;

    #[derive(Deserialize)]
    pub(super) struct Text {
        pub(super) tokenized_13a: Vec<(String, String)>,
        pub(super) corpora: Vec<Corpus>,
    }

    #[derive(Deserialize)]
    pub(super) struct Corpus {
        pub(super) name: String,
        pub(super) hypotheses: Vec<String>,
        references: Vec<Vec<Option<String>>>,
        pub(super) bleu: f64,
        pub(super) chrf: f64,
    }

    impl Corpus {
        pub(super) fn references(&self) -> Vec<Vec<String>> {
            self.references.iter().map(|references| references.iter().flatten().cloned().collect()).collect()
        }
    }

    pub(super) fn text() -> Text {
        serde_json::from_str(include_str!("../../tests/fixtures/eval/text.json")).unwrap()
    }
}
