//! Interleaved channels → mono, by the mean of all channels.
//!
//! Invariant: one sample out for each whole frame of channels in, so time is kept; mono passes unchanged.

/// Appends the mean of each group of `channels` interleaved samples to `mono`. An incomplete last group is left out; zero
/// channels give nothing.
pub fn downmix(interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
    match channels {
        0 => {}
        1 => mono.extend_from_slice(interleaved),
        _ => {
            let scale = 1.0 / channels as f32;
            mono.extend(interleaved.chunks_exact(channels).map(|group| group.iter().sum::<f32>() * scale));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::downmix;

    #[test]
    fn takes_the_mean_of_whole_groups() {
        let mut mono = vec![9.0];
        downmix(&[1.0, 0.0, -0.5, -0.5, 0.25], 2, &mut mono);
        assert_eq!(mono, [9.0, 0.5, -0.5]);
        downmix(&[0.1, 0.2], 1, &mut mono);
        assert_eq!(mono[3..], [0.1, 0.2]);
        downmix(&[0.3, 0.6, 0.9], 3, &mut mono);
        assert!((mono[5] - 0.6).abs() < 1e-6);
        downmix(&[1.0], 0, &mut mono);
        assert_eq!(mono.len(), 6);
    }
}
