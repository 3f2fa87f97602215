//! The decoder by itself, a language model: what Lite Transformer's other task trains (arXiv 2004.11886 §5.3), and a start for a
//! translator's decoder.

use tch::{Kind, Tensor, nn};

use super::config::ModelConfig;
use super::decoder::Decoder;
use super::packed::Products;

/// Says how a sentence goes on, knowing nothing but its beginning.
#[derive(Debug)]
pub struct LanguageModel {
    config: ModelConfig,
    decoder: Decoder,
}

impl LanguageModel {
    /// Makes the parameters `decoder.*` under `path`, those of the cross-attention too, which stay as they are drawn. Matrix
    /// products run in `product`.
    pub fn new(path: &nn::Path, config: &ModelConfig, product: Kind) -> Self {
        let decoder = Decoder::new(&(path / "decoder"), config, &Products::of(product));
        Self { config: config.clone(), decoder }
    }

    /// The config it was built from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Log-probabilities of the token after each of `tokens` `(B, U)`, which begin a sentence: `(B, U, target_vocab)`.
    pub fn score(&self, tokens: &Tensor, train: bool) -> Tensor {
        self.decoder.forward(tokens, None, train)
    }
}
