//! The decoder: embeddings, layers of LSRA, cross-attention and feed-forward, an output tied to the embeddings.
//!
//! Invariant: whole sequences under a mask and one token at a time give the same; a token sees itself.

use tch::{Device, Kind, Tensor, nn};

use super::attention::{Attention, AttentionState, Valid, Visible};
use super::config::ModelConfig;
use super::layers::{FeedForward, LayerNorm, Sinusoids, dropout, positions_from};
use super::lsra::{Lsra, LsraState};
use super::packed::{Product, Products};

#[derive(Debug)]
struct DecoderLayer {
    lsra_norm: LayerNorm,
    lsra: Lsra,
    cross_norm: LayerNorm,
    cross: Attention,
    ffn_norm: LayerNorm,
    ffn: FeedForward,
}

/// Speaks: tokens so far and encoder steps to scores of the next token.
#[derive(Debug)]
pub(crate) struct Decoder {
    embedding: Tensor,
    sinusoids: Sinusoids,
    layers: Vec<DecoderLayer>,
    norm: LayerNorm,
    shared_memory: bool,
    width: usize,
    dropout: f64,
    /// With the embedding, which scores are tied to.
    product: Product,
}

/// What the decoder remembers of the tokens of `B` utterances.
#[derive(Debug)]
pub(crate) struct DecoderState {
    pub(crate) layers: Vec<LsraState>,
    /// Tokens fed so far, `(B,)`.
    pub(crate) tokens: Tensor,
}

/// What the cross-attentions remember of the encoder's steps: sums of each layer, or for the softmax kinds one memory for all.
#[derive(Debug)]
pub(crate) struct CrossState {
    pub(crate) layers: Vec<AttentionState>,
    /// Steps so far, `(B,)`.
    pub(crate) steps: Tensor,
}

impl Decoder {
    pub(crate) fn new(path: &nn::Path, config: &ModelConfig, products: &Products) -> Self {
        let width = config.d_model;
        let clock = config.max_target_tokens;
        let cross_clocks = (clock, config.max_utterance_steps());
        let norm = |path: nn::Path| LayerNorm::new(&path, width);
        let layer = |index: usize| {
            let path = path / "layers" / index;
            DecoderLayer {
                lsra_norm: norm(&path / "lsra_norm"),
                lsra: Lsra::new(&(&path / "lsra"), config.decoder_self, index, clock, config, products),
                cross_norm: norm(&path / "cross_norm"),
                cross: Attention::new(&(&path / "cross"), config.decoder_cross, width, cross_clocks, config, products),
                ffn_norm: norm(&path / "ffn_norm"),
                ffn: FeedForward::new(&(&path / "ffn"), width, config.ffn_dim, products),
            }
        };
        let init = nn::Init::Randn { mean: 0.0, stdev: (width as f64).powf(-0.5) };
        Self {
            embedding: path.var("embedding", &[config.target_vocab as i64, width as i64], init),
            sinusoids: Sinusoids::new(clock, width, path.device()),
            layers: (0..config.decoder_layers).map(layer).collect(),
            norm: norm(path / "norm"),
            shared_memory: config.decoder_cross.feature_dim(config.head_dim).is_none(),
            width,
            dropout: config.dropout,
            product: Product::new(products),
        }
    }

    /// Whole sequences: token i of `(B, U)` sees those of the encoder's steps `(B, T, D)` that are visible to it; without a
    /// `source` nothing is asked across. Returns log-probabilities of each next token, `(B, U, target_vocab)` f32.
    pub(crate) fn forward(&self, tokens: &Tensor, source: Option<(&Tensor, &Visible)>, train: bool) -> Tensor {
        let (batch, length) = (tokens.size()[0], tokens.size()[1]);
        let index = Tensor::arange(length, (Kind::Int64, tokens.device())).unsqueeze(0);
        let causal = Visible::causal(batch, length, tokens.device());
        let drop = |x: Tensor| dropout(x, self.dropout, train);
        let mut x = drop(self.embed(tokens, &index));
        for layer in &self.layers {
            x = &x + drop(layer.lsra.forward(&layer.lsra_norm.forward(&x), &causal));
            if let Some((steps, visible)) = source {
                x = &x + drop(layer.cross.forward(&layer.cross_norm.forward(&x), steps, visible));
            }
            x = &x + drop(layer.ffn.forward(&layer.ffn_norm.forward(&x)));
        }
        self.scores(&x)
    }

    pub(crate) fn init(&self, batch: i64, device: Device) -> DecoderState {
        DecoderState {
            layers: self.layers.iter().map(|layer| layer.lsra.init(batch, device)).collect(),
            tokens: Tensor::zeros([batch], (Kind::Int64, device)),
        }
    }

    pub(crate) fn init_cross(&self, batch: i64, device: Device) -> CrossState {
        let count = if self.shared_memory { 1 } else { self.layers.len() };
        CrossState {
            layers: self.layers.iter().take(count).map(|layer| layer.cross.init(batch, device)).collect(),
            steps: Tensor::zeros([batch], (Kind::Int64, device)),
        }
    }

    /// Shows the decoder new encoder steps `(B, T, D)`, those that are `valid`, of which softmax keeps the last `reach` `(B,)`
    /// in sight.
    pub(crate) fn absorb(&self, state: &CrossState, steps: &Tensor, valid: &Valid, reach: &Tensor) -> CrossState {
        let positions = positions_from(&state.steps, steps.size()[1]);
        let absorbed = self.layers.iter().zip(&state.layers);
        let absorbed = absorbed.map(|(layer, state)| layer.cross.absorb(state, steps, &positions, valid).last(reach));
        CrossState { layers: absorbed.collect(), steps: &state.steps + &valid.counts }
    }

    /// Feeds one token a row, `(B,)`. Returns log-probabilities of the next `(B, target_vocab)`, and the next state.
    /// Rows must have absorbed at least one encoder step.
    pub(crate) fn step(&self, state: &DecoderState, cross: &CrossState, tokens: &Tensor) -> (Tensor, DecoderState) {
        let positions = state.tokens.unsqueeze(-1);
        let valid = Valid::one_each(&state.tokens);
        let hidden: Vec<Option<Tensor>> = cross.layers.iter().map(AttentionState::hidden).collect();
        let mut x = self.embed(&tokens.unsqueeze(-1), &positions);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (index, (layer, state)) in self.layers.iter().zip(&state.layers).enumerate() {
            let (y, state) = layer.lsra.step(state, &layer.lsra_norm.forward(&x), &positions, &valid);
            x = &x + y;
            let memory = if self.shared_memory { 0 } else { index };
            let (memory, hidden) = (&cross.layers[memory], hidden[memory].as_ref());
            x = &x + layer.cross.read(memory, hidden, &layer.cross_norm.forward(&x), &positions);
            x = &x + layer.ffn.forward(&layer.ffn_norm.forward(&x));
            layers.push(state);
        }
        (self.scores(&x).squeeze_dim(1), DecoderState { layers, tokens: &state.tokens + 1 })
    }

    fn embed(&self, tokens: &Tensor, positions: &Tensor) -> Tensor {
        let scale = (self.width as f64).sqrt();
        Tensor::embedding(&self.embedding, tokens, -1, false, false) * scale + self.sinusoids.of(positions)
    }

    fn scores(&self, x: &Tensor) -> Tensor {
        self.product.apply(&self.norm.forward(x), &self.embedding, None).log_softmax(-1, Kind::Float)
    }
}
