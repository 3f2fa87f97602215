//! Clips to one long speech with pauses, the same for every client.
//!
//! Invariant: it ends while somebody speaks. Words that are decided after the end say how much audio the server has heard,
//! which is how a lost sample is found.

use std::time::Duration;

use bytes::Bytes;

use crate::audio::SAMPLE_RATE_HZ;
use crate::client::{PIECE_SAMPLES, pcm16};

/// Between clips: long enough to end an utterance.
const PAUSE_PIECES: usize = 15;
/// The last pieces, half a second, must be this loud compared with the whole.
const END_PIECES: usize = 5;
const END_LOUDNESS: f32 = 0.5;

/// Clips of 16 kHz samples in [-1, 1], one after the other and over again, with pauses of 1.5 s, as 16 bits, little-endian.
/// Of whole pieces of [`PIECE_SAMPLES`]; up to one clip and pause shorter than `duration`, in order to end in speech.
/// `None` if there is no sample, or a piece would be too much.
pub fn playlist(clips: &[Vec<f32>], duration: Duration) -> Option<Bytes> {
    let num_pieces = (duration.as_secs_f64() * f64::from(SAMPLE_RATE_HZ)) as usize / PIECE_SAMPLES;
    if clips.iter().all(Vec::is_empty) {
        return None;
    }
    let mut samples = Vec::with_capacity(num_pieces * PIECE_SAMPLES);
    for clip in clips.iter().cycle() {
        if samples.len() >= num_pieces * PIECE_SAMPLES {
            break;
        }
        samples.extend_from_slice(clip);
        let paused = samples.len().div_ceil(PIECE_SAMPLES) + PAUSE_PIECES;
        samples.resize(paused * PIECE_SAMPLES, 0.0);
    }
    samples.truncate(num_pieces * PIECE_SAMPLES);

    let loud = rms(&samples) * END_LOUDNESS;
    let ends_in_speech =
        |end: &usize| rms(&samples[end.saturating_sub(END_PIECES) * PIECE_SAMPLES..end * PIECE_SAMPLES]) >= loud;
    let end = (1..=num_pieces).rev().find(ends_in_speech)?;
    Some(pcm16(&samples[..end * PIECE_SAMPLES]))
}

/// Root mean square; 0 without samples.
fn rms(samples: &[f32]) -> f32 {
    let sum: f32 = samples.iter().map(|sample| sample * sample).sum();
    (sum / samples.len().max(1) as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Vec<f32> {
        (0..(seconds * 16_000.0) as usize).map(|i| if i % 2 == 0 { 0.25 } else { -0.25 }).collect()
    }

    fn is_silent(playlist: &Bytes, piece: usize) -> bool {
        playlist.chunks(2 * PIECE_SAMPLES).nth(piece).unwrap().iter().all(|byte| *byte == 0)
    }

    #[test]
    fn clips_follow_each_other_with_pauses() {
        let playlist = playlist(&[seconds(1.0), Vec::new(), seconds(0.25)], Duration::from_secs(6)).unwrap();
        assert_eq!(playlist.len() % (2 * PIECE_SAMPLES), 0);
        let silent: Vec<usize> =
            (0..playlist.len() / (2 * PIECE_SAMPLES)).filter(|i| is_silent(&playlist, *i)).collect();
        let expected: Vec<usize> = (10..25).chain(25..40).chain(43..58).collect();
        assert_eq!(silent, expected, "1 s, two pauses about a clip of nothing, 0.25 s, a pause");
    }

    #[test]
    fn the_end_is_speech() {
        // Cut at 4.5 s there are 2 s of speech, a pause, and 1 s of speech; at 3.4 s the cut is in the pause.
        assert_eq!(playlist(&[seconds(2.0)], Duration::from_millis(4500)).unwrap().len(), 45 * 2 * PIECE_SAMPLES);
        let moved = playlist(&[seconds(2.0)], Duration::from_millis(3400)).unwrap().len() / (2 * PIECE_SAMPLES);
        assert!((18..=25).contains(&moved), "{moved} pieces");
    }

    #[test]
    fn without_speech_there_is_no_playlist() {
        assert_eq!(playlist(&[], Duration::from_secs(1)), None);
        assert_eq!(playlist(&[Vec::new()], Duration::from_secs(1)), None);
        assert_eq!(playlist(&[seconds(1.0)], Duration::from_millis(99)), None);
    }
}
