//! Frames to encoder steps: two causal convolutions of stride 2 with gated linear units, ×4 in all, or three, ×8.
//!
//! A convolution is written as one matrix product over stacked neighbours. Output t sees inputs 2t−3 to 2t+1, so a
//! segment's steps are final with its last frame.

use tch::{Device, Kind, Tensor, nn};

use super::config::ModelConfig;
use super::layers::Linear;
use super::packed::Products;

const WIDTH: i64 = 5;
const STRIDE: i64 = 2;
const NAMES: [&str; 3] = ["first", "second", "third"];
/// Inputs of the past that the next output needs.
const PAST: i64 = WIDTH - STRIDE;

/// What is quieter than this, in deviations from the mean, counts as this. A recording never is: its last bit is not still.
/// But gates, codecs and synthesisers fall silent with zeros, six deviations below the mean, where sentences were invented:
/// training hears hardly any of it.
const QUIETEST: f64 = -3.0;

/// The subsampler.
#[derive(Debug)]
pub(crate) struct Subsample {
    /// Each with the width of its input.
    convolutions: Vec<(Linear, i64)>,
}

/// The last inputs of each convolution: `(B, 3, num_mel_bins)`, then `(B, 3, D)`.
#[derive(Debug)]
pub(crate) struct SubsampleState {
    pub(crate) past: Vec<Tensor>,
}

impl Subsample {
    pub(crate) fn new(path: &nn::Path, config: &ModelConfig, products: &Products) -> Self {
        let width = config.d_model;
        let convolution = |(index, name): (usize, &str)| {
            let input = if index == 0 { config.num_mel_bins } else { width };
            (Linear::new(&(path / name), WIDTH as usize * input, 2 * width, true, products), input as i64)
        };
        let count = config.frames_per_step.ilog2() as usize;
        Self { convolutions: NAMES.into_iter().enumerate().take(count).map(convolution).collect() }
    }

    pub(crate) fn init(&self, batch: i64, device: Device) -> SubsampleState {
        let zeros = |(_, width): &(Linear, i64)| Tensor::zeros([batch, PAST, *width], (Kind::Float, device));
        SubsampleState { past: self.convolutions.iter().map(zeros).collect() }
    }

    /// Frames `(B, T, num_mel_bins)` → steps `(B, ceil(T/4), D)` f32 (of 8 frames: T/8). T may be anything at the end of
    /// an utterance (missing frames count as zeros, which is the mean); elsewhere it must be a multiple of 4 (8).
    pub(crate) fn forward(&self, frames: &Tensor, state: &SubsampleState) -> (Tensor, SubsampleState) {
        let missing = -frames.size()[1] & ((1 << self.convolutions.len()) - 1);
        let mut x = frames.clamp_min(QUIETEST).constant_pad_nd([0, 0, 0, missing]);
        let mut past = Vec::with_capacity(self.convolutions.len());
        for ((kernel, _), before) in self.convolutions.iter().zip(&state.past) {
            let (y, next) = convolve(kernel, &x, before);
            past.push(next);
            x = y;
        }
        (x.to_kind(Kind::Float), SubsampleState { past })
    }
}

/// One convolution and the inputs that its successor needs.
fn convolve(kernel: &Linear, x: &Tensor, past: &Tensor) -> (Tensor, Tensor) {
    let context = Tensor::cat(&[&past.to_kind(x.kind()), x], 1);
    let stacked = context.unfold(1, WIDTH, STRIDE).flatten(2, 3); // (B, T/2, channels·5)
    let next = context.narrow(1, x.size()[1], PAST).to_kind(Kind::Float);
    (kernel.forward(&stacked).glu(-1), next)
}
