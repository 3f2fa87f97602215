//! The linear kinds: feature maps and running sums (Katharopoulos et al. 2020, eq. 5 and 18–20).
//!
//! cos(a−b) = sin a sin b + cos a cos b splits a phase difference into one map a side, φ(u) = [u sin θ ; u cos θ],
//! so that o = φ(q)ᵀS / max(φ(q)·z, ε) with S = Σ φ(k) vᵀ and z = Σ φ(k).

use std::cell::OnceCell;
use std::f64::consts::FRAC_PI_2;

use tch::{Kind, Tensor, nn};

use super::super::config::AttentionKind;
use super::super::layers::Linear;
use super::super::packed::Products;
use super::Visible;

/// φ of one attention: non-negative features of projected queries and keys.
#[derive(Debug)]
pub(crate) struct FeatureMap {
    width: i64,
    phases: Phases,
    /// Whether the weights will never change.
    is_final: bool,
}

#[derive(Debug)]
enum Phases {
    /// relu: none.
    None,
    /// cosformer: position over a fixed clock, for queries and keys.
    Clock { queries: f64, keys: f64 },
    /// leap: a proportion that a small network reads off the vector itself.
    Learnt { queries: Box<Proportion>, keys: Box<Proportion>, both: Box<OnceCell<Pair>> },
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

/// The networks of queries and keys, whose weights are final, side by side: too small to be worth an operator each.
#[derive(Debug)]
struct Pair {
    /// `(2, d, d/4)`, `(2, 1, d/4)`.
    hidden: (Tensor, Tensor),
    /// `(2, d/4, 1)`, `(2, 1, 1)`.
    output: (Tensor, Tensor),
}

impl Pair {
    fn new(queries: &Proportion, keys: &Proportion) -> Self {
        let side_by_side = |one: &Linear, other: &Linear| {
            let (weights, biases): (Vec<Tensor>, Vec<Tensor>) =
                [one, other].iter().map(|linear| (linear.weight.tr(), linear.bias_row())).unzip();
            (Tensor::stack(&weights, 0), Tensor::stack(&biases, 0))
        };
        Self {
            hidden: side_by_side(&queries.hidden, &keys.hidden),
            output: side_by_side(&queries.output, &keys.output),
        }
    }

    /// Of queries and, behind them, keys, `(B, 2·H, T, d)` → angles `(B, 2·H, T, 1)`.
    fn angles(&self, u: &Tensor) -> Tensor {
        let size = u.size();
        let (batch, heads, steps) = (size[0], size[1] / 2, size[2]);
        let apply = |(weight, bias): &(Tensor, Tensor), x: &Tensor| bias.baddbmm(x, weight, 1.0, 1.0);
        let u = u.view([batch, 2, heads, steps, -1]).transpose(0, 1).reshape([2, batch * heads * steps, -1]);
        let angles = apply(&self.output, &apply(&self.hidden, &u).relu_()).sigmoid() * FRAC_PI_2;
        angles.view([2, batch, heads, steps, 1]).transpose(0, 1).reshape([batch, 2 * heads, steps, 1])
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
                both: Box::default(),
            },
        };
        Some(Self { width, phases, is_final: products.are_final() })
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

    /// φ(q) and φ(k) of queries and, behind them, keys: `(B, 2·H, T, d)` at positions `(B, T)`.
    pub(crate) fn both(&self, qk: &Tensor, positions: &Tensor) -> (Tensor, Tensor) {
        let halves = |x: &Tensor| {
            let heads = x.size()[1] / 2;
            (x.narrow(1, 0, heads), x.narrow(1, heads, heads))
        };
        match &self.phases {
            Phases::Learnt { queries, keys, both } if self.is_final => {
                let u = qk.relu();
                halves(&rotate(&u, &both.get_or_init(|| Pair::new(queries, keys)).angles(&u)))
            }
            _ => {
                let (q, k) = halves(qk);
                (self.queries(&q, positions), self.keys(&k, positions))
            }
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

/// S + φ(k)ᵀ v and z + Σ φ(k), over the keys of each row that are `valid`, `(B, 1, T, 1)`, or all.
pub(super) fn absorb(s: &Tensor, z: &Tensor, phi_k: &Tensor, v: &Tensor, valid: Option<&Tensor>) -> (Tensor, Tensor) {
    let phi_k = valid.map_or_else(|| phi_k.shallow_clone(), |valid| phi_k * valid);
    let flat = |x: &Tensor| x.reshape([-1, x.size()[2], x.size()[3]]);
    let sums = flat(s).baddbmm(&flat(&phi_k).transpose(1, 2), &flat(v), 1.0, 1.0).view_as(s);
    (sums, z + phi_k.sum_dim_intlist([2].as_slice(), false, Kind::Float))
}

/// o = φ(q)ᵀS / max(φ(q)·z, ε).
pub(super) fn read(phi_q: &Tensor, s: &Tensor, z: &Tensor, epsilon: f64) -> Tensor {
    phi_q.matmul(s) / phi_q.matmul(&z.unsqueeze(-1)).clamp_min(epsilon)
}
