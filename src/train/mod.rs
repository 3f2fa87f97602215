//! Training: manifests of clips and sentence pairs to the weights of a bundle.
//!
//! The network, the filterbank and the tokenizers are those that serve; the masks are the serving schedule of speech
//! without pauses. Three stages (as in Bérard et al. 2018 and Di Gangi et al. 2019): `text` teaches the decoder German
//! from sentence pairs, `ctc` teaches the encoder to spell what it hears, `joint` teaches them to work together. Before them
//! `lm` may teach the decoder German by itself.
//! Invariant: a run is a function of its options, its files and its seed, whether or not it was interrupted. (With more
//! than one replica dropout is the exception: libtorch has one random generator for all threads.)

mod adam;
mod audio;
mod batch;
mod checkpoint;
mod codec;
mod loader;
mod log;
mod loss;
mod manifest;
mod muon;
mod options;
mod replica;
mod schedule;
mod specaugment;
#[cfg(test)]
mod tests;
mod trainer;
mod voice;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::audio::AudioError;
use crate::features::FeatureError;
use crate::text::TextError;

pub use audio::{cmvn, files_in};
pub use checkpoint::{Which, weights_of};
pub use log::{Entry, plot};
pub use manifest::{Example, read_manifest, read_pairs};
pub use options::{Augmentation, Optimizer, Task, TrainOptions};
pub use schedule::Schedule;
pub use specaugment::SpecAugment;
pub use trainer::train;

/// Why training cannot start or go on.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A row of a manifest is wrong.
    #[error("{path}, line {line}: {message}")]
    Row {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A clip could not be decoded.
    #[error("{path}: {message}")]
    Audio {
        /// Which file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A checkpoint does not fit.
    #[error("{path}: {message}")]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        message: String,
    },
    /// A plot could not be drawn.
    #[error("{path}: {message}")]
    Plot {
        /// Which file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A sentence could not be encoded.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Frames could not be computed.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// A clip's speed could not be changed.
    #[error(transparent)]
    Resample(#[from] AudioError),
    /// There is nothing to train on.
    #[error("no usable example: {0}")]
    NoExamples(String),
    /// A worker thread died.
    #[error("a training thread stopped: {0}")]
    Worker(String),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl TrainError {
    fn row(path: &Path, line: usize, message: String) -> Self {
        Self::Row { path: path.to_owned(), line, message }
    }

    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }
}
