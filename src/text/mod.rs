//! Text to token ids for training, token ids to text that never changes for serving.
//!
//! Invariant: the four special tokens have the ids [`BLANK`], [`BOS`], [`EOS`] and [`UNK`] in every vocabulary, and
//! decoding never prints them.

mod ctc;
mod detokenizer;
mod language;
mod letters;
mod likeness;
mod ngrams;
mod normalize;
mod numbers;
mod recognizer;
mod tokenizer;
mod words;

pub use ctc::CtcCollapse;
pub use detokenizer::Detokenizer;
pub use language::Language;
pub use likeness::Likeness;
pub use normalize::normalize_source;
pub use recognizer::{Effort, Heard, Recognizer, Search};
pub use tokenizer::Tokenizer;

use thiserror::Error;

/// Padding, and the blank label of connectionist temporal classification (CTC): `<blank>`.
pub const BLANK: u32 = 0;
/// Beginning of a sentence: `<s>`.
pub const BOS: u32 = 1;
/// End of a sentence: `</s>`.
pub const EOS: u32 = 2;
/// A character that the training text did not have: `<unk>`.
pub const UNK: u32 = 3;

/// Why a tokenizer cannot be made or used.
#[derive(Debug, Error)]
pub enum TextError {
    /// The file cannot be read.
    #[error("cannot read tokenizer {path}")]
    Read {
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not the JSON of a tokenizer.
    #[error("not a tokenizer: {0}")]
    Format(String),
    /// A special token is missing or elsewhere.
    #[error("token {id} is {found:?}, it must be {expected:?}")]
    Special {
        /// The id.
        id: u32,
        /// The special token that belongs there.
        expected: &'static str,
        /// What is there.
        found: Option<String>,
    },
    /// The ids have a hole.
    #[error("the vocabulary has {vocab_size} tokens but none with id {id}, ids must be contiguous")]
    Gap {
        /// Number of tokens.
        vocab_size: usize,
        /// The missing id.
        id: u32,
    },
    /// Training failed.
    #[error("cannot train a tokenizer: {0}")]
    Train(String),
    /// Not a model of a language.
    #[error("not a model of a language: {0}")]
    Language(String),
    /// A text cannot be encoded.
    #[error("cannot encode text: {0}")]
    Encode(String),
}
