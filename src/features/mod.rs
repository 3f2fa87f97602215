//! Samples to log-mel filterbank frames: [`OnlineFbank`] computes them as audio arrives, [`Cmvn`] normalises them.
//!
//! Invariant: a frame depends on its own samples and on fixed statistics alone, so the frames of a stream are bit for
//! bit those of the whole recording, wherever the stream was cut.

mod cmvn;
mod fbank;
mod mel;
mod window;

pub use cmvn::{Cmvn, CmvnAccumulator};
pub use fbank::{FbankConfig, FbankState, OnlineFbank, fbank};

use thiserror::Error;

/// Why features cannot be computed or normalised.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FeatureError {
    /// A key of [`FbankConfig`] is out of range.
    #[error("{key} is {value}, allowed is {allowed}")]
    Config {
        /// Name of the key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        allowed: String,
    },
    /// More bins than the spectrum's resolution can fill.
    #[error("num_mel_bins is {num_mel_bins}, but filter {filter} holds no spectral bin; use fewer bins")]
    EmptyFilter {
        /// Bins asked for.
        num_mel_bins: usize,
        /// First filter without a spectral bin, from 0.
        filter: usize,
    },
    /// Mean and inverse standard deviation do not fit together.
    #[error("statistics have {mean} means and {inv_std} inverse standard deviations, allowed is as many, at least one")]
    StatisticsLength {
        /// Number of means.
        mean: usize,
        /// Number of inverse standard deviations.
        inv_std: usize,
    },
    /// A statistic that would turn features into nonsense.
    #[error(
        "statistics of bin {bin} are mean {mean}, inverse standard deviation {inv_std}; allowed are finite numbers, the latter above 0"
    )]
    StatisticsValue {
        /// Bin number, from 0.
        bin: usize,
        /// Its mean.
        mean: f32,
        /// Its inverse standard deviation.
        inv_std: f32,
    },
    /// Statistics were asked for before any frame was seen.
    #[error("no frame was accumulated, statistics need at least one")]
    NoFrames,
}
