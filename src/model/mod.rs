//! The network: filterbank frames to encoder steps to scores of the next token.
//!
//! Modular Linearized Attention (arXiv 2304.08453) with the long-short range attention of Lite Transformer (arXiv
//! 2004.11886). Training calls the `forward` methods, serving the `step` methods of the same layers.
//! Invariant: the model is read-only; all that an utterance accumulates is in its `State`.

mod config;
mod cost;
pub use config::{AttentionKind, ConfigError, ConvKind, ModelConfig};
pub use cost::{Macs, TextMacs, language_model_macs, macs, part_of, text_macs};

#[cfg(feature = "torch")]
mod attention;
#[cfg(feature = "torch")]
mod beam;
#[cfg(feature = "torch")]
mod compress;
#[cfg(feature = "torch")]
mod conv;
#[cfg(feature = "torch")]
mod decoder;
#[cfg(feature = "torch")]
mod encoder;
#[cfg(feature = "torch")]
mod language;
#[cfg(feature = "torch")]
mod layers;
#[cfg(feature = "torch")]
mod lsra;
#[cfg(feature = "torch")]
mod packed;
#[cfg(feature = "torch")]
mod state;
#[cfg(feature = "torch")]
mod subsample;
#[cfg(test)]
mod tests;
#[cfg(feature = "torch")]
mod translator;
#[cfg(feature = "torch")]
mod weights;

#[cfg(feature = "torch")]
pub use beam::{Hypothesis, Progress, Search, Task, Vocabulary};
#[cfg(feature = "torch")]
pub use compress::{deflate, prune, quantize};
#[cfg(feature = "torch")]
pub use encoder::{SpeechEncoder, TextEncoder};
#[cfg(feature = "torch")]
pub use language::LanguageModel;
#[cfg(feature = "torch")]
pub use state::{State, StateError};
#[cfg(feature = "torch")]
pub use translator::{EncoderDecoder, SpeechTranslator, TextTranslator, Utterances};
#[cfg(feature = "torch")]
pub use weights::{WeightsError, read_weights, save_weights};
