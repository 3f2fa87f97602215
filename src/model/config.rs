//! `config.json` of a bundle: every number that shapes the network.
//!
//! Plain data, built without libtorch. Invariant: a [`ModelConfig`] that [`ModelConfig::validate`] accepts can be
//! built, and two equal configs give the same parameter names and shapes.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The weight that a query gives to a key. Chosen per block, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttentionKind {
    /// softmax(q·k/√d): sharp; its state grows with the utterance (Vaswani et al. 2017).
    Softmax,
    /// relu(q)·relu(k): the plainest linear attention (Katharopoulos et al. 2020 with a relu feature map).
    Relu,
    /// relu(q)·relu(k)·cos(π/2·(i/M − j/M)) with a fixed clock M (cosFormer, arXiv 2202.08791, eq. 10).
    Cosformer,
    /// As cosformer, the positions replaced by proportions learnt from the token (LeaPformer, arXiv 2405.13046).
    Leap,
    /// Softmax over the last [`ModelConfig::window_steps`] of the keys that a query may see: as sharp, and its state stops
    /// growing. Under wait-k the window follows the words; offline a query sees the end of the source alone.
    Window,
}

impl AttentionKind {
    /// Every kind, for tests and benches that run over all of them.
    pub const ALL: [Self; 5] = [Self::Softmax, Self::Relu, Self::Cosformer, Self::Leap, Self::Window];

    /// Width of the feature map φ for heads of width `head_dim`; `None` for the softmax kinds, which have none.
    pub fn feature_dim(self, head_dim: usize) -> Option<usize> {
        match self {
            Self::Softmax | Self::Window => None,
            Self::Relu => Some(head_dim),
            Self::Cosformer | Self::Leap => Some(2 * head_dim),
        }
    }
}

/// How the convolutional half of LSRA gets its kernels (Wu et al. 2019, arXiv 1901.10430).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConvKind {
    /// Predicted from the input at every step.
    Dynamic,
    /// Static.
    Lightweight,
    /// No convolution: attention has all channels, and there is no LSRA.
    None,
}

/// The network's shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Filterbank bins.
    pub num_mel_bins: usize,
    /// Width of the residual stream, D.
    pub d_model: usize,
    /// Hidden width of the feed-forward blocks.
    pub ffn_dim: usize,
    /// Width of an attention head, d. LSRA's attention has D/2/d heads (D/d without convolution), the cross-attention D/d.
    pub head_dim: usize,
    /// Encoder layers.
    pub encoder_layers: usize,
    /// Decoder layers.
    pub decoder_layers: usize,
    /// Frames that become one encoder step: 4 or 8, by two or three convolutions of stride 2.
    #[serde(default = "default_frames_per_step")]
    pub frames_per_step: usize,
    /// Encoder steps that are encoded together, and the policy's unit (C).
    pub steps_per_segment: usize,
    /// Longest utterance, in segments; also the reach of the position table.
    pub max_utterance_segments: usize,
    /// Longest translation of an utterance, in tokens.
    pub max_target_tokens: usize,
    /// Attention of the encoder's LSRA.
    pub encoder_self: AttentionKind,
    /// Attention of the decoder's LSRA.
    pub decoder_self: AttentionKind,
    /// Attention from the decoder to the encoder.
    pub decoder_cross: AttentionKind,
    /// Keys in sight of [`AttentionKind::Window`].
    #[serde(default = "default_window_steps")]
    pub window_steps: usize,
    /// Under wait-k a word sees the last `k + reach_segments` segments of speech, which follow it through the source, and
    /// the memory stops growing; without, it sees all that was heard. Offline everything is in sight. Softmax across only.
    #[serde(default)]
    pub reach_segments: Option<usize>,
    /// Convolution of LSRA.
    pub convolution: ConvKind,
    /// Groups of channels that share one convolution kernel.
    pub conv_groups: usize,
    /// Kernel widths by layer; the last one repeats for deeper layers.
    pub kernel_widths: Vec<usize>,
    /// Lower limit of the linear attentions' denominators: the same in training and serving.
    pub epsilon: f64,
    /// Labels of the CTC head; label 0 is the blank.
    pub source_vocab: usize,
    /// Target tokens.
    pub target_vocab: usize,
    /// Share of activations dropped in training.
    pub dropout: f64,
}

/// A config that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("model config: {key} is {value}, allowed: {allowed}")]
pub struct ConfigError {
    key: &'static str,
    value: String,
    allowed: String,
}

/// What configs older than the key mean.
fn default_frames_per_step() -> usize {
    4
}

/// 2.6 s at 40 ms a step: a lag of seven segments of 320 ms, and one more. Half of it is sharper up to a lag of three.
fn default_window_steps() -> usize {
    64
}

impl ModelConfig {
    /// The size that trains on a CPU: about 5 million parameters.
    pub fn small(source_vocab: usize, target_vocab: usize) -> Self {
        Self {
            num_mel_bins: 80,
            d_model: 192,
            ffn_dim: 768,
            head_dim: 32,
            encoder_layers: 6,
            decoder_layers: 3,
            frames_per_step: default_frames_per_step(),
            steps_per_segment: 8,
            max_utterance_segments: 78,
            max_target_tokens: 256,
            encoder_self: AttentionKind::Leap,
            decoder_self: AttentionKind::Leap,
            decoder_cross: AttentionKind::Softmax,
            window_steps: default_window_steps(),
            reach_segments: None,
            convolution: ConvKind::Dynamic,
            conv_groups: 4,
            kernel_widths: vec![3, 7, 15, 31],
            epsilon: 0.1,
            source_vocab,
            target_vocab,
            dropout: 0.1,
        }
    }

    /// The size that wants a GPU: about 31 million parameters.
    pub fn base(source_vocab: usize, target_vocab: usize) -> Self {
        Self {
            d_model: 384,
            ffn_dim: 1536,
            encoder_layers: 12,
            decoder_layers: 6,
            ..Self::small(source_vocab, target_vocab)
        }
    }

    /// A few thousand parameters, for tests.
    pub fn tiny(source_vocab: usize, target_vocab: usize) -> Self {
        Self {
            d_model: 32,
            ffn_dim: 48,
            head_dim: 8,
            encoder_layers: 2,
            decoder_layers: 2,
            kernel_widths: vec![3, 7],
            ..Self::small(source_vocab, target_vocab)
        }
    }

    /// Kernel width of a layer, counted from 0.
    pub fn kernel_width(&self, layer: usize) -> usize {
        let last = self.kernel_widths.len().saturating_sub(1);
        self.kernel_widths.get(layer.min(last)).copied().unwrap_or(1)
    }

    /// Channels of LSRA's attention; the convolution has the others.
    pub fn attention_width(&self) -> usize {
        if self.convolution == ConvKind::None { self.d_model } else { self.d_model / 2 }
    }

    /// Longest utterance, in encoder steps.
    pub fn max_utterance_steps(&self) -> usize {
        self.max_utterance_segments * self.steps_per_segment
    }

    /// Checks every number; the error names the first key that is wrong and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("num_mel_bins", self.num_mel_bins),
            ("ffn_dim", self.ffn_dim),
            ("encoder_layers", self.encoder_layers),
            ("decoder_layers", self.decoder_layers),
            ("steps_per_segment", self.steps_per_segment),
            ("max_utterance_segments", self.max_utterance_segments),
            ("max_target_tokens", self.max_target_tokens),
            ("head_dim", self.head_dim),
            ("conv_groups", self.conv_groups),
            ("window_steps", self.window_steps),
        ];
        for (key, value) in positive {
            ensure((1..=65_536).contains(&value), key, value, "1 to 65536")?;
        }
        ensure([4, 8].contains(&self.frames_per_step), "frames_per_step", self.frames_per_step, "4 or 8")?;
        let unit = 2 * self.head_dim;
        ensure(self.head_dim.is_multiple_of(4), "head_dim", self.head_dim, "a multiple of 4")?;
        ensure(
            self.d_model > 0 && self.d_model <= 65_536 && self.d_model.is_multiple_of(unit),
            "d_model",
            self.d_model,
            format!("a multiple of twice head_dim ({unit}), at most 65536"),
        )?;
        ensure(
            (self.d_model / 2).is_multiple_of(self.conv_groups),
            "conv_groups",
            self.conv_groups,
            format!("a divisor of d_model / 2 ({})", self.d_model / 2),
        )?;
        ensure(
            !self.kernel_widths.is_empty() && self.kernel_widths.iter().all(|&k| (1..=255).contains(&k)),
            "kernel_widths",
            format!("{:?}", self.kernel_widths),
            "one to many widths of 1 to 255",
        )?;
        let reach = self.reach_segments.unwrap_or(0);
        ensure(reach <= 65_536, "reach_segments", reach, "0 to 65536")?;
        ensure(
            self.reach_segments.is_none() || self.decoder_cross == AttentionKind::Softmax,
            "reach_segments",
            reach,
            "nothing where decoder_cross is not softmax",
        )?;
        ensure(self.source_vocab >= 2, "source_vocab", self.source_vocab, "2 or more")?;
        ensure(self.target_vocab >= 5, "target_vocab", self.target_vocab, "5 or more")?;
        ensure(self.epsilon > 0.0 && self.epsilon <= 1.0, "epsilon", self.epsilon, "above 0, at most 1")?;
        ensure((0.0..1.0).contains(&self.dropout), "dropout", self.dropout, "0 to below 1")
    }
}

fn ensure(holds: bool, key: &'static str, value: impl ToString, allowed: impl Into<String>) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { key, value: value.to_string(), allowed: allowed.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid() {
        assert_eq!(ModelConfig::small(40, 4000).validate(), Ok(()));
        assert_eq!(ModelConfig::tiny(40, 50).validate(), Ok(()));
    }

    #[test]
    fn an_error_names_the_key_and_what_is_allowed() {
        let config = ModelConfig { d_model: 100, ..ModelConfig::small(40, 4000) };
        let message = config.validate().unwrap_err().to_string();
        assert_eq!(message, "model config: d_model is 100, allowed: a multiple of twice head_dim (64), at most 65536");
    }

    #[test]
    fn unknown_keys_are_refused() {
        let mut json = serde_json::to_value(ModelConfig::tiny(40, 50)).unwrap();
        json["d_modle"] = 3.into();
        assert!(serde_json::from_value::<ModelConfig>(json).is_err());
    }

    #[test]
    fn configs_older_than_a_key_mean_what_they_meant() {
        let config = ModelConfig::tiny(40, 50);
        let mut json = serde_json::to_value(&config).unwrap();
        for key in ["frames_per_step", "window_steps", "reach_segments"] {
            json.as_object_mut().unwrap().remove(key).unwrap();
        }
        assert_eq!(serde_json::from_value::<ModelConfig>(json).unwrap(), config);
    }

    #[test]
    fn a_step_has_four_or_eight_frames() {
        for (frames_per_step, allowed) in [(4, true), (8, true), (1, false), (6, false), (16, false)] {
            let config = ModelConfig { frames_per_step, ..ModelConfig::tiny(40, 50) };
            assert_eq!(config.validate().is_ok(), allowed, "{frames_per_step}");
        }
    }

    #[test]
    fn only_softmax_across_can_have_a_reach() {
        for (decoder_cross, allowed) in [(AttentionKind::Softmax, true), (AttentionKind::Leap, false)] {
            let config = ModelConfig { decoder_cross, reach_segments: Some(3), ..ModelConfig::tiny(40, 50) };
            assert_eq!(config.validate().is_ok(), allowed, "{decoder_cross:?}");
        }
    }

    #[test]
    fn the_last_kernel_width_repeats() {
        let config = ModelConfig::small(40, 4000);
        assert_eq!([0, 3, 7].map(|layer| config.kernel_width(layer)), [3, 31, 31]);
    }
}
