//! The smallest parts: linear maps, layer norms, feed-forward blocks, positions.
//!
//! Invariant: the residual stream, norms and sums are f32; only matrix products run in the kind of the model's [`Products`].

use tch::{Device, Kind, Tensor, nn};

use super::packed::{Product, Products};

/// y = x·Wᵀ + b.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    bias: Option<Tensor>,
    product: Product,
}

impl Linear {
    /// Xavier-uniform weights, zero bias.
    pub(crate) fn new(path: &nn::Path, input: usize, output: usize, bias: bool, products: &Products) -> Self {
        let bound = (6.0 / (input + output) as f64).sqrt();
        let init = nn::Init::Uniform { lo: -bound, up: bound };
        Self {
            weight: path.var("weight", &[output as i64, input as i64], init),
            bias: bias.then(|| path.var("bias", &[output as i64], nn::Init::Const(0.0))),
            product: Product::new(products),
        }
    }

    /// b as `(1, output)`.
    pub(crate) fn bias_row(&self) -> Tensor {
        let zeros = || self.weight.new_zeros([self.weight.size()[0]], (self.weight.kind(), self.weight.device()));
        self.bias.as_ref().map_or_else(zeros, Tensor::shallow_clone).unsqueeze(0)
    }

    /// `(…, input)` → `(…, output)`, in the product kind.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        self.product.apply(x, &self.weight, self.bias.as_ref())
    }
}

/// Layer normalisation over the last dimension, in f32.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    pub(crate) fn new(path: &nn::Path, width: usize) -> Self {
        Self {
            weight: path.var("weight", &[width as i64], nn::Init::Const(1.0)),
            bias: path.var("bias", &[width as i64], nn::Init::Const(0.0)),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), 1e-5, false)
    }
}

/// Linear, relu, linear.
#[derive(Debug)]
pub(crate) struct FeedForward {
    input: Linear,
    output: Linear,
}

impl FeedForward {
    pub(crate) fn new(path: &nn::Path, width: usize, hidden: usize, products: &Products) -> Self {
        Self {
            input: Linear::new(&(path / "input"), width, hidden, true, products),
            output: Linear::new(&(path / "output"), hidden, width, true, products),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        self.output.forward(&self.input.forward(x).relu_())
    }
}

/// Drops channels of `(B, T, D)` with probability `rate`, one mask a sentence and channel: as good a regulariser
/// as element-wise dropout here, without its cost in random numbers.
pub(crate) fn dropout(x: Tensor, rate: f64, train: bool) -> Tensor {
    if !train || rate == 0.0 {
        return x;
    }
    let size = x.size();
    let keep = Tensor::full([size[0], 1, size[2]], 1.0 - rate, (x.kind(), x.device())).bernoulli() / (1.0 - rate);
    x * keep
}

/// Sinusoidal positions (Vaswani et al. 2017, §3.5), computed once.
#[derive(Debug)]
pub(crate) struct Sinusoids {
    /// `(count, D)`.
    table: Tensor,
}

impl Sinusoids {
    /// Of the positions 0 to `count` − 1.
    pub(crate) fn new(count: usize, width: usize, device: Device) -> Self {
        let half = (width / 2) as i64;
        let exponent = Tensor::arange(half, (Kind::Float, device)) * (-(10_000f64.ln()) / half as f64);
        let angle = Tensor::arange(count as i64, (Kind::Float, device)).unsqueeze(-1) * exponent.exp();
        Self { table: Tensor::cat(&[angle.sin(), angle.cos()], -1) }
    }

    /// `(B, T)` → `(B, T, D)` f32. What lies beyond the last position, where nothing was trained, is taken for the last.
    pub(crate) fn of(&self, positions: &Tensor) -> Tensor {
        Tensor::embedding(&self.table, &positions.clamp_max(self.table.size()[0] - 1), -1, false, false)
    }
}

/// `(B, T)` positions that begin at each row's `start` (`(B,)`).
pub(crate) fn positions_from(start: &Tensor, count: i64) -> Tensor {
    start.unsqueeze(-1) + Tensor::arange(count, (Kind::Int64, start.device()))
}
