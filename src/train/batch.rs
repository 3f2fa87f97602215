//! Batches as plain numbers: padded frames or labels on one side, padded tokens on the other.
//!
//! Invariant: padding never counts: every row says how much of it is real.

use tch::{Device, Tensor};

use super::loss::visible_steps;
use crate::model::ModelConfig;
use crate::text::{BOS, EOS};

/// Marks padding among target tokens; no piece has this number.
pub(crate) const PADDING: i64 = -1;

/// One item, before padding.
#[derive(Debug, Clone, Default)]
pub(crate) struct Item {
    /// Normalised frames, row-major; empty in the text stage.
    pub(crate) frames: Vec<f32>,
    /// Source labels.
    pub(crate) labels: Vec<u32>,
    /// In the text stage, the number of labels up to the end of each source word.
    pub(crate) source_ends: Vec<usize>,
    /// Target pieces, without begin and end.
    pub(crate) tokens: Vec<u32>,
    /// The number (from 1) of the word that each piece belongs to.
    pub(crate) words: Vec<usize>,
}

/// Many items.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    /// The lag of this batch's wait-k mask; none sees the whole source.
    pub(crate) k: Option<u64>,
    /// Seeds the dropout, so that a batch hears the same network whenever it comes.
    pub(crate) seed: u64,
}

/// A batch as tensors.
#[derive(Debug)]
pub(crate) struct Tensors {
    /// `(B, T, num_mel_bins)`.
    pub(crate) frames: Tensor,
    /// `(B,)`.
    pub(crate) num_frames: Tensor,
    /// `(B, S)` and `(B,)`.
    pub(crate) labels: Tensor,
    pub(crate) num_labels: Tensor,
    /// `(B, U)`: begin, pieces / pieces, end. Padded with 0 / [`PADDING`].
    pub(crate) inputs: Tensor,
    pub(crate) targets: Tensor,
    /// `(B, U)`: encoder steps that each prediction may see.
    pub(crate) visible: Tensor,
    pub(crate) num_tokens: usize,
    pub(crate) total_labels: usize,
}

impl Batch {
    /// Pads and moves to `device`.
    pub(crate) fn tensors(&self, config: &ModelConfig, device: Device) -> Tensors {
        let items = &self.items;
        let bins = config.num_mel_bins;
        let num_frames: Vec<i64> = items.iter().map(|item| (item.frames.len() / bins) as i64).collect();
        let num_labels: Vec<i64> = items.iter().map(|item| item.labels.len() as i64).collect();
        let longest = |lengths: &[i64]| lengths.iter().copied().max().unwrap_or(0) as usize;
        let frames = pad(items.iter().map(|i| i.frames.iter().copied()), longest(&num_frames) * bins, 0.0);
        let labels = pad(items.iter().map(|i| i.labels.iter().map(|&l| i64::from(l))), longest(&num_labels), 0);
        let length = items.iter().map(|item| item.tokens.len() + 1).max().unwrap_or(0);
        let tokens = |i: &'_ Item| i.tokens.clone().into_iter().map(i64::from);
        let inputs = pad(items.iter().map(|i| std::iter::once(i64::from(BOS)).chain(tokens(i))), length, 0);
        let targets = pad(items.iter().map(|i| tokens(i).chain([i64::from(EOS)])), length, PADDING);
        let visible = items.iter().zip(&num_frames).map(|(item, &frames)| {
            let words = item.words.iter().map(|&w| Some(w)).chain([None]);
            words.map(move |word| self.visible(item, word, frames as usize, config) as i64)
        });
        let visible = pad(visible, length, 1);
        let rows = items.len() as i64;
        let on = |t: Tensor| t.to_device(device);
        Tensors {
            frames: on(Tensor::from_slice(&frames).view([rows, longest(&num_frames) as i64, bins as i64])),
            num_frames: on(Tensor::from_slice(&num_frames)),
            labels: on(Tensor::from_slice(&labels).view([rows, longest(&num_labels) as i64])),
            num_labels: on(Tensor::from_slice(&num_labels)),
            inputs: on(Tensor::from_slice(&inputs).view([rows, -1])),
            targets: on(Tensor::from_slice(&targets).view([rows, -1])),
            visible: on(Tensor::from_slice(&visible).view([rows, -1])),
            num_tokens: items.iter().map(|item| item.tokens.len() + 1).sum(),
            total_labels: items.iter().map(|item| item.labels.len()).sum(),
        }
    }

    /// Encoder steps that the prediction of a word, or of the end, may see.
    fn visible(&self, item: &Item, word: Option<usize>, frames: usize, config: &ModelConfig) -> usize {
        if item.frames.is_empty() {
            // A word of text is what a segment is of speech.
            let read = visible_steps(word, self.k, 1, item.source_ends.len());
            return read.checked_sub(1).map_or(item.labels.len(), |last| item.source_ends[last]);
        }
        visible_steps(word, self.k, config.steps_per_segment, frames.div_ceil(config.frames_per_step))
    }

    /// Encoder steps, the last ones, that a prediction sees of those that it may: what a session of this lag looks back on.
    pub(crate) fn reach(&self, config: &ModelConfig) -> Option<usize> {
        let (k, segments) = (self.k?, config.reach_segments?);
        Some((k as usize + segments) * config.steps_per_segment)
    }

    /// Seconds of audio.
    pub(crate) fn seconds(&self, config: &ModelConfig) -> f64 {
        let frames: usize = self.items.iter().map(|item| item.frames.len()).sum();
        (frames / config.num_mel_bins) as f64 / 100.0
    }
}

fn pad<T: Copy, R: Iterator<Item = T>>(rows: impl Iterator<Item = R>, length: usize, padding: T) -> Vec<T> {
    rows.flat_map(|row| row.chain(std::iter::repeat(padding)).take(length)).collect()
}
