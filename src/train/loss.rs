//! The losses: label-smoothed cross-entropy over target tokens, CTC over source labels.

use tch::{Kind, Reduction, Tensor};

/// Cross-entropy summed over the tokens of `(B, U)` that are not `padding`, from log-probabilities `(B, U, V)`.
/// `smoothing` of the mass is spread over all V tokens (Szegedy et al. 2016, §7).
pub(crate) fn cross_entropy(log_probs: &Tensor, targets: &Tensor, padding: i64, smoothing: f64) -> Tensor {
    let counts = targets.not_equal(padding).to_kind(Kind::Float);
    let chosen = -log_probs.gather(-1, &targets.clamp_min(0).unsqueeze(-1), false).squeeze_dim(-1);
    let loss = if smoothing > 0.0 {
        let uniform = -log_probs.mean_dim([-1].as_slice(), false, Kind::Float);
        chosen * (1.0 - smoothing) + uniform * smoothing
    } else {
        chosen
    };
    (loss * counts).sum(Kind::Float)
}

/// CTC (Graves et al. 2006, eq. 8) summed over the batch: log-probabilities `(B, T, V)` of which row b has
/// `num_steps[b]`, labels `(B, S)` of which row b has `num_labels[b]`; blank is 0. A row with more labels than steps
/// can say counts as 0.
pub(crate) fn ctc(log_probs: &Tensor, num_steps: &Tensor, labels: &Tensor, num_labels: &Tensor) -> Tensor {
    let log_probs = log_probs.transpose(0, 1);
    Tensor::ctc_loss_tensor(&log_probs, labels, num_steps, num_labels, 0, Reduction::Sum, true)
}

/// How many encoder steps the prediction of a target token may see under wait-k on words (STACL, Ma et al. 2019,
/// eq. 7, with target words for units): word w, from 1, sees segments 1 to k+w−1. The end of the sentence (`None`)
/// and an offline pass (`k` none) see all.
pub(crate) fn visible_steps(word: Option<usize>, k: Option<u64>, steps_per_segment: usize, num_steps: usize) -> usize {
    match (word, k) {
        (Some(word), Some(k)) => ((k as usize + word - 1) * steps_per_segment).min(num_steps),
        _ => num_steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_mixes_in_the_uniform_loss_and_padding_counts_nothing() {
        let log_probs = Tensor::from_slice(&[0.7f32, 0.2, 0.1, 0.5, 0.25, 0.25]).log().view([1, 2, 3]);
        let targets = Tensor::from_slice(&[0i64, 2]).view([1, 2]);
        let plain = cross_entropy(&log_probs, &targets, 2, 0.0).double_value(&[]);
        assert!((plain + 0.7f64.ln()).abs() < 1e-6);
        let uniform = -(0.7f64.ln() + 0.2f64.ln() + 0.1f64.ln()) / 3.0;
        let smooth = cross_entropy(&log_probs, &targets, 2, 0.1).double_value(&[]);
        assert!((smooth - (0.9 * plain + 0.1 * uniform)).abs() < 1e-6);
    }

    #[test]
    fn ctc_of_one_label_in_two_steps_sums_three_paths() {
        let log_probs = Tensor::from_slice(&[0.6f32, 0.4, 0.7, 0.3]).log().view([1, 2, 2]);
        let one = Tensor::from_slice(&[1i64]);
        let loss = ctc(&log_probs, &Tensor::from_slice(&[2i64]), &one.view([1, 1]), &one).double_value(&[]);
        let paths: f64 = 0.4 * 0.7 + 0.6 * 0.3 + 0.4 * 0.3;
        assert!((loss + paths.ln()).abs() < 1e-6);
    }

    #[test]
    fn wait_k_counts_words_in_segments() {
        assert_eq!(visible_steps(Some(1), Some(3), 8, 100), 24);
        assert_eq!(visible_steps(Some(2), Some(3), 8, 100), 32);
        assert_eq!(visible_steps(Some(50), Some(3), 8, 100), 100);
        assert_eq!(visible_steps(None, Some(3), 8, 100), 100);
        assert_eq!(visible_steps(Some(1), None, 8, 100), 100);
    }
}
