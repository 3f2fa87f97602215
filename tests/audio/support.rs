//! Fixtures, the two ways to decode them, and a measure of how alike two decodings are.

use std::io::Cursor;
use std::path::Path;

use decalage::audio::{AudioDecoder, AudioError, AudioReader, Encoding, Limits};

/// A clip and how far it may be from the reference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clip {
    pub(crate) name: &'static str,
    /// Smallest correlation with the reference.
    pub(crate) correlation: f64,
    /// Largest shift in samples. Nobody says how much silence an AAC encoder put in front (1024 of its samples).
    pub(crate) shift: usize,
    /// Samples more than in the reference.
    pub(crate) longer: usize,
}

const fn clip(name: &'static str, correlation: f64, shift: usize, longer: usize) -> Clip {
    Clip { name, correlation, shift, longer }
}

/// Every container and codec that we take.
pub(crate) const CLIPS: [Clip; 15] = [
    clip("reference.wav", 1.0, 0, 0),
    clip("mono-8k.wav", 0.999, 0, 0),
    clip("mulaw-8k.wav", 0.999, 0, 0),
    clip("mono-44k1.flac", 0.999, 0, 0),
    clip("stereo-48k.flac", 0.9999, 0, 0),
    clip("mono-16k.mp3", 0.999, 0, 20),
    clip("stereo-44k1.mp3", 0.999, 0, 0),
    clip("vorbis-44k1.ogg", 0.998, 0, 0),
    clip("opus-16k.ogg", 0.93, 4, 0),
    clip("opus-stereo-48k.webm", 0.998, 0, 60),
    clip("opus-live.webm", 0.998, 0, 60),
    clip("index-first.m4a", 0.997, 400, 700),
    clip("index-last.m4a", 0.997, 400, 700),
    clip("fragmented.m4a", 0.997, 400, 700),
    clip("aac-44k1.aac", 0.997, 400, 700),
];

/// What came out, and the error that ended it.
pub(crate) type Decoded = (Vec<f32>, Option<AudioError>);

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio").join(name)).unwrap()
}

pub(crate) fn reference() -> Vec<f32> {
    fixture("reference.wav")[44..].as_chunks().0.iter().map(|s| f32::from(i16::from_le_bytes(*s)) / 32768.0).collect()
}

pub(crate) fn pull(bytes: &[u8]) -> Decoded {
    pull_within(bytes, &Limits::default())
}

pub(crate) fn pull_within(bytes: &[u8], limits: &Limits) -> Decoded {
    let mut samples = Vec::new();
    let reader = match AudioReader::open(Cursor::new(bytes.to_vec()), limits) {
        Ok(reader) => reader,
        Err(error) => return (samples, Some(error)),
    };
    let mut last = None;
    for chunk in reader {
        assert!(last.is_none(), "nothing may follow an error");
        match chunk {
            Ok(chunk) => samples.extend(chunk),
            Err(error) => last = Some(error),
        }
    }
    (samples, last)
}

/// Pushes `bytes` cut at `cuts` (in any order, modulo the length) and takes after each piece.
pub(crate) fn push(encoding: Encoding, bytes: &[u8], cuts: &[usize]) -> Decoded {
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    bounds.extend([0, bytes.len()]);
    bounds.sort_unstable();
    push_pieces(encoding, bounds.windows(2).map(|pair| &bytes[pair[0]..pair[1]]), &Limits::default())
}

pub(crate) fn push_pieces<'a>(encoding: Encoding, pieces: impl Iterator<Item = &'a [u8]>, limits: &Limits) -> Decoded {
    let mut decoder = AudioDecoder::new(encoding, limits).unwrap();
    let mut samples = Vec::new();
    for piece in pieces {
        let pushed = decoder.push(piece);
        samples.extend(decoder.take());
        if let Err(error) = pushed {
            assert!(matches!(decoder.push(&[0]), Err(AudioError::Ended)));
            return (samples, Some(error));
        }
    }
    let last = match decoder.finish() {
        Ok(tail) => {
            samples.extend(tail);
            None
        }
        Err(error) => {
            samples.extend(decoder.take());
            Some(error)
        }
    };
    assert!(matches!(decoder.finish(), Err(AudioError::Ended)));
    (samples, last)
}

/// The largest normalised correlation of `samples` with `reference`, shifted by at most `max_shift` samples.
pub(crate) fn correlation(reference: &[f32], samples: &[f32], max_shift: usize) -> f64 {
    let energy = |x: &[f32]| x.iter().map(|s| f64::from(s * s)).sum::<f64>();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    (0..=max_shift)
        .flat_map(|shift| [dot(reference, &samples[shift..]), dot(&reference[shift..], samples)])
        .fold(0.0, f64::max)
        / (energy(reference) * energy(samples)).sqrt()
}
