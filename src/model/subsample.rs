//! Frames to encoder steps: two causal convolutions of stride 2 with gated linear units, ×4 in all.
//!
//! A convolution is written as one matrix product over stacked neighbours. Output t sees inputs 2t−3 to 2t+1, so a
//! segment's steps are final with its last frame.

use tch::{Device, Kind, Tensor, nn};

use super::config::ModelConfig;
use super::layers::Linear;

const WIDTH: i64 = 5;
const STRIDE: i64 = 2;
/// Inputs of the past that the next output needs.
const PAST: i64 = WIDTH - STRIDE;

/// What is quieter than this, in deviations from the mean, counts as this. A recording never is: its last bit is not still.
/// But gates, codecs and synthesisers fall silent with zeros, six deviations below the mean, where sentences were invented:
/// training hears hardly any of it.
const QUIETEST: f64 = -3.0;

/// The subsampler.
#[derive(Debug)]
pub(crate) struct Subsample {
    first: Linear,
    second: Linear,
    num_mel_bins: i64,
    width: i64,
}

/// The last inputs of both convolutions: `(B, 3, num_mel_bins)` and `(B, 3, D)`.
#[derive(Debug)]
pub(crate) struct SubsampleState {
    pub(crate) frames: Tensor,
    pub(crate) halves: Tensor,
}

impl Subsample {
    pub(crate) fn new(path: &nn::Path, config: &ModelConfig, product: Kind) -> Self {
        let (bins, width) = (config.num_mel_bins, config.d_model);
        let taps = WIDTH as usize;
        Self {
            first: Linear::new(&(path / "first"), taps * bins, 2 * width, true, product),
            second: Linear::new(&(path / "second"), taps * width, 2 * width, true, product),
            num_mel_bins: bins as i64,
            width: width as i64,
        }
    }

    pub(crate) fn init(&self, batch: i64, device: Device) -> SubsampleState {
        let zeros = |width| Tensor::zeros([batch, PAST, width], (Kind::Float, device));
        SubsampleState { frames: zeros(self.num_mel_bins), halves: zeros(self.width) }
    }

    /// Frames `(B, T, num_mel_bins)` → steps `(B, ceil(T/4), D)` f32. T may be anything at the end of an utterance
    /// (missing frames count as zeros, which is the mean); elsewhere it must be a multiple of 4.
    pub(crate) fn forward(&self, frames: &Tensor, state: &SubsampleState) -> (Tensor, SubsampleState) {
        let missing = -frames.size()[1] & 3;
        let frames = frames.clamp_min(QUIETEST).constant_pad_nd([0, 0, 0, missing]);
        let (halves, frames) = convolve(&self.first, &frames, &state.frames);
        let (steps, halves) = convolve(&self.second, &halves, &state.halves);
        (steps.to_kind(Kind::Float), SubsampleState { frames, halves })
    }
}

/// One convolution and the inputs that its successor needs.
fn convolve(kernel: &Linear, x: &Tensor, past: &Tensor) -> (Tensor, Tensor) {
    let context = Tensor::cat(&[&past.to_kind(x.kind()), x], 1);
    let stacked = context.unfold(1, WIDTH, STRIDE).flatten(2, 3); // (B, T/2, channels·5)
    let next = context.narrow(1, x.size()[1], PAST).to_kind(Kind::Float);
    (kernel.forward(&stacked).glu(-1), next)
}
