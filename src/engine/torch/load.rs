//! Bundles to translators, and to what their sessions share.

use tch::{Device, Tensor};
use thiserror::Error;

use super::{Model, TorchTranslator};
use crate::bundle::{Assets, Bundle};
use crate::model::{ModelConfig, SpeechTranslator, TextTranslator, WeightsError};
use crate::session::translator::TranslatorSpec;
use crate::session::{SessionAssets, SourceAssets};
use crate::text::{BLANK, EOS, Tokenizer};

/// Why a bundle cannot be served.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Its weights do not fit its config.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It has no part that reads.
    #[error("this bundle does not read text")]
    NoText,
}

/// What sessions must know of the network that `assets` describe.
pub fn spec(assets: &Assets) -> TranslatorSpec {
    let model = &assets.config.model;
    TranslatorSpec {
        num_mel_bins: model.num_mel_bins,
        frame_shift_ms: assets.config.features.frame_shift_ms,
        frames_per_step: ModelConfig::FRAMES_PER_STEP,
        steps_per_segment: model.steps_per_segment,
        max_utterance_segments: model.max_utterance_segments,
        // The end of the sentence has a position, too.
        max_tokens: model.max_target_tokens - 1,
        blank: BLANK,
    }
}

/// The same of the network that reads: a piece is an encoder step, and a segment.
fn text_spec(assets: &Assets) -> TranslatorSpec {
    let max_utterance_segments = assets.config.model.max_utterance_steps();
    TranslatorSpec { frames_per_step: 1, steps_per_segment: 1, max_utterance_segments, ..spec(assets) }
}

/// What the sessions that read share; `None` of a bundle that does not.
pub fn text_session_assets(bundle: &Bundle) -> Option<SessionAssets> {
    let (assets, text) = (&bundle.assets, bundle.text.as_ref()?);
    Some(SessionAssets {
        spec: text_spec(assets),
        source: SourceAssets::Text,
        source_tokenizer: text.source.clone(),
        target_tokenizer: assets.target.clone(),
    })
}

/// What the sessions that hear share.
pub fn session_assets(assets: &Assets) -> SessionAssets {
    SessionAssets {
        spec: spec(assets),
        source: SourceAssets::Speech { fbank: assets.config.features.clone(), cmvn: assets.cmvn.clone() },
        source_tokenizer: assets.source.clone(),
        target_tokenizer: assets.target.clone(),
    }
}

impl TorchTranslator {
    /// Loads a bundle's network onto `device`.
    pub fn load(bundle: &Bundle, device: Device) -> Result<Self, LoadError> {
        let model = SpeechTranslator::load(&bundle.weights, &bundle.assets.config.model, device)?;
        Ok(Self::new(model, &bundle.assets))
    }

    /// Loads a bundle's network that reads.
    pub fn load_text(bundle: &Bundle, device: Device) -> Result<Self, LoadError> {
        let (assets, text) = (&bundle.assets, bundle.text.as_ref().ok_or(LoadError::NoText)?);
        let vocab = text.source.vocab_size();
        let model = TextTranslator::load(&text.weights, vocab, &assets.config.model, device)?;
        let masks = masks(&assets.target).to_device(device);
        Ok(Self { model: Model::Text(model), spec: text_spec(assets), source_vocab: vocab, masks })
    }

    /// Wraps a network that hears; `assets` must be those that it was built from.
    pub fn new(model: SpeechTranslator, assets: &Assets) -> Self {
        let masks = masks(&assets.target).to_device(model.device());
        Self { spec: spec(assets), masks, source_vocab: assets.source.vocab_size(), model: Model::Speech(model) }
    }
}

fn masks(target: &Tokenizer) -> Tensor {
    let vocab = target.vocab_size() as u32;
    let mut values = Vec::new();
    for number in 0..8 {
        for token in 0..vocab {
            let class = match token {
                EOS => 1,
                _ if target.is_special(token) => 0,
                _ if target.begins_word(token) => 2,
                _ => 4,
            };
            values.push(if class & number != 0 { 0.0f32 } else { f32::NEG_INFINITY });
        }
    }
    Tensor::from_slice(&values).view([8, i64::from(vocab)])
}
