//! One frame of samples to a windowed frame, as Kaldi does it: DC removal, pre-emphasis, Povey window.
//!
//! Invariant: a frame is prepared from its own samples only (Kaldi takes the sample before the first to equal the first).

/// First-order high-pass that lifts the weak upper formants; Kaldi's default.
const PREEMPHASIS: f32 = 0.97;

/// Kaldi's window: a Hann window to the power 0.85, which goes to zero at both ends.
pub(super) fn povey_window(len: usize) -> Vec<f32> {
    let step = std::f64::consts::TAU / (len.saturating_sub(1).max(1)) as f64;
    (0..len).map(|i| (0.5 - 0.5 * (step * i as f64).cos()).powf(0.85) as f32).collect()
}

/// Prepares `frame` in place. Both slices have the same length.
pub(super) fn prepare(frame: &mut [f32], window: &[f32]) {
    let mean = frame.iter().sum::<f32>() / frame.len() as f32;
    let mut previous = frame.first().map_or(0.0, |first| first - mean);
    for (sample, weight) in frame.iter_mut().zip(window) {
        let centred = *sample - mean;
        *sample = (centred - PREEMPHASIS * previous) * weight;
        previous = centred;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_is_symmetric_and_vanishes_at_the_ends() {
        let window = povey_window(401);
        assert_eq!(window[0], 0.0);
        assert_eq!(window[200], 1.0);
        for i in 0..200 {
            assert!((window[i] - window[400 - i]).abs() < 1e-6, "sample {i}");
        }
    }

    #[test]
    fn a_constant_frame_becomes_silence() {
        let mut frame = [0.5; 8];
        prepare(&mut frame, &[1.0; 8]);
        assert_eq!(frame, [0.0; 8]);
    }

    #[test]
    fn the_first_sample_is_its_own_predecessor() {
        let mut frame = [3.0, -1.0, 0.0, -2.0];
        prepare(&mut frame, &[1.0; 4]);
        let expected = [3.0 * 0.03, -1.0 - 0.97 * 3.0, 0.97, -2.0];
        for (got, want) in frame.iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{got} is not {want}");
        }
    }
}
