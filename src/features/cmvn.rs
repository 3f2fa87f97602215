//! Cepstral mean and variance normalisation (CMVN) with global statistics: frames to frames of mean 0 and deviation 1.
//!
//! Invariant: the statistics come from the training data and never from the stream, which would not be causal.

use serde::{Deserialize, Serialize};

use super::FeatureError;

/// A band that hardly moved in the training data must not be blown up when it moves in use. Log energies of speech
/// have deviations of 2 to 4.
const MIN_STD: f64 = 0.1;

/// Statistics of each band; the bundle's `cmvn.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Cmvn {
    mean: Vec<f32>,
    inv_std: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    mean: Vec<f32>,
    inv_std: Vec<f32>,
}

impl TryFrom<Unchecked> for Cmvn {
    type Error = FeatureError;

    fn try_from(Unchecked { mean, inv_std }: Unchecked) -> Result<Self, FeatureError> {
        Self::new(mean, inv_std)
    }
}

impl Cmvn {
    /// Statistics of `num_mel_bins` bands: means and inverse standard deviations.
    ///
    /// # Errors
    /// If the lengths differ or are zero, a value is not finite, or an inverse deviation is not above zero.
    pub fn new(mean: Vec<f32>, inv_std: Vec<f32>) -> Result<Self, FeatureError> {
        if mean.is_empty() || mean.len() != inv_std.len() {
            return Err(FeatureError::StatisticsLength { mean: mean.len(), inv_std: inv_std.len() });
        }
        for (bin, (&mean, &inv_std)) in mean.iter().zip(&inv_std).enumerate() {
            if !(mean.is_finite() && inv_std.is_finite() && inv_std > 0.0) {
                return Err(FeatureError::StatisticsValue { bin, mean, inv_std });
            }
        }
        Ok(Self { mean, inv_std })
    }

    /// Bands in a frame.
    pub fn num_mel_bins(&self) -> usize {
        self.mean.len()
    }

    /// Normalises whole frames in place, row-major `(n, num_mel_bins)`; nothing happens to an empty slice.
    pub fn apply(&self, frames: &mut [f32]) {
        debug_assert_eq!(frames.len() % self.num_mel_bins(), 0, "frames are whole rows");
        for row in frames.chunks_mut(self.num_mel_bins()) {
            for ((value, mean), inv_std) in row.iter_mut().zip(&self.mean).zip(&self.inv_std) {
                *value = (*value - mean) * inv_std;
            }
        }
    }
}

/// Gathers the statistics of a training set in `f64`.
#[derive(Debug, Clone)]
pub struct CmvnAccumulator {
    num_frames: u64,
    sum: Vec<f64>,
    sum_of_squares: Vec<f64>,
}

impl CmvnAccumulator {
    /// An accumulator that has seen no frame of `num_mel_bins` bands.
    pub fn new(num_mel_bins: usize) -> Self {
        Self { num_frames: 0, sum: vec![0.0; num_mel_bins], sum_of_squares: vec![0.0; num_mel_bins] }
    }

    /// Adds whole frames, row-major `(n, num_mel_bins)`.
    pub fn accept(&mut self, frames: &[f32]) {
        let num_mel_bins = self.sum.len().max(1);
        debug_assert_eq!(frames.len() % num_mel_bins, 0, "frames are whole rows");
        for row in frames.chunks_exact(num_mel_bins) {
            self.num_frames += 1;
            for ((sum, squares), &value) in self.sum.iter_mut().zip(&mut self.sum_of_squares).zip(row) {
                *sum += f64::from(value);
                *squares += f64::from(value) * f64::from(value);
            }
        }
    }

    /// The statistics of everything seen. Deviations (of the population) are floored at 0.1.
    ///
    /// # Errors
    /// If no frame was seen, or one was not finite.
    pub fn finish(&self) -> Result<Cmvn, FeatureError> {
        if self.num_frames == 0 {
            return Err(FeatureError::NoFrames);
        }
        let count = self.num_frames as f64;
        let mean: Vec<f64> = self.sum.iter().map(|sum| sum / count).collect();
        let inv_std = self.sum_of_squares.iter().zip(&mean).map(|(squares, mean)| {
            let variance = squares / count - mean * mean;
            (1.0 / variance.max(MIN_STD * MIN_STD).sqrt()) as f32
        });
        Cmvn::new(mean.iter().map(|&mean| mean as f32).collect(), inv_std.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_what_it_was_computed_from() {
        let mut accumulator = CmvnAccumulator::new(2);
        accumulator.accept(&[1.0, -5.0, 3.0, -5.0]);
        accumulator.accept(&[]);
        accumulator.accept(&[5.0, -5.0]);
        let cmvn = accumulator.finish().unwrap();
        let mut frames = [1.0, -5.0, 3.0, -5.0, 5.0, -4.9];
        cmvn.apply(&mut frames);
        let deviation = (8.0_f32 / 3.0).sqrt();
        // The second band never moved: its deviation counts as 0.1.
        let expected = [-2.0 / deviation, 0.0, 0.0, 0.0, 2.0 / deviation, 1.0];
        for (got, want) in frames.iter().zip(expected) {
            assert!((got - want).abs() < 1e-5, "{got} is not {want}");
        }
    }

    #[test]
    fn survives_json() {
        let cmvn = Cmvn::new(vec![1.5, -2.25], vec![0.1, 3.0]).unwrap();
        let json = serde_json::to_string(&cmvn).unwrap();
        assert_eq!(json, r#"{"mean":[1.5,-2.25],"inv_std":[0.1,3.0]}"#);
        assert_eq!(serde_json::from_str::<Cmvn>(&json).unwrap(), cmvn);
    }

    #[test]
    fn refuses_statistics_that_make_no_sense() {
        let refused = |json: &str| serde_json::from_str::<Cmvn>(json).unwrap_err().to_string();
        assert!(refused(r#"{"mean":[],"inv_std":[]}"#).contains("0 means"));
        assert!(refused(r#"{"mean":[1.0],"inv_std":[1.0,2.0]}"#).contains("2 inverse"));
        assert!(refused(r#"{"mean":[1.0],"inv_std":[0.0]}"#).contains("bin 0"));
        assert_eq!(CmvnAccumulator::new(80).finish().unwrap_err(), FeatureError::NoFrames);
        let mut accumulator = CmvnAccumulator::new(1);
        accumulator.accept(&[f32::NAN]);
        assert!(matches!(accumulator.finish(), Err(FeatureError::StatisticsValue { bin: 0, .. })));
    }
}
