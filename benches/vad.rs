//! Recordings to the table in `src/session/vad.rs`: how well detectors find speech in noise, and what they cost.
//!
//! `cargo bench --no-default-features --bench vad -- FOLDER...`, each folder with raw 16 kHz mono 16-bit files
//! (`ffmpeg -i clip.opus -ar 16000 -ac 1 -f s16le clip.s16`); five minutes of each are used. The truth is the clean
//! recording's energy: speech is what is within 30 dB of the loud parts (gaps under 100 ms closed, islands under 50 ms
//! dropped), a pause is what is 200 ms away from speech. Without folders only noise without speech is measured.
//! With the feature `torch` the bundled model's CTC blanks are a detector too: speech is what is within 200 ms of a step
//! whose blank is less probable than the threshold.
#![allow(clippy::print_stdout)]

use std::{f32::consts::TAU, path::Path, time::Instant};

use decalage::session::vad::{FrameGrid, Vad};
use rand::{Rng, SeedableRng, rngs::SmallRng};

const GRID: FrameGrid = FrameGrid { window_samples: 400, hop_samples: 160 };
const RATE_HZ: f32 = 16_000.0;

fn num_frames(samples: &[f32]) -> usize {
    samples.len().checked_sub(GRID.window_samples).map_or(0, |rest| rest / GRID.hop_samples + 1)
}

fn relay(samples: &[f32], threshold: f32) -> Vec<bool> {
    let mut vad = Vad::new(GRID, threshold);
    vad.accept_waveform(samples);
    vad.finish();
    vad.take_ready()
}

/// One detector for the whole input.
fn single(samples: &[f32], threshold: f32) -> Vec<bool> {
    let mut detector = earshot::Detector::default();
    let mut flags = Vec::new();
    for block in samples.chunks(256) {
        let mut block: Vec<i16> = block.iter().map(|sample| (sample * 32768.0) as i16).collect();
        block.resize(256, 0);
        flags.push(detector.predict_i16(&block) >= threshold);
    }
    (0..num_frames(samples)).map(|frame| flags[(frame * 160 + 200) / 256]).collect()
}

fn levels_db(samples: &[f32]) -> Vec<f32> {
    let frame = |frame: usize| &samples[frame * GRID.hop_samples..][..GRID.window_samples];
    (0..num_frames(samples)).map(|i| 20.0 * (rms(frame(i)) + 1e-7).log10()).collect()
}

/// So many decibels over the quietest frame of the last three seconds.
fn energy(samples: &[f32], over_db: f32) -> Vec<bool> {
    let levels = levels_db(samples);
    let floor = |i: usize| levels[i.saturating_sub(300)..=i].iter().copied().fold(0.0, f32::min).max(-65.0);
    (0..levels.len()).map(|i| levels[i] - floor(i) >= over_db).collect()
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

fn noise(kind: &str, num_samples: usize) -> Vec<f32> {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut noise = vec![0.0; num_samples];
    match kind {
        "white" => noise.fill_with(|| rng.random_range(-1.0..1.0)),
        "pink" => {
            // Paul Kellet's economy filter.
            let mut b = [0.0_f32; 3];
            for sample in &mut noise {
                let white: f32 = rng.random_range(-1.0..1.0);
                b[0] = 0.99765 * b[0] + white * 0.099046;
                b[1] = 0.963 * b[1] + white * 0.2965164;
                b[2] = 0.57 * b[2] + white * 1.0526913;
                *sample = b.iter().sum::<f32>() + white * 0.1848;
            }
        }
        // Chords of four plucked tones of six harmonics, two a second.
        "music" => {
            for start in (0..num_samples).step_by(8000) {
                for _ in 0..4 {
                    let f0 = 110.0 * 2_f32.powf(rng.random_range(0..36) as f32 / 12.0);
                    for (i, sample) in noise[start..].iter_mut().take(16_000).enumerate() {
                        let t = i as f32 / RATE_HZ;
                        let tone: f32 = (1..=6).map(|h| (TAU * f0 * h as f32 * t).sin() / h as f32).sum();
                        *sample += (-3.0 * t).exp() * tone;
                    }
                }
            }
        }
        // Keyboard: bursts of a few milliseconds, three to eight a second.
        _ => {
            let mut start = 0;
            while start < num_samples {
                for (i, sample) in noise[start..].iter_mut().take(800).enumerate() {
                    *sample += (-150.0 * i as f32 / RATE_HZ).exp() * rng.random_range(-1.0..1.0);
                }
                start += rng.random_range(2000..5300);
            }
        }
    }
    noise
}

/// Speech, pause, or neither.
fn truth(clean: &[f32]) -> Vec<Option<bool>> {
    let levels = levels_db(clean);
    let mut sorted = levels.clone();
    sorted.sort_by(f32::total_cmp);
    let loud = sorted[sorted.len() * 95 / 100];
    let mut speech: Vec<bool> = levels.iter().map(|level| *level > loud - 30.0).collect();
    for (value, min_frames) in [(false, 10), (true, 5)] {
        let mut start = 0;
        for run in speech.clone().chunk_by(|a, b| a == b) {
            if run[0] == value && run.len() < min_frames {
                speech[start..start + run.len()].fill(!value);
            }
            start += run.len();
        }
    }
    let near = |i: usize| speech[i.saturating_sub(20)..(i + 21).min(speech.len())].contains(&true);
    (0..speech.len()).map(|i| if speech[i] { Some(true) } else { (!near(i)).then_some(false) }).collect()
}

fn recordings(folder: &Path) -> std::io::Result<Vec<Vec<f32>>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let (mut clips, mut total) = (Vec::new(), 0);
    for path in paths {
        let bytes = std::fs::read(path)?;
        let clip: Vec<f32> =
            bytes.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0).collect();
        total += clip.len();
        if total > 300 * 16_000 {
            break;
        }
        clips.push(clip);
    }
    Ok(clips)
}

/// The encoder's opinion, 320 ms late: the whole clip is one stream with the detector off.
#[cfg(feature = "torch")]
fn ctc(samples: &[f32], threshold: f32) -> Vec<bool> {
    use decalage::bundle::Bundle;
    use decalage::engine::{TorchTranslator, session_assets};
    use decalage::features::fbank;
    use decalage::session::translator::{EncodeJob, SourceInput, Translator};

    thread_local! {
        static MODEL: (TorchTranslator, Bundle) = {
            tch::set_num_threads(1);
            let bundle = Bundle::open(Path::new("models/en-de-small")).expect("the bundled model");
            (TorchTranslator::load(&bundle, tch::Device::Cpu).expect("the bundled model"), bundle)
        };
    }
    MODEL.with(|(translator, bundle)| {
        let assets = session_assets(bundle);
        let (config, cmvn) = assets.speech().expect("the bundle hears");
        let mut frames = fbank(config, samples).expect("16 kHz");
        cmvn.apply(&mut frames);
        let (bins, spec) = (assets.spec.num_mel_bins, &assets.spec);
        let (mut state, mut spoken) = (None, Vec::new());
        for (number, segment) in frames.chunks(spec.frames_per_segment() * bins).enumerate() {
            if number % spec.max_utterance_segments == 0 {
                state = None;
            }
            let job =
                EncodeJob { state: state.take(), source: SourceInput::Frames(segment.to_vec()), reach_steps: None };
            let encoded = translator.encode(vec![job]).remove(0).expect("a segment");
            spoken.extend(
                encoded
                    .log_probs
                    .chunks(bundle.assets.source.vocab_size())
                    .map(|row| row[spec.blank as usize].exp() < threshold),
            );
            state = Some(encoded.state);
        }
        let near = |step: usize| spoken[step.saturating_sub(5)..(step + 6).min(spoken.len())].contains(&true);
        (0..num_frames(samples)).map(|frame| near(frame / spec.frames_per_step)).collect()
    })
}

type Detect = fn(&[f32], f32) -> Vec<bool>;
#[cfg(feature = "torch")]
const CTC: &[(&str, Detect, f32)] = &[("ctc 0.5", ctc, 0.5), ("ctc 0.9", ctc, 0.9)];
#[cfg(not(feature = "torch"))]
const CTC: &[(&str, Detect, f32)] = &[];
const DETECTORS: [(&str, Detect, f32); 6] = [
    ("relay 0.4", relay, 0.4),
    ("relay 0.5", relay, 0.5),
    ("relay 0.6", relay, 0.6),
    ("single 0.5", single, 0.5),
    ("energy 9 dB", energy, 9.0),
    ("energy 15 dB", energy, 15.0),
];

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn main() -> std::io::Result<()> {
    for folder in std::env::args().skip(1).filter(|arg| !arg.starts_with("--")) {
        let clips = recordings(Path::new(&folder))?;
        for (kind, snr_db) in
            [("white", 99.0), ("white", 10.0), ("pink", 10.0), ("music", 10.0), ("clicks", 10.0), ("pink", 5.0)]
        {
            print!("{folder} {kind} at {snr_db} dB: recall/false alarms %");
            for (name, detect, threshold) in DETECTORS.iter().chain(CTC).copied() {
                let (mut speech, mut hits, mut pause, mut alarms) = (0, 0, 0, 0);
                for clip in &clips {
                    let truth = truth(clip);
                    let noise = noise(kind, clip.len());
                    let spoken = truth.iter().enumerate().filter(|(_, label)| **label == Some(true));
                    let spoken: Vec<f32> = spoken.flat_map(|(i, _)| clip[i * 160..][..160].iter().copied()).collect();
                    let gain = rms(&spoken) / rms(&noise) * 10_f32.powf(-snr_db / 20.0);
                    let noisy: Vec<f32> = clip.iter().zip(&noise).map(|(a, b)| a + gain * b).collect();
                    for (label, flag) in truth.iter().zip(detect(&noisy, threshold)) {
                        match label {
                            Some(true) => (speech, hits) = (speech + 1, hits + usize::from(flag)),
                            Some(false) => (pause, alarms) = (pause + 1, alarms + usize::from(flag)),
                            None => {}
                        }
                    }
                }
                print!("  {name} {:.1}/{:.1}", percent(hits, speech), percent(alarms, pause));
            }
            println!();
        }
    }
    for kind in ["white", "pink", "music", "clicks"] {
        for level_db in [-50.0_f32, -35.0, -20.0] {
            let noise = noise(kind, 120 * 16_000);
            let gain = 10_f32.powf(level_db / 20.0) / rms(&noise);
            let noise: Vec<f32> = noise.iter().map(|sample| sample * gain).collect();
            print!("{kind} alone at {level_db} dBFS: false alarms %");
            for (name, detect, threshold) in DETECTORS.iter().chain(CTC).copied() {
                let flags = detect(&noise, threshold);
                print!("  {name} {:.1}", percent(flags.iter().filter(|flag| **flag).count(), flags.len()));
            }
            println!();
        }
    }
    let noise = noise("pink", 60 * 16_000);
    for (name, detect, threshold) in DETECTORS.iter().chain(CTC).copied() {
        let start = Instant::now();
        let flags = detect(&noise, threshold).len();
        println!("{name}: {:.0} us per second of audio ({flags} flags)", start.elapsed().as_secs_f64() * 1e6 / 60.0);
    }
    Ok(())
}
