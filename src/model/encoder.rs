//! The encoders: one stack of LSRA layers, fed by speech (segment by segment) or by text (piece by piece).
//!
//! Invariant: a speech step sees its own segment and all before it, a piece all before it, never later ones (for text as in
//! Elbayad et al. 2020, arXiv 2005.08595, §3), so an output once computed is final and each frame or piece is encoded once. Pre-norm residual layers (Xiong et al. 2020).

use tch::{Device, Kind, Tensor, nn};

use super::attention::{Valid, Visible};
use super::config::ModelConfig;
use super::layers::{FeedForward, LayerNorm, Linear, Sinusoids, dropout, positions_from};
use super::lsra::{Lsra, LsraState};
use super::packed::Products;
use super::state::Shallow;
use super::subsample::{Subsample, SubsampleState};

/// LSRA, then a feed-forward block.
#[derive(Debug)]
struct EncoderLayer {
    lsra_norm: LayerNorm,
    lsra: Lsra,
    ffn_norm: LayerNorm,
    ffn: FeedForward,
}

/// Layers and a final norm.
#[derive(Debug)]
struct Stack {
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    dropout: f64,
}

impl Stack {
    fn new(path: &nn::Path, num_layers: usize, config: &ModelConfig, products: &Products) -> Self {
        let clock = config.max_utterance_steps();
        let layer = |index: usize| {
            let path = path / "layers" / index;
            EncoderLayer {
                lsra_norm: LayerNorm::new(&(&path / "lsra_norm"), config.d_model),
                lsra: Lsra::new(&(&path / "lsra"), config.encoder_self, index, clock, config, products),
                ffn_norm: LayerNorm::new(&(&path / "ffn_norm"), config.d_model),
                ffn: FeedForward::new(&(&path / "ffn"), config.d_model, config.ffn_dim, products),
            }
        };
        Self {
            layers: (0..num_layers).map(layer).collect(),
            norm: LayerNorm::new(&(path / "norm"), config.d_model),
            dropout: config.dropout,
        }
    }

    fn forward(&self, x: Tensor, visible: &Visible, train: bool) -> Tensor {
        let mut x = dropout(x, self.dropout, train);
        for layer in &self.layers {
            x = &x + dropout(layer.lsra.forward(&layer.lsra_norm.forward(&x), visible), self.dropout, train);
            x = &x + dropout(layer.ffn.forward(&layer.ffn_norm.forward(&x)), self.dropout, train);
        }
        self.norm.forward(&x)
    }

    fn init(&self, batch: i64, device: Device) -> Vec<LsraState> {
        self.layers.iter().map(|layer| layer.lsra.init(batch, device)).collect()
    }

    fn step(&self, x: Tensor, states: &[LsraState], positions: &Tensor, valid: &Valid) -> (Tensor, Vec<LsraState>) {
        let mut x = x;
        let mut next = Vec::with_capacity(states.len());
        for (layer, state) in self.layers.iter().zip(states) {
            let (y, state) = layer.lsra.step(state, &layer.lsra_norm.forward(&x), positions, valid);
            x = &x + y;
            x = &x + layer.ffn.forward(&layer.ffn_norm.forward(&x));
            next.push(state);
        }
        (self.norm.forward(&x), next)
    }
}

/// Hears: frames to encoder steps and CTC label probabilities.
#[derive(Debug)]
pub struct SpeechEncoder {
    subsample: Subsample,
    sinusoids: Sinusoids,
    stack: Stack,
    ctc: Linear,
    frames_per_step: i64,
    steps_per_segment: i64,
}

/// What the encoder remembers of `B` utterances.
#[derive(Debug)]
pub(crate) struct EncoderState {
    /// None where text is read.
    pub(crate) subsample: Option<SubsampleState>,
    pub(crate) layers: Vec<LsraState>,
    /// Steps so far, `(B,)`.
    pub(crate) steps: Tensor,
}

impl SpeechEncoder {
    pub(crate) fn new(path: &nn::Path, config: &ModelConfig, products: &Products) -> Self {
        Self {
            subsample: Subsample::new(&(path / "subsample"), config, products),
            sinusoids: Sinusoids::new(config.max_utterance_steps(), config.d_model, path.device()),
            stack: Stack::new(path, config.encoder_layers, config, products),
            ctc: Linear::new(&(path / "ctc"), config.d_model, config.source_vocab, true, products),
            frames_per_step: config.frames_per_step as i64,
            steps_per_segment: config.steps_per_segment as i64,
        }
    }

    /// Whole utterances: frames `(B, T, num_mel_bins)`, of which row b has `num_frames[b]` (at least 1) and zeros
    /// behind. Returns steps `(B, ceil(T / frames_per_step), D)` and their numbers `(B,)`.
    pub(crate) fn forward(&self, frames: &Tensor, num_frames: &Tensor, train: bool) -> (Tensor, Tensor) {
        let batch = frames.size()[0];
        let (x, _) = self.subsample.forward(frames, &self.subsample.init(batch, frames.device()));
        let num_steps = (num_frames + (self.frames_per_step - 1)).divide_scalar_mode(self.frames_per_step, "floor");
        let steps = x.size()[1];
        let index = Tensor::arange(steps, (Kind::Int64, frames.device())).unsqueeze(0);
        let segment_end = (index.divide_scalar_mode(self.steps_per_segment, "floor") + 1) * self.steps_per_segment;
        let visible = Visible::new(&segment_end.minimum(&num_steps.unsqueeze(-1)), steps);
        let x = x + self.sinusoids.of(&index);
        (self.stack.forward(x, &visible, train), num_steps)
    }

    /// CTC log-probabilities `(B, T, source_vocab)`, f32.
    pub(crate) fn ctc(&self, steps: &Tensor) -> Tensor {
        self.ctc.forward(steps).log_softmax(-1, Kind::Float)
    }

    pub(crate) fn init(&self, batch: i64, device: Device) -> EncoderState {
        EncoderState {
            subsample: Some(self.subsample.init(batch, device)),
            layers: self.stack.init(batch, device),
            steps: Tensor::zeros([batch], (Kind::Int64, device)),
        }
    }

    /// The next segment: frames `(B, T, num_mel_bins)`; those of its steps that are `valid` are real. A row with fewer than a
    /// full segment must be its utterance's last.
    pub(crate) fn step(&self, state: &EncoderState, frames: &Tensor, valid: &Valid) -> (Tensor, EncoderState) {
        let before = state
            .subsample
            .as_ref()
            .map_or_else(|| self.subsample.init(frames.size()[0], frames.device()), SubsampleState::shallow);
        let (x, subsample) = self.subsample.forward(frames, &before);
        let positions = positions_from(&state.steps, x.size()[1]);
        let x = x + self.sinusoids.of(&positions);
        let (y, layers) = self.stack.step(x, &state.layers, &positions, valid);
        (y, EncoderState { subsample: Some(subsample), layers, steps: &state.steps + &valid.counts })
    }
}

/// Reads: source pieces to encoder steps, one a piece.
#[derive(Debug)]
pub struct TextEncoder {
    embedding: Tensor,
    sinusoids: Sinusoids,
    stack: Stack,
}

impl TextEncoder {
    pub(crate) fn new(path: &nn::Path, vocab: usize, config: &ModelConfig, products: &Products) -> Self {
        let init = nn::Init::Randn { mean: 0.0, stdev: 1.0 };
        Self {
            embedding: path.var("embedding", &[vocab as i64, config.d_model as i64], init),
            sinusoids: Sinusoids::new(config.max_utterance_steps(), config.d_model, path.device()),
            stack: Stack::new(path, config.encoder_layers, config, products),
        }
    }

    /// Whole sentences: pieces `(B, T)`, which see those before them → `(B, T, D)`.
    pub(crate) fn forward(&self, pieces: &Tensor, train: bool) -> Tensor {
        let (batch, length) = (pieces.size()[0], pieces.size()[1]);
        let index = Tensor::arange(length, (Kind::Int64, pieces.device())).unsqueeze(0);
        self.stack.forward(self.embed(pieces, &index), &Visible::causal(batch, length, pieces.device()), train)
    }

    pub(crate) fn init(&self, batch: i64, device: Device) -> EncoderState {
        let steps = Tensor::zeros([batch], (Kind::Int64, device));
        EncoderState { subsample: None, layers: self.stack.init(batch, device), steps }
    }

    /// The next piece of each, `(B,)` → `(B, 1, D)`.
    pub(crate) fn step(&self, state: &EncoderState, pieces: &Tensor) -> (Tensor, EncoderState) {
        let (positions, valid) = (state.steps.unsqueeze(-1), Valid::one_each(pieces));
        let x = self.embed(&pieces.unsqueeze(-1), &positions);
        let (y, layers) = self.stack.step(x, &state.layers, &positions, &valid);
        (y, EncoderState { subsample: None, layers, steps: &state.steps + &valid.counts })
    }

    fn embed(&self, pieces: &Tensor, positions: &Tensor) -> Tensor {
        Tensor::embedding(&self.embedding, pieces, -1, false, false) + self.sinusoids.of(positions)
    }
}
