//! What a training run is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use super::specaugment::SpecAugment;

/// What is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Target text by itself: the decoder without its cross-attention, as a language model.
    Lm,
    /// Source text to target text: a text encoder and the decoder.
    Text,
    /// Speech to source text: the speech encoder and its CTC head.
    Ctc,
    /// Speech to target text, CTC beside it.
    Joint,
}

impl Task {
    /// Whether its data are pairs of sentences, without audio.
    pub(crate) fn reads_pairs(self) -> bool {
        matches!(self, Self::Lm | Self::Text)
    }
}

/// How weights move along their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimizer {
    /// Adam for all of them (Kingma & Ba 2015).
    Adam,
    /// Muon for the matrices, Adam for the rest (Jordan et al. 2024).
    Muon,
}

/// How clips are varied, each time they are heard. Probabilities are 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmentation {
    /// Of changing the speed by 0.9 to 1.1.
    pub speed: f64,
    /// Of another length of the vocal tract and another microphone.
    pub voice: f64,
    /// Of adding noise at 5 to 25 dB.
    pub noise: f64,
    /// Of a room's echo.
    pub room: f64,
    /// Of a telephone, or Opus at a low rate.
    pub codec: f64,
    /// Of reading a source as it is heard, in [`Task::Text`]: small letters, no punctuation, numbers spelt out.
    pub as_heard: f64,
    /// Of joining clips with pauses, up to the longest utterance.
    pub join: f64,
    /// Of joining, 2 to so many.
    pub max_joined: usize,
    /// Hidden bands and stretches.
    pub specaugment: Option<SpecAugment>,
    /// Folders of noise clips and of room responses; empty ones switch that off.
    pub noise_files: Vec<PathBuf>,
    /// Room impulse responses.
    pub room_files: Vec<PathBuf>,
}

/// A training run.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// What is learnt.
    pub task: Task,
    /// Manifests (for [`Task::Text`] and [`Task::Lm`], files of pairs) and how often each is heard in an epoch.
    pub data: Vec<(PathBuf, f64)>,
    /// Manifest or pairs to measure on; none of it is trained on.
    pub dev: Option<PathBuf>,
    /// Checkpoints or weights to start from, and the part to take of each: `encoder`, `decoder`, or nothing for all that
    /// fits. Every checkpoint has all parts, but a stage trains only some of them. Later ones win.
    pub init: Vec<(String, PathBuf)>,
    /// Folder of `checkpoint.safetensors`, `log.jsonl`, `curves.png`. A checkpoint there is resumed.
    pub out: PathBuf,
    /// Learning rate over time.
    pub schedule: Schedule,
    /// Factor on the rate of the speech encoder.
    pub encoder_rate: f64,
    /// Factor on the rate of the decoder.
    pub decoder_rate: f64,
    /// How weights move along their gradients.
    pub optimizer: Optimizer,
    /// Norm that gradients are clipped to.
    pub clip: f64,
    /// Seconds of audio in one batch (text: characters of the source, of the target in [`Task::Lm`]), padding included.
    pub batch_size: f64,
    /// Share of the loss that is CTC in [`Task::Joint`]: L = CE + w·CTC.
    pub ctc_weight: f64,
    /// Probability mass that label smoothing spreads over all tokens.
    pub label_smoothing: f64,
    /// Share of the batches in [`Task::Joint`] that see the whole source; the others draw k from `min_k` to `max_k`.
    pub offline_share: f64,
    /// Smallest k of the wait-k masks, at most `max_k`.
    pub min_k: u64,
    /// Largest k of the wait-k masks.
    pub max_k: u64,
    /// How clips are varied.
    pub augmentation: Augmentation,
    /// Model replicas, one thread each. One for a GPU.
    pub threads: usize,
    /// Threads that prepare batches.
    pub loaders: usize,
    /// Memory for decoded clips; those beyond it are decoded each time they are heard.
    pub cache_bytes: usize,
    /// Run on the first CUDA device.
    pub cuda: bool,
    /// bf16 matrix products.
    pub bf16: bool,
    /// Updates between measurements on `dev`.
    pub eval_every: u64,
    /// Minutes between checkpoints.
    pub save_minutes: f64,
    /// Seed of everything random.
    pub seed: u64,
}
