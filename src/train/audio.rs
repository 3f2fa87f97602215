//! Clips to normalised frames: decoded once, kept in memory, varied each time they are heard.
//!
//! Invariant: without a random generator nothing is varied, and the frames are what a session computes.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use realfft::RealFftPlanner;

use super::TrainError;
use super::codec;
use super::manifest::{Example, read_manifest};
use super::options::Augmentation;
use super::voice;
use crate::audio::{AudioError, AudioReader, Limits, resample::Resampler};
use crate::bundle::Assets;
use crate::features::{Cmvn, CmvnAccumulator, FbankConfig, fbank};

/// Samples a second of everything decoded.
const SAMPLE_RATE_HZ: f64 = 16_000.0;
/// Pauses between joined clips, in seconds, beside up to 0.3 s of silence at the edges of each: together they are
/// mostly shorter than the pause that ends an utterance when serving.
const PAUSE_SECONDS: (f64, f64) = (0.0, 0.1);
/// Signal-to-noise ratios, in dB.
const NOISE_DB: (f32, f32) = (5.0, 25.0);

/// A store of decoded clips.
#[derive(Debug)]
pub(crate) struct Clips {
    assets: Arc<Assets>,
    augmentation: Augmentation,
    cache: Mutex<Cache>,
    cache_bytes: usize,
}

/// Samples of 16 bits, which is what recordings have.
#[derive(Debug, Default)]
struct Cache {
    clips: HashMap<PathBuf, Arc<[i16]>>,
    bytes: usize,
}

impl Clips {
    pub(crate) fn new(assets: Arc<Assets>, augmentation: Augmentation, cache_bytes: usize) -> Self {
        Self { assets, augmentation, cache: Mutex::default(), cache_bytes }
    }

    /// Row-major frames of one or more clips, joined by pauses.
    pub(crate) fn frames(&self, examples: &[&Example], rng: Option<&mut SmallRng>) -> Result<Vec<f32>, TrainError> {
        let clips = examples.iter().filter_map(|example| example.audio.as_deref()).map(|path| self.clip(path));
        let clips = clips.collect::<Result<Vec<_>, TrainError>>()?;
        let (samples, mut rng) = match rng {
            None => (clips.iter().flat_map(|clip| clip.iter().map(|&s| float(s))).collect(), None),
            Some(rng) => (self.vary(&clips, rng)?, Some(rng)),
        };
        let config = &self.assets.config.features;
        let mut frames = fbank(config, &samples)?;
        if let Some(rng) = rng.as_deref_mut()
            && rng.random_bool(self.augmentation.voice)
        {
            voice::vary(&mut frames, config, rng);
        }
        if frames.is_empty() {
            frames = vec![0.0; config.num_mel_bins]; // shorter than a window: one mean frame keeps the row alive
        } else {
            self.assets.cmvn.apply(&mut frames);
        }
        let model = &self.assets.config.model;
        let longest = model.max_utterance_steps() * model.frames_per_step;
        frames.truncate(longest * config.num_mel_bins);
        if let (Some(rng), Some(specaugment)) = (rng, &self.augmentation.specaugment) {
            specaugment.apply(&mut frames, config.num_mel_bins, rng);
        }
        Ok(frames)
    }

    fn vary(&self, clips: &[Arc<[i16]>], rng: &mut SmallRng) -> Result<Vec<f32>, TrainError> {
        let mut samples = Vec::new();
        for (index, clip) in clips.iter().enumerate() {
            if index > 0 {
                let pause = rng.random_range(PAUSE_SECONDS.0..PAUSE_SECONDS.1) * SAMPLE_RATE_HZ;
                samples.resize(samples.len() + pause as usize, 0.0);
            }
            let part: Vec<f32> = clip.iter().map(|&s| float(s)).collect();
            if rng.random_bool(self.augmentation.speed) {
                resample(&part, 1.0 / rng.random_range(0.9..1.1), &mut samples)?;
            } else {
                samples.extend(part);
            }
        }
        if let Some(path) = self.augmentation.room_files.choose(rng)
            && rng.random_bool(self.augmentation.room)
        {
            let response: Vec<f32> = self.clip(path)?.iter().map(|&s| float(s)).collect();
            samples = convolve(&samples, &response);
        }
        if let Some(path) = self.augmentation.noise_files.choose(rng)
            && rng.random_bool(self.augmentation.noise)
        {
            add_noise(&mut samples, &self.clip(path)?, rng);
        }
        let gain = 10f32.powf(rng.random_range(-12.0..6.0) / 20.0);
        samples.iter_mut().for_each(|s| *s = (*s * gain).clamp(-1.0, 1.0));
        if rng.random_bool(self.augmentation.codec) {
            samples = codec::vary(&samples, rng)?;
        }
        Ok(samples)
    }

    fn clip(&self, path: &Path) -> Result<Arc<[i16]>, TrainError> {
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clip) = cache().clips.get(path) {
            return Ok(Arc::clone(clip));
        }
        // Two threads may decode the same clip at once; both get the same samples.
        let clip: Arc<[i16]> = decode(path)?.iter().map(|s| (s * 32_768.0).round() as i16).collect();
        let mut cache = cache();
        let bytes = cache.bytes + size_of_val(&*clip);
        if bytes <= self.cache_bytes && cache.clips.insert(path.to_owned(), Arc::clone(&clip)).is_none() {
            cache.bytes = bytes;
        }
        Ok(clip)
    }
}

fn float(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

fn decode(path: &Path) -> Result<Vec<f32>, TrainError> {
    let wrong = |e: &dyn std::fmt::Display| TrainError::Audio { path: path.to_owned(), message: e.to_string() };
    let file = File::open(path).map_err(|e| wrong(&e))?;
    AudioReader::open(file, &Limits::default()).and_then(AudioReader::read_all).map_err(|e| wrong(&e))
}

/// Appends all of `samples`, `ratio` times as many; speaking at 1.1 times the speed is a ratio of 1/1.1.
pub(super) fn resample(samples: &[f32], ratio: f64, out: &mut Vec<f32>) -> Result<(), AudioError> {
    let mut resampler = Resampler::with_ratio(ratio)?;
    resampler.push(samples, out)?;
    resampler.finish(out)
}

/// Adds a random stretch of noise, repeated as needed, at a random ratio to the samples' mean power.
fn add_noise(samples: &mut [f32], noise: &[i16], rng: &mut SmallRng) {
    if noise.is_empty() {
        return;
    }
    let power = |sum: f32, count: usize| sum / count.max(1) as f32;
    let signal = power(samples.iter().map(|s| s * s).sum(), samples.len());
    let disturbance = power(noise.iter().map(|&s| float(s).powi(2)).sum(), noise.len());
    let decibel = rng.random_range(NOISE_DB.0..NOISE_DB.1);
    let gain = (signal / disturbance.max(1e-9) / 10f32.powf(decibel / 10.0)).sqrt();
    let start = rng.random_range(0..noise.len());
    for (sample, &noise) in samples.iter_mut().zip(noise.iter().cycle().skip(start)) {
        *sample += gain * float(noise);
    }
}

/// Linear convolution through one Fourier transform, cut to the signal's length.
fn convolve(signal: &[f32], response: &[f32]) -> Vec<f32> {
    let size = (signal.len() + response.len()).next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
    let spectrum = |x: &[f32]| {
        let mut time = forward.make_input_vec();
        time[..x.len()].copy_from_slice(x);
        let mut bins = forward.make_output_vec();
        forward.process(&mut time, &mut bins).map(|()| bins)
    };
    let mut time = inverse.make_output_vec();
    // The transforms refuse only buffers of a wrong length, and these are made by the plans themselves.
    if let (Ok(mut product), Ok(other)) = (spectrum(signal), spectrum(response)) {
        product.iter_mut().zip(&other).for_each(|(a, b)| *a *= b);
        let _ = inverse.process(&mut product, &mut time);
    }
    time.truncate(signal.len());
    time.iter_mut().for_each(|s| *s /= size as f32);
    time
}

/// Filterbank statistics over `count` clips drawn from all manifests.
pub fn cmvn(manifests: &[PathBuf], config: &FbankConfig, count: usize) -> Result<Cmvn, TrainError> {
    let mut examples = Vec::new();
    for path in manifests {
        examples.extend(read_manifest(path)?);
    }
    let mut sum = CmvnAccumulator::new(config.num_mel_bins);
    let drawn = examples.choose_multiple(&mut SmallRng::seed_from_u64(0), count);
    for path in drawn.filter_map(|example| example.audio.as_deref()) {
        sum.accept(&fbank(config, &decode(path)?)?);
    }
    Ok(sum.finish()?)
}

/// The files of a folder, sorted, so that a seed always draws the same ones.
pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(TrainError::file(folder))? {
        let path = entry.map_err(TrainError::file(folder))?.path();
        if path.extension().is_some_and(|e| e == "flac" || e == "wav" || e == "ogg" || e == "opus") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_the_signal_later_and_softer() {
        let wet = convolve(&[1.0, 0.5, 0.0, 0.0], &[1.0, 0.0, 0.25]);
        for (found, expected) in wet.iter().zip([1.0, 0.5, 0.25, 0.125]) {
            assert!((found - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn noise_has_the_power_it_should() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut samples = vec![0.0; 16_000];
        samples[0] = 126.5; // mean power 1
        let clean = samples.clone();
        let noise: Vec<i16> = (0..999).map(|i| if i % 2 == 0 { 3000 } else { -3000 }).collect();
        add_noise(&mut samples, &noise, &mut rng);
        let added: f32 = samples.iter().zip(&clean).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / 16_000.0;
        let decibel = -10.0 * added.log10();
        assert!((NOISE_DB.0 - 0.1..NOISE_DB.1 + 0.1).contains(&decibel), "{decibel}");
    }
}
