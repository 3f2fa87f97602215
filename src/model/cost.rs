//! A [`ModelConfig`] to the multiply-accumulates that it costs: counted from the shapes, not measured.
//!
//! Counted as in Lite Transformer (arXiv 2004.11886 §5): products of matrices and the weighted sums of attention and
//! convolution. Not counted: norms, softmax, biases, activations, the rotation of feature maps and the look-up of
//! embeddings. With D = `d_model`, F = `ffn_dim`, C = D/2 (D where there is no convolution), K and G the kernel's width and
//! groups, V vocabularies:
//!
//! ```text
//! subsample        2·(5·bins·2D) + 5·D·2D           a step is two halves of the first convolution, one of the second
//!                  4·(5·bins·2D) + (2+1)·5·D·2D     where it has eight frames
//! feed-forward     2·D·F
//! convolution      C·2C + [C·G·K if dynamic] + C·K + C·C
//! attention        of width A: add a key, ask with a query
//!   linear kinds   add 2·A² + φ(A) + A·Dφ           ask 2·A² + φ(A) + A·Dφ + (A/d)·Dφ
//!   softmax        add 0                            ask 4·A² + 2·H·T·A, of a window T is its length at most
//! layers           encoder layers·(add + ask of C + convolution + feed-forward), and what a step adds to the decoder's
//!                  memory: decoder layers·(add of D)
//! encoder step     subsample + layers + D·V_source
//! piece of text    layers
//! token            layers·(add + ask of C + convolution + ask of D + feed-forward) + D·V_target, of a language model
//!                  without the ask of D
//! ```
//!
//! φ(A) is 0, for leap (A/d)·(d·d/4 + d/4). A softmax over T inputs of width A with H = A/d heads moves the keys' and
//! values' projections to the query: four projections 4·A², scores and mixing 2·H·T·A.
//! Invariant: the terms without T, φ-sums and kernels are the sizes of the weight matrices; a test holds them to that.

use serde::Serialize;

use super::config::{AttentionKind, ConvKind, ModelConfig};

/// Taps and stride of the subsampler's convolutions.
const SUBSAMPLE_TAPS: usize = 5;

/// Of a sentence whose cost is counted.
const LENGTH: usize = 30;

/// Multiply-accumulates of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Macs {
    /// To encode one second of audio, at `frames_per_second`.
    pub per_audio_second: usize,
    /// To encode one encoder step.
    pub per_encoder_step: usize,
    /// To decode one token.
    pub per_token: usize,
}

/// Multiply-accumulates of one session that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextMacs {
    /// To read one piece.
    pub per_piece: usize,
    /// To write one token.
    pub per_token: usize,
    /// To translate 30 pieces into 30 tokens, without the product with the target vocabulary: what Lite Transformer's
    /// tables compare.
    pub per_sentence_of_30: usize,
}

/// Counts; softmax attentions look back on `memory_steps` encoder steps and `memory_tokens` tokens, on which the
/// linear kinds do not depend.
pub fn macs(config: &ModelConfig, frames_per_second: usize, memory_steps: usize, memory_tokens: usize) -> Macs {
    let per_encoder_step =
        subsample(config) + encoder_layers(config, memory_steps) + config.d_model * config.source_vocab;
    Macs {
        per_audio_second: per_encoder_step * frames_per_second / config.frames_per_step,
        per_encoder_step,
        per_token: decoder_layers(config, Some(memory_steps), memory_tokens) + config.d_model * config.target_vocab,
    }
}

/// Counts for text; softmax attentions look back on 30 pieces and 30 tokens.
pub fn text_macs(config: &ModelConfig) -> TextMacs {
    let (per_piece, layers) = (encoder_layers(config, LENGTH), decoder_layers(config, Some(LENGTH), LENGTH));
    TextMacs {
        per_piece,
        per_token: layers + config.d_model * config.target_vocab,
        per_sentence_of_30: LENGTH * (per_piece + layers),
    }
}

/// To say one token of 30 with the decoder as a language model.
pub fn language_model_macs(config: &ModelConfig) -> usize {
    decoder_layers(config, None, LENGTH) + config.d_model * config.target_vocab
}

/// Of one step, and what it adds to the decoder's memory.
fn encoder_layers(config: &ModelConfig, memory_steps: usize) -> usize {
    let attention = Attention::new(config.encoder_self, config.attention_width(), config);
    let layer =
        |layer| attention.add() + attention.ask(memory_steps) + convolution(config, layer) + feed_forward(config);
    let cross = Attention::new(config.decoder_cross, config.d_model, config);
    (0..config.encoder_layers).map(layer).sum::<usize>() + config.decoder_layers * cross.add()
}

/// Of one token; without a memory of the source nothing is asked across.
fn decoder_layers(config: &ModelConfig, memory_steps: Option<usize>, memory_tokens: usize) -> usize {
    let attention = Attention::new(config.decoder_self, config.attention_width(), config);
    let cross = Attention::new(config.decoder_cross, config.d_model, config);
    let layer = |layer| {
        let near = attention.add() + attention.ask(memory_tokens) + convolution(config, layer);
        near + memory_steps.map_or(0, |steps| cross.ask(steps)) + feed_forward(config)
    };
    (0..config.decoder_layers).map(layer).sum()
}

fn feed_forward(config: &ModelConfig) -> usize {
    2 * config.d_model * config.ffn_dim
}

/// One attention of `width` channels.
struct Attention {
    width: usize,
    heads: usize,
    head_dim: usize,
    /// None for the softmax kinds.
    feature_dim: Option<usize>,
    /// What these remember at most.
    longest_memory: usize,
    /// The network that reads a proportion off a vector, for all heads.
    proportion: usize,
}

impl Attention {
    fn new(kind: AttentionKind, width: usize, config: &ModelConfig) -> Self {
        let (head_dim, heads) = (config.head_dim, width / config.head_dim);
        let proportion = if kind == AttentionKind::Leap { heads * (head_dim * head_dim / 4 + head_dim / 4) } else { 0 };
        let longest_memory = if kind == AttentionKind::Window { config.window_steps } else { usize::MAX };
        Self { width, heads, head_dim, feature_dim: kind.feature_dim(head_dim), longest_memory, proportion }
    }

    fn add(&self) -> usize {
        self.feature_dim
            .map_or(0, |features| 2 * self.width * self.width + self.proportion + self.heads * features * self.head_dim)
    }

    fn ask(&self, memory: usize) -> usize {
        let projections = 2 * self.width * self.width;
        match self.feature_dim {
            Some(features) => projections + self.proportion + self.heads * features * (self.head_dim + 1),
            None => 2 * projections + 2 * self.heads * memory.min(self.longest_memory) * self.width,
        }
    }
}

/// Each convolution makes half as many outputs as the one before it.
fn subsample(config: &ModelConfig) -> usize {
    let (mut outputs, mut input, mut sum) = (config.frames_per_step / 2, config.num_mel_bins, 0);
    while outputs > 0 {
        sum += outputs * SUBSAMPLE_TAPS * input * 2 * config.d_model;
        (outputs, input) = (outputs / 2, config.d_model);
    }
    sum
}

fn convolution(config: &ModelConfig, layer: usize) -> usize {
    let (channels, width) = (config.d_model / 2, config.kernel_width(layer));
    let predicted = match config.convolution {
        ConvKind::Dynamic => channels * config.conv_groups * width,
        ConvKind::Lightweight => 0,
        ConvKind::None => return 0,
    };
    channels * 2 * channels + predicted + channels * width + channels * channels
}

/// The part of the network that a parameter belongs to, by its name: `decoder.layers.0.ffn.input.weight` is of
/// `decoder feed-forward`.
pub fn part_of(name: &str) -> String {
    let mut words = name.split('.');
    let side = words.next().unwrap_or_default();
    let block = if name.contains("norm.") {
        "norms"
    } else if name.contains(".lsra.attention.") {
        "self-attention"
    } else if name.contains(".lsra.convolution.") {
        "convolution"
    } else if name.contains(".cross.") {
        "cross-attention"
    } else if name.contains(".ffn.") {
        "feed-forward"
    } else {
        words.next().unwrap_or("other")
    };
    format!("{side} {block}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lite_steps_cost_what_the_formula_says() {
        // D 8, heads of 4, relu everywhere, one layer a side, kernel 3: small enough to count by hand.
        let config = ModelConfig {
            num_mel_bins: 2,
            d_model: 8,
            ffn_dim: 10,
            head_dim: 4,
            encoder_layers: 1,
            decoder_layers: 1,
            encoder_self: AttentionKind::Relu,
            decoder_self: AttentionKind::Relu,
            decoder_cross: AttentionKind::Relu,
            convolution: ConvKind::Lightweight,
            kernel_widths: vec![3],
            ..ModelConfig::tiny(6, 7)
        };
        let subsample = 2 * (5 * 2 * 16) + 5 * 8 * 16;
        let attention = 4 * 16 + 4 * 4 + 4 * 5; // four projections, a sum, a look-up with its norm
        let convolution = 4 * 8 + 4 * 3 + 4 * 4;
        let ffn = 2 * 80;
        let (cross_add, cross_ask) = (2 * 64 + 2 * 16, 2 * 64 + 2 * 20);
        let step = subsample + attention + convolution + ffn + 8 * 6 + cross_add;
        let token = attention + convolution + cross_ask + ffn + 8 * 7;
        assert_eq!(
            macs(&config, 100, 250, 30),
            Macs { per_audio_second: 25 * step, per_encoder_step: step, per_token: token }
        );
    }

    /// Table 1 of Lite Transformer (arXiv 2004.11886): 30 tokens each way, six layers a side, feed-forward blocks as wide
    /// as the stream. It has softmax with keys and values kept, T·A where the linear kinds have d·A.
    #[test]
    fn sentences_cost_what_the_paper_says() {
        for (d_model, head_dim, millions) in [(200, 20, 90.7), (408, 12, 361.0), (496, 8, 529.0)] {
            let config = ModelConfig {
                d_model,
                ffn_dim: d_model,
                head_dim,
                encoder_layers: 6,
                decoder_layers: 6,
                encoder_self: AttentionKind::Relu,
                decoder_self: AttentionKind::Relu,
                decoder_cross: AttentionKind::Relu,
                ..ModelConfig::small(32, 4000)
            };
            assert_eq!(config.validate(), Ok(()));
            let counted = text_macs(&config).per_sentence_of_30 as f64 / 1e6;
            assert!((counted / millions - 1.0).abs() < 0.02, "D = {d_model}: {counted:.1} M, the paper's {millions} M");
        }
    }

    #[test]
    fn only_softmax_pays_for_its_memory() {
        for kind in AttentionKind::ALL {
            let config = ModelConfig {
                encoder_self: kind,
                decoder_self: kind,
                decoder_cross: kind,
                ..ModelConfig::small(32, 4000)
            };
            let (short, long) = (macs(&config, 100, 100, 96), macs(&config, 100, 600, 200));
            assert_eq!(short == long, kind != AttentionKind::Softmax, "{kind:?}");
            let (shorter, window) = (macs(&config, 100, 60, 96), kind == AttentionKind::Window);
            assert_eq!(shorter == short, !window && kind != AttentionKind::Softmax, "{kind:?}");
        }
    }

    #[test]
    fn parameters_have_parts() {
        let parts = [
            ("decoder.layers.0.ffn.input.weight", "decoder feed-forward"),
            ("encoder.layers.5.lsra.attention.query_proportion.hidden.bias", "encoder self-attention"),
            ("encoder.layers.5.lsra_norm.weight", "encoder norms"),
            ("encoder.norm.bias", "encoder norms"),
            ("decoder.embedding", "decoder embedding"),
            ("encoder.subsample.first.weight", "encoder subsample"),
        ];
        for (name, part) in parts {
            assert_eq!(part_of(name), part);
        }
    }

    #[cfg(feature = "torch")]
    #[test]
    fn products_are_the_weight_matrices() {
        let config = ModelConfig { decoder_cross: AttentionKind::Leap, ..ModelConfig::tiny(11, 13) };
        multiplies_its_matrices(&config);
        multiplies_its_matrices(&ModelConfig { convolution: ConvKind::None, ..config.clone() });
        multiplies_its_matrices(&ModelConfig { frames_per_step: 8, ..config });
    }

    /// Every weight matrix but the embedding is one product a step (an earlier convolution of the subsampler two or four, a
    /// proportion one a head), and the embedding is the last product.
    #[cfg(feature = "torch")]
    fn multiplies_its_matrices(config: &ModelConfig) {
        use super::super::SpeechTranslator;
        use tch::{Device, Kind, nn};

        let width = config.attention_width();
        let store = nn::VarStore::new(Device::Cpu);
        let _model = SpeechTranslator::new(&store.root(), config, Kind::Float);
        let (mut step, mut token) = (0, 0);
        for (name, tensor) in store.variables() {
            let heads = if name.contains(".cross.") { config.d_model } else { width } / config.head_dim;
            let times = match name.as_str() {
                _ if tensor.dim() != 2 => 0,
                "encoder.subsample.first.weight" => config.frames_per_step / 2,
                "encoder.subsample.second.weight" => config.frames_per_step / 4,
                _ if name.contains("_proportion.") => heads,
                _ => 1,
            };
            let of_keys = name.contains(".cross.key") || name.contains(".cross.value");
            let count = if name.starts_with("encoder.") || of_keys { &mut step } else { &mut token };
            *count += times * tensor.numel();
        }
        // What has no weights: sums over features, and the convolutions' weighted sums.
        let sums = |width: usize, heads_extra: usize| {
            let features = 2 * config.head_dim;
            (width / config.head_dim) * features * (config.head_dim + heads_extra)
        };
        let convolved = config.d_model - width;
        for layer in 0..config.encoder_layers {
            step += sums(width, 0) + sums(width, 1) + convolved * config.kernel_width(layer);
        }
        for layer in 0..config.decoder_layers {
            step += sums(config.d_model, 0);
            token += sums(width, 0) + sums(width, 1) + convolved * config.kernel_width(layer);
            token += sums(config.d_model, 1);
        }
        let counted = macs(config, 100, 250, 30);
        assert_eq!((counted.per_encoder_step, counted.per_token), (step, token));
    }
}
