//! SpecAugment (Park et al. 2019, arXiv 1904.08779 §2): hides a band of mel bins and stretches of time.
//!
//! Frames are normalised, so hiding means zero, the mean. Time warping is left out: speed is changed on the samples.

use rand::Rng;

/// How much is hidden.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpecAugment {
    /// Widest band of bins (F = 27 in the paper's LD policy).
    pub max_bins: usize,
    /// Longest stretch, in frames.
    pub max_frames: usize,
    /// One stretch for so many frames of input.
    pub frames_per_mask: usize,
}

impl Default for SpecAugment {
    /// F = 27 once; stretches of up to 0.3 s, one every 1.5 s: the paper's 1 s would swallow a short sentence.
    fn default() -> Self {
        Self { max_bins: 27, max_frames: 30, frames_per_mask: 150 }
    }
}

impl SpecAugment {
    /// Hides parts of row-major frames `(T, num_mel_bins)` in place. T = 0 is left alone.
    pub fn apply(&self, frames: &mut [f32], num_mel_bins: usize, rng: &mut impl Rng) {
        let length = frames.len() / num_mel_bins;
        let band = rng.random_range(0..=self.max_bins.min(num_mel_bins));
        let low = rng.random_range(0..=num_mel_bins - band);
        for frame in frames.chunks_exact_mut(num_mel_bins) {
            frame[low..low + band].fill(0.0);
        }
        for _ in 0..length.div_ceil(self.frames_per_mask) {
            let width = rng.random_range(0..=self.max_frames.min(length / 5));
            let start = rng.random_range(0..=length - width);
            frames[start * num_mel_bins..(start + width) * num_mel_bins].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::SmallRng};

    #[test]
    fn hides_some_but_never_most() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut hidden = 0;
        for _ in 0..50 {
            let mut frames = vec![1.0; 200 * 80];
            SpecAugment::default().apply(&mut frames, 80, &mut rng);
            let zeros = frames.iter().filter(|x| **x == 0.0).count();
            assert!(zeros < frames.len() * 3 / 5);
            hidden += zeros;
        }
        assert!(hidden > 0);
    }

    #[test]
    fn takes_any_length() {
        let mut rng = SmallRng::seed_from_u64(1);
        for length in 0..6 {
            SpecAugment::default().apply(&mut vec![1.0; length * 80], 80, &mut rng);
        }
    }
}
