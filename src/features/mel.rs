//! Power spectrum to mel-band energies: Kaldi's triangular filters, equally wide on the mel scale.
//!
//! Invariant: every filter holds at least one spectral bin, so no band is silent by construction.

use super::FeatureError;

/// Lower edge of the first filter; below it a microphone delivers hum, not speech.
const LOW_HZ: f64 = 20.0;

/// The bank: for each filter the first spectral bin it touches, and its weights from there.
#[derive(Debug, Clone)]
pub(super) struct MelBank {
    filters: Vec<(usize, Vec<f32>)>,
}

impl MelBank {
    /// Filters from 20 Hz to the Nyquist frequency over a spectrum of `fft_len / 2 + 1` bins.
    pub(super) fn new(num_mel_bins: usize, fft_len: usize, sample_rate_hz: u32) -> Result<Self, FeatureError> {
        let (low, high) = (mel(LOW_HZ), mel(f64::from(sample_rate_hz) / 2.0));
        let width = (high - low) / (num_mel_bins + 1) as f64;
        let bin_hz = f64::from(sample_rate_hz) / fft_len as f64;
        // Kaldi leaves the Nyquist bin out.
        let bins: Vec<f64> = (0..fft_len / 2).map(|bin| mel(bin as f64 * bin_hz)).collect();
        let filter = |index: usize| {
            let left = low + index as f64 * width;
            let inside = |bin: &f64| *bin > left && *bin < left + 2.0 * width;
            let first =
                bins.iter().position(inside).ok_or(FeatureError::EmptyFilter { num_mel_bins, filter: index })?;
            let weights = bins[first..].iter().take_while(|bin| inside(bin));
            Ok((first, weights.map(|bin| (1.0 - (bin - left - width).abs() / width) as f32).collect()))
        };
        Ok(Self { filters: (0..num_mel_bins).map(filter).collect::<Result<_, _>>()? })
    }

    /// Energies of all filters, `num_mel_bins` of them, for the power of each spectral bin.
    pub(super) fn energies<'a>(&'a self, power: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        self.filters.iter().map(|(first, weights)| weights.iter().zip(&power[*first..]).map(|(w, p)| w * p).sum())
    }
}

/// For each filter the place, in filters from 0, of `factor` times its centre's frequency: a voice whose throat is so much
/// shorter has there what this one has here. Above 4.8 kHz (or its image) the scale is straightened so that the Nyquist
/// frequency stays where it is (Jaitly & Hinton 2013, eq. 1). Places lie within the bank.
pub(super) fn warped_bins(num_mel_bins: usize, sample_rate_hz: u32, factor: f64) -> Vec<f64> {
    const STRAIGHT_HZ: f64 = 4800.0;
    let nyquist = f64::from(sample_rate_hz) / 2.0;
    let (low, high) = (mel(LOW_HZ), mel(nyquist));
    let width = (high - low) / (num_mel_bins + 1) as f64;
    let image = STRAIGHT_HZ.min(nyquist / 2.0) * factor.min(1.0);
    let knee = image / factor;
    let place = |index: usize| {
        let hz = 700.0 * (((low + (index + 1) as f64 * width) / 1127.0).exp() - 1.0);
        let warped =
            if hz <= knee { hz * factor } else { nyquist - (nyquist - image) / (nyquist - knee) * (nyquist - hz) };
        ((mel(warped) - low) / width - 1.0).clamp(0.0, num_mel_bins.saturating_sub(1) as f64)
    };
    (0..num_mel_bins).map(place).collect()
}

/// Frequency on the mel scale, O'Shaughnessy's formula with the natural logarithm, as in HTK and Kaldi.
fn mel(hz: f64) -> f64 {
    1127.0 * (1.0 + hz / 700.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_filters_share_each_bin_fully() {
        let bank = MelBank::new(80, 512, 16_000).unwrap();
        // Between the centres of the first and the last filter the triangles add up to one.
        for bin in 4..240 {
            let mut power = vec![0.0; 257];
            power[bin] = 1.0;
            let total: f32 = bank.energies(&power).sum();
            assert!((total - 1.0).abs() < 1e-5, "bin {bin}: {total}");
        }
    }

    #[test]
    fn a_warp_moves_the_formants_and_keeps_the_edges() {
        for place in warped_bins(80, 16_000, 1.0).iter().enumerate().map(|(bin, place)| place - bin as f64) {
            assert!(place.abs() < 1e-9);
        }
        for factor in [0.88, 1.14] {
            let places = warped_bins(80, 16_000, factor);
            assert!(places.is_sorted());
            assert!((places[79] - 79.0).abs() < 1.0, "{}", places[79]);
            // Filter 40 of 80 lies at 1.8 kHz: a factor is a shift on the mel scale there.
            let centre = |bin: f64| mel(20.0) + (bin + 1.0) * (mel(8000.0) - mel(20.0)) / 81.0;
            let hz = |mel: f64| 700.0 * ((mel / 1127.0).exp() - 1.0);
            assert!((hz(centre(places[40])) / hz(centre(40.0)) - factor).abs() < 1e-6);
        }
    }

    #[test]
    fn refuses_filters_narrower_than_the_spectrum() {
        let error = MelBank::new(400, 512, 16_000).unwrap_err();
        assert_eq!(error, FeatureError::EmptyFilter { num_mel_bins: 400, filter: 0 });
    }
}
