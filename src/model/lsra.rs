//! Long-short range attention (Lite Transformer, arXiv 2004.11886 §3): half the channels attend far, half convolve near.
//! Without a convolution all attend, which is plain attention.

use tch::{Device, Tensor, nn};

use super::attention::{Attention, AttentionState, Valid, Visible};
use super::config::{AttentionKind, ModelConfig};
use super::conv::Convolution;
use super::packed::Products;

/// LSRA of one layer.
#[derive(Debug)]
pub(crate) struct Lsra {
    attention: Attention,
    /// None where attention has all channels.
    convolution: Option<Convolution>,
    attention_width: i64,
}

/// What one LSRA remembers.
#[derive(Debug)]
pub(crate) struct LsraState {
    pub(crate) attention: AttentionState,
    /// The convolution's last K−1 inputs, `(B, K−1, D/2)`.
    pub(crate) ring: Option<Tensor>,
}

impl Lsra {
    pub(crate) fn new(
        path: &nn::Path,
        kind: AttentionKind,
        layer: usize,
        clock: usize,
        config: &ModelConfig,
        products: &Products,
    ) -> Self {
        let width = config.attention_width();
        Self {
            attention: Attention::new(&(path / "attention"), kind, width, (clock, clock), config, products),
            convolution: Convolution::new(&(path / "convolution"), config.kernel_width(layer), config, products),
            attention_width: width as i64,
        }
    }

    /// Whole sequences: `(B, T, D)` → `(B, T, D)`.
    pub(crate) fn forward(&self, x: &Tensor, visible: &Visible) -> Tensor {
        let (far, near) = self.split(x);
        let (near, _) = self.convolve(&near, self.init_ring(x.size()[0], x.device()).as_ref());
        join(self.attention.forward(&far, &far, visible), near)
    }

    /// The state before the first step.
    pub(crate) fn init(&self, batch: i64, device: Device) -> LsraState {
        LsraState { attention: self.attention.init(batch, device), ring: self.init_ring(batch, device) }
    }

    /// New steps `(B, T, D)` at `positions` `(B, T)`, which see each other and all before them; those that are `valid` are
    /// real. Returns `(B, T, D)` and the next state.
    pub(crate) fn step(&self, state: &LsraState, x: &Tensor, positions: &Tensor, valid: &Valid) -> (Tensor, LsraState) {
        let (far, near) = self.split(x);
        let (far, attention) = self.attention.step(&state.attention, &far, positions, valid);
        let (near, ring) = self.convolve(&near, state.ring.as_ref());
        (join(far, near), LsraState { attention, ring })
    }

    fn split(&self, x: &Tensor) -> (Tensor, Tensor) {
        let width = self.attention_width;
        (x.narrow(-1, 0, width), x.narrow(-1, width, x.size()[2] - width))
    }

    fn init_ring(&self, batch: i64, device: Device) -> Option<Tensor> {
        self.convolution.as_ref().map(|convolution| convolution.init(batch, device))
    }

    /// Of nothing nothing, where there is no convolution.
    fn convolve(&self, near: &Tensor, ring: Option<&Tensor>) -> (Option<Tensor>, Option<Tensor>) {
        self.convolution.as_ref().zip(ring).map(|(convolution, ring)| convolution.forward(near, ring)).unzip()
    }
}

fn join(far: Tensor, near: Option<Tensor>) -> Tensor {
    match near {
        Some(near) => Tensor::cat(&[far, near], -1),
        None => far,
    }
}
