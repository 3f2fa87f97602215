//! Softmax attention over a stored memory (Vaswani et al. 2017, eq. 1).
//!
//! The state keeps the keys' inputs, not keys and values: q·(W_k h) = (W_kᵀq)·h and Σ w (W_v h) = W_v Σ w h, so both
//! projections move to the query (the trick of multi-head *latent* attention, arXiv 2405.04434 §2.1). The decoder's
//! layers thereby share one copy of the encoder's outputs: 25 s are 0.6 MiB, not 5.

use tch::{Kind, Tensor};

/// q `(B, H, Tq, d)`, k and v `(B, H, Tk, d)` under the mask `(B, 1, Tq, Tk)` → `(B, H, Tq, d)`.
pub(super) fn quadratic(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor) -> Tensor {
    let scale = 1.0 / (q.size()[3] as f64).sqrt();
    let scores = q.matmul(&k.transpose(-1, -2)).to_kind(Kind::Float) * scale;
    let weights = scores.masked_fill(&mask.logical_not(), f64::NEG_INFINITY).softmax(-1, Kind::Float);
    weights.to_kind(v.kind()).matmul(v)
}

/// Appends each row's first `valid` keys behind its own length. What lies behind a row's length is never read. Returns the
/// inputs and their lengths.
pub(super) fn append(inputs: &Tensor, lengths: &Tensor, keys: &Tensor, valid: &Tensor) -> (Tensor, Tensor) {
    let size = keys.size();
    let room = Tensor::zeros([size[0], size[1], size[2]], (Kind::Float, keys.device()));
    let slots = Tensor::arange(size[1], (Kind::Int64, keys.device())) + lengths.unsqueeze(-1);
    let index = slots.unsqueeze(-1).expand(&size, false);
    (Tensor::cat(&[inputs, &room], 1).scatter(1, &index, &keys.to_kind(Kind::Float)), lengths + valid)
}

/// Keeps each row's last `windows` `(B,)` inputs, and their lengths.
pub(super) fn crop(inputs: &Tensor, lengths: &Tensor, windows: &Tensor) -> (Tensor, Tensor) {
    let size = inputs.size();
    let kept = lengths.minimum(windows);
    if kept.equal(lengths) {
        return (inputs.shallow_clone(), kept);
    }
    let longest = kept.max().int64_value(&[]);
    let first = (lengths - &kept).unsqueeze(-1);
    // Behind a row's length nothing is read, so any place that exists will do.
    let index = (Tensor::arange(longest, (Kind::Int64, inputs.device())) + first).clamp_max(size[1] - 1);
    let index = index.unsqueeze(-1).expand([size[0], longest, size[2]], false);
    (inputs.gather(1, &index, false), kept)
}

/// Places behind their row's length, `(B, 1, T)`; `None` where all rows are as long as the longest.
pub(super) fn hidden(inputs: &Tensor, lengths: &Tensor) -> Option<Tensor> {
    let longest = inputs.size()[1];
    let keys = || Tensor::arange(longest, (Kind::Int64, inputs.device()));
    (lengths.min().int64_value(&[]) < longest).then(|| keys().ge_tensor(&lengths.unsqueeze(-1)).unsqueeze(1))
}

/// q `(B, H, Tq, d)` over the memory `(B, T, D)`, without what is `hidden` → `(B, H, Tq, d)`. Rows must have absorbed at
/// least one key. The heads are the batch of both projections: else the weights would be copied for each row.
pub(super) fn read(q: &Tensor, inputs: &Tensor, hidden: Option<&Tensor>, key: &Tensor, value: &Tensor) -> Tensor {
    let size = q.size();
    let (batch, heads, queries, dim) = (size[0], size[1], size[2], size[3]);
    let per_head = |w: &Tensor| w.to_kind(q.kind()).view([heads, dim, -1]);
    let by_head = |x: &Tensor| x.transpose(0, 1).reshape([heads, batch * queries, -1]);
    let by_row = |x: &Tensor| x.view([heads, batch, queries, -1]).transpose(0, 1);
    let q = by_row(&by_head(q).bmm(&per_head(key))).reshape([batch, heads * queries, -1]);
    let scores = q.to_kind(Kind::Float).bmm(&inputs.transpose(1, 2)) / (dim as f64).sqrt();
    let scores = hidden.map_or_else(|| scores.shallow_clone(), |hidden| scores.masked_fill(hidden, f64::NEG_INFINITY));
    let mixed = scores.softmax(-1, Kind::Float).bmm(inputs).view([batch, heads, queries, -1]);
    let value = per_head(value);
    by_row(&by_head(&mixed.to_kind(value.kind())).bmm(&value.transpose(-1, -2)))
}
