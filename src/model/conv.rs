//! Causal convolution with softmax-normalised kernels: LSRA's short-range half (Lite Transformer, arXiv 2004.11886 §3;
//! kernels of Wu et al., arXiv 1901.10430, eq. 1–3).
//!
//! One code path serves training, whole sequences and streaming: the K−1 inputs before the first step are an argument
//! (zeros at the start). The kernels are laid out as a band, so that the convolution is one matrix product.

use tch::{Device, Kind, Tensor, nn};

use super::config::{ConvKind, ModelConfig};
use super::layers::Linear;
use super::packed::Products;

/// Linear, GLU, depthwise convolution, linear.
#[derive(Debug)]
pub(crate) struct Convolution {
    input: Linear,
    kernel: Kernel,
    output: Linear,
    kernel_width: i64,
    groups: i64,
    channels: i64,
}

#[derive(Debug)]
enum Kernel {
    /// Predicted from the convolution's own input.
    Dynamic(Linear),
    /// `(groups, kernel_width)`.
    Static(Tensor),
}

impl Convolution {
    /// None for [`ConvKind::None`].
    pub(crate) fn new(path: &nn::Path, kernel_width: usize, config: &ModelConfig, products: &Products) -> Option<Self> {
        let channels = config.d_model / 2;
        let size = config.conv_groups * kernel_width;
        let kernel = match config.convolution {
            ConvKind::None => return None,
            ConvKind::Dynamic => Kernel::Dynamic(Linear::new(&(path / "kernel"), channels, size, true, products)),
            ConvKind::Lightweight => {
                let shape = [config.conv_groups as i64, kernel_width as i64];
                Kernel::Static(path.var("kernel", &shape, nn::Init::Randn { mean: 0.0, stdev: 0.1 }))
            }
        };
        Some(Self {
            input: Linear::new(&(path / "input"), channels, 2 * channels, true, products),
            kernel,
            output: Linear::new(&(path / "output"), channels, channels, true, products),
            kernel_width: kernel_width as i64,
            groups: config.conv_groups as i64,
            channels: channels as i64,
        })
    }

    /// The inputs before the first step: zeros `(B, K−1, channels)`.
    pub(crate) fn init(&self, batch: i64, device: Device) -> Tensor {
        Tensor::zeros([batch, self.kernel_width - 1, self.channels], (Kind::Float, device))
    }

    /// x `(B, T, channels)` after `past` `(B, K−1, channels)` → y `(B, T, channels)` and the next `past`.
    pub(crate) fn forward(&self, x: &Tensor, past: &Tensor) -> (Tensor, Tensor) {
        let gated = self.input.forward(x).glu(-1);
        let context = Tensor::cat(&[&past.to_kind(gated.kind()), &gated], 1);
        let (batch, steps) = (x.size()[0], x.size()[1]);
        let kernel = match &self.kernel {
            Kernel::Dynamic(predict) => {
                predict.forward(&gated).view([batch, steps, self.groups, self.kernel_width]).transpose(1, 2)
            }
            Kernel::Static(weight) => weight.view([1, self.groups, 1, -1]).expand([batch, -1, steps, -1], false),
        };
        let kernel = kernel.softmax(-1, Kind::Float).to_kind(gated.kind()); // (B, G, T, K)
        let inputs = context.view([batch, context.size()[1], self.groups, -1]); // (B, K−1+T, G, C/G)
        let mixed = match steps {
            1 => (inputs * kernel.permute([0, 3, 1, 2]))
                .sum_dim_intlist([1].as_slice(), false, None)
                .view([batch, 1, -1]),
            _ => banded(&kernel).matmul(&inputs.transpose(1, 2)).transpose(1, 2).reshape([batch, steps, self.channels]),
        };
        let next = context.narrow(1, steps, self.kernel_width - 1).to_kind(Kind::Float);
        (self.output.forward(&mixed), next)
    }
}

/// Row i of `(…, T, K)` moves i places to the right: `(…, T, T+K−1)`, zeros elsewhere. Padding every row to T+K and
/// reading the result with rows one shorter does it without a loop.
fn banded(kernel: &Tensor) -> Tensor {
    let size = kernel.size();
    let (steps, width) = (size[2], size[3]);
    let flat = kernel.constant_pad_nd([0, steps]).view([size[0], size[1], steps * (steps + width)]);
    flat.narrow(2, 0, steps * (steps + width - 1)).view([size[0], size[1], steps, steps + width - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_shifts_each_row_by_one() {
        let kernel = Tensor::from_slice(&[1f32, 2., 3., 4., 5., 6.]).view([1, 1, 3, 2]);
        let expected = [1f32, 2., 0., 0., 0., 3., 4., 0., 0., 0., 5., 6.];
        assert_eq!(banded(&kernel), Tensor::from_slice(&expected).view([1, 1, 3, 4]));
    }
}
