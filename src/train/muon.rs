//! Muon (Jordan et al. 2024): the step of a matrix is its momentum with all singular values made about equal.
//!
//! Adam's step for a matrix is dominated by a few directions; where all count, more is learnt from a batch. Scaled as in
//! Liu et al. 2025 (arXiv 2502.16982, equation 4), so that Adam's learning rates fit.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::adam::Entry;

/// Smallest side of a matrix that is worth it.
const MIN_SIDE: i64 = 64;
/// Coefficients of the quintic iteration, as published: steep at zero, singular values end between 0.7 and 1.2.
const QUINTIC: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
const ITERATIONS: usize = 5;
/// Root mean square of Adam's steps, in learning rates.
const ADAM_RMS: f64 = 0.2;

/// Whether a parameter is a matrix that maps vectors to vectors; embeddings, biases, norms and kernels stay with Adam.
fn is_map(entry: &Entry) -> bool {
    entry.shape.len() == 2 && entry.shape.iter().all(|&side| side >= MIN_SIDE) && !entry.name.ends_with("embedding")
}

/// Overwrites the matrices of a flat `step` (`(N,)`, in learning rates) with Muon's steps along the flat `momentum`.
pub(crate) fn redirect(step: &Tensor, momentum: &Tensor, entries: &[Entry]) {
    let mut by_shape = BTreeMap::<&[i64], Vec<&Entry>>::new();
    for entry in entries.iter().filter(|entry| is_map(entry)) {
        by_shape.entry(&entry.shape).or_default().push(entry);
    }
    for (shape, entries) in by_shape {
        let momenta: Vec<_> = entries.iter().map(|entry| entry.view(momentum)).collect();
        let longer = shape.iter().copied().max().unwrap_or(1);
        let steps = orthogonalize(&Tensor::stack(&momenta, 0)) * (ADAM_RMS * (longer as f64).sqrt());
        for (entry, new) in entries.iter().zip(steps.unbind(0)) {
            entry.view(step).copy_(&new);
        }
    }
}

/// About the nearest matrices with orthonormal rows or columns: `(B, M, N)` to the same, by the Newton–Schulz iteration.
/// Zero stays zero.
fn orthogonalize(matrices: &Tensor) -> Tensor {
    let tall = matrices.size()[1] > matrices.size()[2];
    let mut x = if tall { matrices.transpose(1, 2) } else { matrices.shallow_clone() };
    let norm = x.square().sum_dim_intlist([1, 2].as_slice(), true, Kind::Float).sqrt();
    x = &x / (norm + 1e-12);
    let (a, b, c) = QUINTIC;
    for _ in 0..ITERATIONS {
        let gram = x.bmm(&x.transpose(1, 2));
        let poly = gram.baddbmm(&gram, &gram, b, c);
        x = x.baddbmm(&poly, &x, a, 1.0);
    }
    if tall { x.transpose(1, 2) } else { x }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn singular_values_become_about_equal_and_directions_stay() {
        tch::manual_seed(1);
        for (m, n) in [(64, 192), (192, 64), (64, 128)] {
            let matrix = Tensor::randn([1, m, n], (Kind::Float, Device::Cpu));
            let (u, _, v) = matrix.get(0).svd(true, true);
            let core = u.tr().matmul(&orthogonalize(&matrix).get(0)).matmul(&v);
            let values = core.diagonal(0, 0, 1);
            let (low, high) = (values.min().double_value(&[]), values.max().double_value(&[]));
            assert!(low > 0.3 && high < 1.3, "singular values of {m} by {n} from {low} to {high}");
            let rest = (core - values.diag_embed(0, 0, 1)).abs().max().double_value(&[]);
            assert!(rest < 1e-3, "{rest} off the diagonal");
        }
    }

    #[test]
    fn nothing_stays_nothing() {
        let zero = Tensor::zeros([2, 64, 64], (Kind::Float, Device::Cpu));
        assert_eq!(orthogonalize(&zero).abs().max().double_value(&[]), 0.0);
    }
}
