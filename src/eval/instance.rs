//! Lines of SimulEval's `instances.log` to [`Instance`]s and back: one JSON object a line.
//!
//! Invariant: what SimulEval wrote we can score, and what we write SimulEval can score (`simuleval --score-only`).

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EvalError;

/// One translated recording: what was said and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Number of the recording in its set, from 0.
    pub index: usize,
    /// The whole translation, words separated by single spaces.
    pub prediction: String,
    /// For each word of the prediction, how much of the source had been consumed when it was committed.
    #[serde(rename = "delays")]
    pub delays_ms: Vec<f64>,
    /// For each word of the prediction, the time since the first sample when it was committed, computing included.
    #[serde(rename = "elapsed", default)]
    pub elapsed_ms: Vec<f64>,
    /// Words in the prediction.
    pub prediction_length: usize,
    /// The reference translation.
    #[serde(default)]
    pub reference: String,
    /// How SimulEval describes the source: lines about the audio file, or a path. Nothing is computed from it.
    #[serde(default)]
    pub source: Value,
    /// Duration of the source.
    #[serde(rename = "source_length")]
    pub source_ms: f64,
}

impl Instance {
    /// Words in the reference as SimulEval counts them: by single spaces, so that an empty reference has one.
    pub fn reference_words(&self) -> usize {
        self.reference.split(' ').count()
    }
}

/// Reads a log; empty lines are skipped, unknown keys ignored.
///
/// # Errors
/// If reading fails, or at the first line that is not an instance.
pub fn read_instances(log: impl BufRead) -> Result<Vec<Instance>, EvalError> {
    let mut instances = Vec::new();
    for (line, text) in (1..).zip(log.lines()) {
        let text = text?;
        if !text.trim().is_empty() {
            instances.push(serde_json::from_str(&text).map_err(|source| EvalError::Instance { line, source })?);
        }
    }
    Ok(instances)
}

/// Writes a log.
///
/// # Errors
/// If writing fails.
pub fn write_instances(mut log: impl Write, instances: &[Instance]) -> Result<(), EvalError> {
    for instance in instances {
        let line = serde_json::to_string(instance).map_err(std::io::Error::from)?;
        writeln!(log, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const LOG: &str = include_str!("../../tests/fixtures/eval/instances.log");

    pub(in crate::eval) fn instances() -> Vec<Instance> {
        read_instances(LOG.as_bytes()).unwrap()
    }

    #[test]
    fn reads_what_simuleval_wrote() {
        let instances = instances();
        assert_eq!(instances.len(), 6);
        assert_eq!(instances[1].prediction, "w0 w1 w2 w3");
        assert_eq!(instances[1].delays_ms, [640.0, 960.0, 2875.125, 2875.125]);
        assert_eq!(instances[1].source_ms, 2875.125);
        assert_eq!(instances[1].reference_words(), 8);
        assert_eq!(instances[1].source[0], "clip1.wav");
    }

    #[test]
    fn writes_what_it_read() {
        let mut written = Vec::new();
        write_instances(&mut written, &instances()).unwrap();
        let lines = |log: &str| -> Vec<Value> { log.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
        assert_eq!(lines(&String::from_utf8(written).unwrap()), lines(LOG));
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        let error = read_instances("\n{\"index\": 0}\n".as_bytes()).unwrap_err();
        assert!(matches!(error, EvalError::Instance { line: 2, .. }), "{error}");
        assert!(read_instances("".as_bytes()).unwrap().is_empty());
    }
}
