//! Another throat and another microphone, on log filterbank energies.
//!
//! Vocal tract length perturbation (Jaitly & Hinton 2013, "Vocal tract length perturbation (VTLP) improves speech
//! recognition", §3) reads each frame at other frequencies; a random smooth gain over the bins is what a microphone, its
//! place and a loudspeaker do to a recording. Both keep what is said, and cost next to nothing.

use rand::Rng;

use crate::features::FbankConfig;

/// Factors on all frequencies: wider than from a woman to a man makes caricatures.
const WARP: (f64, f64) = (0.88, 1.14);
/// Largest gain or loss at any bin, as a natural logarithm of energy: 6 dB.
const MAX_GAIN: f32 = 1.38;
/// Bins that draw a gain of their own; those between take a mean by distance.
const KNOTS: usize = 6;

/// Varies row-major log energies `(T, num_mel_bins)` in place, all frames alike. T = 0 is left alone.
pub(super) fn vary(frames: &mut [f32], config: &FbankConfig, rng: &mut impl Rng) {
    let sources = config.warped_bins(rng.random_range(WARP.0..WARP.1));
    let knots: [f32; KNOTS] = std::array::from_fn(|_| rng.random_range(-MAX_GAIN..MAX_GAIN));
    let last = sources.len().saturating_sub(1).max(1) as f64;
    let gain = |bin: u32| between(&knots, f64::from(bin) / last * (KNOTS - 1) as f64);
    let plan: Vec<(f64, f32)> = (0..).zip(&sources).map(|(bin, &source)| (source, gain(bin))).collect();
    let mut row = vec![0.0; sources.len()];
    for frame in frames.chunks_exact_mut(sources.len().max(1)) {
        row.copy_from_slice(frame);
        for (value, &(source, gain)) in frame.iter_mut().zip(&plan) {
            *value = between(&row, source) + gain;
        }
    }
}

/// The value at a place between two others, which counts from 0 and may lie beyond the ends.
fn between(values: &[f32], place: f64) -> f32 {
    let place = place.clamp(0.0, (values.len() - 1) as f64);
    let (low, share) = (place.floor() as usize, place.fract() as f32);
    let high = (low + 1).min(values.len() - 1);
    values[low] * (1.0 - share) + values[high] * share
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn all_frames_are_varied_alike_and_moderately() {
        let config = FbankConfig::default();
        let mut rng = SmallRng::seed_from_u64(4);
        let slope: Vec<f32> = (0..80).map(|bin| bin as f32 / 8.0).collect();
        for _ in 0..50 {
            let mut frames = [slope.clone(), slope.clone()].concat();
            vary(&mut frames, &config, &mut rng);
            assert_eq!(frames[..80], frames[80..]);
            let furthest = frames.iter().zip(&slope).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // A warp of 14 % is 4.5 bins at most, here 0.6.
            assert!(furthest > 0.01 && furthest < MAX_GAIN + 0.7, "{furthest}");
        }
        vary(&mut [], &config, &mut rng);
    }

    #[test]
    fn between_two_values_lies_their_mean() {
        assert_eq!(
            [-1.0, 0.0, 0.5, 1.75, 9.0].map(|place| between(&[2.0, 4.0, 8.0], place)),
            [2.0, 2.0, 3.0, 7.0, 8.0]
        );
    }
}
