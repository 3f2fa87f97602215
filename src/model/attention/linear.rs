//! The linear kinds: feature maps and running sums (Katharopoulos et al. 2020, eq. 5 and 18–20).
//!
//! cos(a−b) = sin a sin b + cos a cos b splits a phase difference into one map a side, φ(u) = [u sin θ ; u cos θ],
//! so that o = φ(q)ᵀS / max(φ(q)·z, ε) with S = Σ φ(k) vᵀ and z = Σ φ(k).

use std::f64::consts::FRAC_PI_2;

use tch::{Kind, Tensor, nn};

use super::super::config::AttentionKind;
use super::super::layers::Linear;
use super::super::packed::Products;
use super::{AttentionState, Visible};

/// φ of one attention: non-negative features of projected queries and keys.
#[derive(Debug)]
pub(crate) struct FeatureMap {
    width: i64,
    phases: Phases,
}

#[derive(Debug)]
enum Phases {
    /// relu: none.
    None,
    /// cosformer: position over a fixed clock, for queries and keys.
    Clock { queries: f64, keys: f64 },
    /// leap: a proportion that a small network reads off the vector itself.
    Learnt { queries: Box<Proportion>, keys: Box<Proportion> },
}

/// P(u) = sigmoid(W₂ relu(W₁ u)), hidden width d/4, shared by the heads (LeaPformer, eq. 7).
#[derive(Debug)]
struct Proportion {
    hidden: Linear,
    output: Linear,
}

impl Proportion {
    fn new(path: &nn::Path, head_dim: usize, products: &Products) -> Self {
        Self {
            hidden: Linear::new(&(path / "hidden"), head_dim, head_dim / 4, true, products),
            output: Linear::new(&(path / "output"), head_dim / 4, 1, true, products),
        }
    }

    /// `(B, H, T, d)` → angles `(B, H, T, 1)` in [0, π/2].
    fn angles(&self, u: &Tensor) -> Tensor {
        self.output.forward(&self.hidden.forward(u).relu_()).to_kind(Kind::Float).sigmoid() * FRAC_PI_2
    }
}

impl FeatureMap {
    /// None for the softmax kinds, which have no feature map.
    pub(crate) fn new(
        path: &nn::Path,
        kind: AttentionKind,
        head_dim: usize,
        clocks: (usize, usize),
        products: &Products,
    ) -> Option<Self> {
        let width = kind.feature_dim(head_dim)? as i64;
        let phases = match kind {
            AttentionKind::Softmax | AttentionKind::Window => return None,
            AttentionKind::Relu => Phases::None,
            AttentionKind::Cosformer => Phases::Clock { queries: clocks.0 as f64, keys: clocks.1 as f64 },
            AttentionKind::Leap => Phases::Learnt {
                queries: Box::new(Proportion::new(&(path / "query_proportion"), head_dim, products)),
                keys: Box::new(Proportion::new(&(path / "key_proportion"), head_dim, products)),
            },
        };
        Some(Self { width, phases })
    }

    /// Dφ.
    pub(crate) fn width(&self) -> i64 {
        self.width
    }

    /// φ(q): `(B, H, T, d)` at positions `(B, T)` → `(B, H, T, Dφ)` f32.
    pub(crate) fn queries(&self, q: &Tensor, positions: &Tensor) -> Tensor {
        let u = q.relu();
        match &self.phases {
            Phases::None => u.to_kind(Kind::Float),
            Phases::Clock { queries, .. } => rotate(&u, &clock_angles(positions, *queries)),
            Phases::Learnt { queries, .. } => rotate(&u, &queries.angles(&u)),
        }
    }

    /// φ(k), as [`FeatureMap::queries`].
    pub(crate) fn keys(&self, k: &Tensor, positions: &Tensor) -> Tensor {
        let u = k.relu();
        match &self.phases {
            Phases::None => u.to_kind(Kind::Float),
            Phases::Clock { keys, .. } => rotate(&u, &clock_angles(positions, *keys)),
            Phases::Learnt { keys, .. } => rotate(&u, &keys.angles(&u)),
        }
    }
}

/// Angles `(B, 1, T, 1)`, held at π/2 beyond the clock: past it the cosine of a difference would turn negative.
fn clock_angles(positions: &Tensor, clock: f64) -> Tensor {
    let phase = (positions.to_kind(Kind::Float) / clock).clamp(0.0, 1.0);
    (phase * FRAC_PI_2).unsqueeze(1).unsqueeze(-1)
}

fn rotate(u: &Tensor, angles: &Tensor) -> Tensor {
    let u = u.to_kind(Kind::Float);
    Tensor::cat(&[&u * angles.sin(), u * angles.cos()], -1)
}

/// Explicit masked weights. φ(q) `(B, H, Tq, Dφ)`, φ(k) `(B, H, Tk, Dφ)`, v `(B, H, Tk, d)` → `(B, H, Tq, d)`.
pub(super) fn quadratic(phi_q: &Tensor, phi_k: &Tensor, v: &Tensor, visible: &Visible, epsilon: f64) -> Tensor {
    let weights = phi_q.matmul(&phi_k.transpose(-1, -2)) * &visible.mask;
    let denominator = weights.sum_dim_intlist([-1].as_slice(), true, Kind::Float).clamp_min(epsilon);
    weights.matmul(v) / denominator
}

/// The same through running sums: after each key the sums are kept, and every query takes the ones of its prefix.
#[cfg(test)]
pub(super) fn prefix_sums(phi_q: &Tensor, phi_k: &Tensor, v: &Tensor, visible: &Visible, epsilon: f64) -> Tensor {
    let outer = phi_k.unsqueeze(-1) * v.unsqueeze(-2); // (B, H, Tk, Dφ, d)
    let (sums, norms) = (outer.cumsum(2, Kind::Float), phi_k.cumsum(2, Kind::Float));
    let last = visible.mask.sum_dim_intlist([-1].as_slice(), true, Kind::Int64) - 1; // (B, 1, Tq, 1)
    let (batch, heads, queries) = (phi_q.size()[0], phi_q.size()[1], phi_q.size()[2]);
    let (width, dim) = (phi_q.size()[3], v.size()[3]);
    let z = norms.gather(2, &last.expand([batch, heads, queries, width], false), false);
    let s = sums.gather(2, &last.unsqueeze(-1).expand([batch, heads, queries, width, dim], false), false);
    let numerator = phi_q.unsqueeze(-2).matmul(&s).squeeze_dim(-2);
    let denominator = (phi_q * z).sum_dim_intlist([-1].as_slice(), true, Kind::Float).clamp_min(epsilon);
    numerator / denominator
}

/// S += φ(k)ᵀ v, z += Σ φ(k), over the valid keys of each row.
pub(super) fn absorb(s: &Tensor, z: &Tensor, phi_k: &Tensor, v: &Tensor, valid: &Tensor) -> AttentionState {
    let steps = Tensor::arange(phi_k.size()[2], (Kind::Int64, phi_k.device()));
    let counts = steps.lt_tensor(&valid.unsqueeze(-1)).unsqueeze(1).unsqueeze(-1); // (B, 1, T, 1)
    let phi_k = phi_k * counts;
    AttentionState::Sums {
        s: s + phi_k.transpose(-1, -2).matmul(v),
        z: z + phi_k.sum_dim_intlist([2].as_slice(), false, Kind::Float),
    }
}

/// o = φ(q)ᵀS / max(φ(q)·z, ε).
pub(super) fn read(phi_q: &Tensor, s: &Tensor, z: &Tensor, epsilon: f64) -> Tensor {
    phi_q.matmul(s) / phi_q.matmul(&z.unsqueeze(-1)).clamp_min(epsilon)
}
