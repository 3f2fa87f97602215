//! Long-short range attention (Lite Transformer, arXiv 2004.11886 §3): half the channels attend far, half convolve near.

use tch::{Device, Kind, Tensor, nn};

use super::attention::{Attention, AttentionState, Visible};
use super::config::{AttentionKind, ModelConfig};
use super::conv::Convolution;

/// LSRA of one layer.
#[derive(Debug)]
pub(crate) struct Lsra {
    attention: Attention,
    convolution: Convolution,
    half: i64,
}

/// What one LSRA remembers.
#[derive(Debug)]
pub(crate) struct LsraState {
    pub(crate) attention: AttentionState,
    /// The convolution's last K−1 inputs, `(B, K−1, D/2)`.
    pub(crate) ring: Tensor,
}

impl Lsra {
    pub(crate) fn new(
        path: &nn::Path,
        kind: AttentionKind,
        layer: usize,
        clock: usize,
        config: &ModelConfig,
        product: Kind,
    ) -> Self {
        let half = config.d_model / 2;
        Self {
            attention: Attention::new(&(path / "attention"), kind, half, (clock, clock), config, product),
            convolution: Convolution::new(&(path / "convolution"), config.kernel_width(layer), config, product),
            half: half as i64,
        }
    }

    /// Whole sequences: `(B, T, D)` → `(B, T, D)`.
    pub(crate) fn forward(&self, x: &Tensor, visible: &Visible) -> Tensor {
        let (far, near) = self.split(x);
        let ring = self.convolution.init(x.size()[0], x.device());
        let (near, _) = self.convolution.forward(&near, &ring);
        Tensor::cat(&[self.attention.forward(&far, &far, visible), near], -1)
    }

    /// The state before the first step.
    pub(crate) fn init(&self, batch: i64, device: Device) -> LsraState {
        LsraState { attention: self.attention.init(batch, device), ring: self.convolution.init(batch, device) }
    }

    /// New steps `(B, T, D)` at `positions` `(B, T)`, which see each other and all before them; of row b only the
    /// first `valid[b]` are real. Returns `(B, T, D)` and the next state.
    pub(crate) fn step(
        &self,
        state: &LsraState,
        x: &Tensor,
        positions: &Tensor,
        valid: &Tensor,
    ) -> (Tensor, LsraState) {
        let (far, near) = self.split(x);
        let attention = self.attention.absorb(&state.attention, &far, positions, valid);
        let far = self.attention.read(&attention, &far, positions);
        let (near, ring) = self.convolution.forward(&near, &state.ring);
        (Tensor::cat(&[far, near], -1), LsraState { attention, ring })
    }

    fn split(&self, x: &Tensor) -> (Tensor, Tensor) {
        (x.narrow(-1, 0, self.half), x.narrow(-1, self.half, self.half))
    }
}
