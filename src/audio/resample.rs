//! Samples at one rate → samples at another, by band-limited interpolation with a windowed sinc (rubato).
//!
//! Invariant: the output depends on the samples alone, not on how they were cut into pushes. The filter's delay is taken
//! out: output `i` lies at the time of input `i / ratio`, and the whole output has `round(input * ratio)` samples.

use std::ops::RangeInclusive;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Indexing, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

use super::{AudioError, SAMPLE_RATE_HZ};

/// Sample rates that can be brought to 16 kHz.
pub const RATES_HZ: RangeInclusive<u32> = 8_000..=192_000;

/// Ratios of output to input rate that can be asked for.
const RATIOS: RangeInclusive<f64> = 1.0 / 16.0..=16.0;

/// Filter length in samples of the lower rate.
const SINC_LEN: f64 = 128.0;

/// Resamples one mono stream by a fixed ratio.
#[derive(Debug)]
pub struct Resampler {
    /// None: the rates are equal, samples pass unchanged.
    engine: Option<Async<f32>>,
    ratio: f64,
    /// Input that does not fill a block of the engine yet.
    pending: Vec<f32>,
    /// Where the engine writes one block.
    block: Vec<f32>,
    /// The filter's delay in output samples.
    delay: usize,
    /// What is still to be dropped of it.
    skip: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// From `rate_hz` to 16 kHz. Fails with [`AudioError::Rate`] outside [`RATES_HZ`].
    pub fn new(rate_hz: u32) -> Result<Self, AudioError> {
        if !RATES_HZ.contains(&rate_hz) {
            return Err(AudioError::Rate { rate_hz });
        }
        Self::with_ratio(f64::from(SAMPLE_RATE_HZ) / f64::from(rate_hz))
    }

    /// By any ratio of output to input samples; speaking at 1.1 times the speed is a ratio of 1/1.1.
    /// Fails with [`AudioError::Ratio`] outside 1/16 to 16.
    pub fn with_ratio(ratio: f64) -> Result<Self, AudioError> {
        if !RATIOS.contains(&ratio) {
            return Err(AudioError::Ratio { ratio });
        }
        let engine = if ratio == 1.0 { None } else { Some(engine(ratio)?) };
        let block = vec![0.0; engine.as_ref().map_or(0, |engine| engine.output_frames_max())];
        let delay = delay(ratio);
        Ok(Self { engine, ratio, pending: Vec::new(), block, delay, skip: delay, taken: 0, given: 0 })
    }

    /// Takes samples and appends what is ready to `out`; the last few milliseconds stay until more input or [`finish`].
    ///
    /// [`finish`]: Self::finish
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), AudioError> {
        let Some(engine) = &self.engine else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        let block_len = engine.input_frames_next();
        self.taken += samples.len() as u64;
        self.pending.extend_from_slice(samples);
        let mut start = 0;
        while self.pending.len() - start >= block_len {
            self.run(start, block_len, u64::MAX, out)?;
            start += block_len;
        }
        self.pending.drain(..start);
        Ok(())
    }

    /// Appends the tail to `out`, as if silence followed, and starts anew for the next stream.
    pub fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), AudioError> {
        let total = (self.taken as f64 * self.ratio).round() as u64;
        let mut left = self.pending.len();
        while self.engine.is_some() && self.given < total {
            self.run(0, left, total, out)?;
            left = 0;
        }
        self.reset();
        Ok(())
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.reset();
        }
        self.pending.clear();
        self.skip = self.delay;
        (self.taken, self.given) = (0, 0);
    }

    /// Runs one block of `pending[start..start + len]`, padded with silence, and keeps at most `total` samples in all.
    fn run(&mut self, start: usize, len: usize, total: u64, out: &mut Vec<f32>) -> Result<(), AudioError> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let input = &self.pending[start..start + len];
        let padded = Indexing::new().partial_len(len);
        let block_len = self.block.len();
        let input = InterleavedSlice::new(input, 1, len).map_err(failed)?;
        let mut output = InterleavedSlice::new_mut(&mut self.block, 1, block_len).map_err(failed)?;
        let (_, made) = engine.process_into_buffer(&input, &mut output, Some(&padded)).map_err(failed)?;
        let skip = self.skip.min(made);
        self.skip -= skip;
        let keep = usize::try_from(total - self.given).unwrap_or(usize::MAX).min(made - skip);
        self.given += keep as u64;
        out.extend_from_slice(&self.block[skip..skip + keep]);
        Ok(())
    }
}

/// A sinc interpolator; blocks of about 5 ms keep the added delay small.
fn engine(ratio: f64) -> Result<Async<f32>, AudioError> {
    let block_len = (f64::from(SAMPLE_RATE_HZ) / ratio * 0.005).ceil() as usize;
    let parameters = SincInterpolationParameters::new(sinc_len(ratio), WindowFunction::BlackmanHarris2)
        .oversampling_factor(128)
        .interpolation(SincInterpolationType::Linear);
    Async::new_sinc(ratio, 1.0, &parameters, block_len, 1, FixedAsync::Input).map_err(failed)
}

/// Input samples that the filter spans, in eights as rubato wants them. The band edge then hardly depends on the ratio.
fn sinc_len(ratio: f64) -> usize {
    (SINC_LEN * (1.0 / ratio).max(1.0) / 8.0).ceil() as usize * 8
}

/// Half the filter, less the one output sample that rubato's position is ahead (its own `output_delay` leaves that out);
/// what rounding leaves is below 31 µs at 16 kHz.
fn delay(ratio: f64) -> usize {
    (sinc_len(ratio) as f64 / 2.0 * ratio - 1.0).round() as usize
}

fn failed(error: impl std::fmt::Display) -> AudioError {
    AudioError::Decoder { cause: format!("resampler: {error}") }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    fn sine(hz: f64, rate_hz: f64, len: usize) -> Vec<f32> {
        (0..len).map(|i| (TAU * hz * i as f64 / rate_hz).sin() as f32).collect()
    }

    fn whole(mut resampler: Resampler, samples: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        resampler.push(samples, &mut out).unwrap();
        resampler.finish(&mut out).unwrap();
        out
    }

    fn level_db(samples: &[f32]) -> f64 {
        let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64;
        10.0 * (2.0 * power).log10()
    }

    #[test]
    fn a_tone_keeps_its_length_level_and_time_at_every_rate() {
        for rate_hz in [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000] {
            let len = rate_hz as usize / 2 + 7;
            let out = whole(Resampler::new(rate_hz).unwrap(), &sine(440.0, f64::from(rate_hz), len));
            assert_eq!(out.len(), (len as f64 * 16_000.0 / f64::from(rate_hz)).round() as usize, "{rate_hz} Hz");
            let ideal = sine(440.0, 16_000.0, out.len());
            let error = out[400..7_600].iter().zip(&ideal[400..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // Half a sample of 16 kHz is 0.086 of a 440 Hz tone's swing.
            assert!(error < 0.087, "{rate_hz} Hz: off by {error}");
        }
    }

    #[test]
    fn speech_passes_and_what_would_alias_does_not() {
        for rate_hz in [44_100, 48_000] {
            let level = |hz| {
                let out = whole(Resampler::new(rate_hz).unwrap(), &sine(hz, f64::from(rate_hz), rate_hz as usize));
                level_db(&out[1_000..15_000])
            };
            for hz in [50.0, 1_000.0, 4_000.0, 7_000.0] {
                assert!(level(hz).abs() < 0.1, "{hz} Hz at {rate_hz}: {} dB", level(hz));
            }
            for hz in [8_500.0, 9_000.0, 12_000.0, 20_000.0] {
                assert!(level(hz) < -90.0, "{hz} Hz at {rate_hz}: {} dB", level(hz));
            }
        }
    }

    #[test]
    fn an_impulse_stays_where_it_was() {
        let mut samples = vec![0.0; 4_800];
        samples[2_400] = 1.0;
        let out = whole(Resampler::new(48_000).unwrap(), &samples);
        let peak = (0..out.len()).max_by(|a, b| out[*a].total_cmp(&out[*b]));
        assert_eq!((out.len(), peak), (1_600, Some(800)));
    }

    #[test]
    fn takes_any_speed_and_refuses_nonsense() {
        let out = whole(Resampler::with_ratio(1.0 / 1.1).unwrap(), &sine(200.0, 16_000.0, 16_000));
        assert_eq!(out.len(), 14_545);
        let faster = sine(220.0, 16_000.0, out.len());
        let error = out[400..14_000].iter().zip(&faster[400..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 0.05, "off by {error}");
        for ratio in [0.0, -1.0, 17.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Resampler::with_ratio(ratio), Err(AudioError::Ratio { .. })), "{ratio}");
        }
        for rate_hz in [0, 7_999, 192_001] {
            assert!(matches!(Resampler::new(rate_hz), Err(AudioError::Rate { .. })), "{rate_hz}");
        }
    }

    #[test]
    fn nothing_gives_nothing_and_one_sample_gives_its_share() {
        for (rate_hz, share) in [(8_000, 2), (16_000, 1), (44_100, 0), (24_000, 1)] {
            assert_eq!(whole(Resampler::new(rate_hz).unwrap(), &[]), Vec::<f32>::new());
            assert_eq!(whole(Resampler::new(rate_hz).unwrap(), &[0.5]).len(), share, "{rate_hz} Hz");
        }
    }

    #[test]
    fn finish_and_reset_start_anew() {
        let samples = sine(300.0, 44_100.0, 5_000);
        let mut resampler = Resampler::new(44_100).unwrap();
        let (mut first, mut second, mut third) = (Vec::new(), Vec::new(), Vec::new());
        resampler.push(&samples, &mut first).unwrap();
        resampler.finish(&mut first).unwrap();
        resampler.push(&samples, &mut second).unwrap();
        resampler.reset();
        second.clear();
        resampler.push(&samples, &mut third).unwrap();
        resampler.finish(&mut third).unwrap();
        assert_eq!(first, third);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_split_gives_the_same_samples(
            rate_hz in prop::sample::select(vec![8_000u32, 11_025, 44_100, 48_000]),
            cuts in prop::collection::vec(0usize..6_000, 0..12),
        ) {
            let samples = sine(333.0, f64::from(rate_hz), 6_000);
            let mut bounds = cuts;
            bounds.extend([0, samples.len()]);
            bounds.sort_unstable();
            let mut resampler = Resampler::new(rate_hz).unwrap();
            let mut out = Vec::new();
            for pair in bounds.windows(2) {
                resampler.push(&samples[pair[0]..pair[1]], &mut out).unwrap();
            }
            resampler.finish(&mut out).unwrap();
            prop_assert_eq!(out, whole(Resampler::new(rate_hz).unwrap(), &samples));
        }
    }
}
