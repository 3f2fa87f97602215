//! Attention of five kinds in three forms: quadratic, whole-sequence linear, and recurrent.
//!
//! The recurrent form is split in two, because the cross-attention takes its keys and its queries at different
//! times: [`Attention::absorb`] adds keys to a state, [`Attention::read`] asks it. Every mask of the model (segments,
//! causality, wait-k) shows a query a *prefix* of the keys, so a mask is one count a query: [`Visible`]. A window is the
//! last of them, in the mask and in the state.
//! Invariant: for any chunking of the keys, absorb and read give what [`Attention::forward`] gives; sums are f32.

mod linear;
mod softmax;

use tch::{Device, Kind, Tensor, nn};

pub(crate) use linear::FeatureMap;

use super::config::{AttentionKind, ModelConfig};
use super::layers::Linear;
use super::packed::{Product, Products};

/// How many keys each query sees.
#[derive(Debug)]
pub(crate) struct Visible {
    /// `(B, 1, Tq, Tk)`, true where visible.
    mask: Tensor,
    /// Where each query's prefix of the keys ends, `(B, 1, Tq, 1)`.
    counts: Tensor,
}

impl Visible {
    /// Query i of row b sees the first `counts[b][i]` keys, at least 1: `(B, Tq)`.
    pub(crate) fn new(counts: &Tensor, num_keys: i64) -> Self {
        let keys = Tensor::arange(num_keys, (Kind::Int64, counts.device()));
        let counts = counts.unsqueeze(-1).unsqueeze(1);
        Self { mask: keys.lt_tensor(&counts), counts }
    }

    /// Of the keys that each query sees, the last `window`.
    pub(crate) fn last(&self, window: i64) -> Self {
        let keys = Tensor::arange(self.mask.size()[3], (Kind::Int64, self.mask.device()));
        let mask = self.mask.logical_and(&keys.ge_tensor(&(&self.counts - window)));
        Self { mask, counts: self.counts.shallow_clone() }
    }

    /// Each query sees itself and what lies before it.
    pub(crate) fn causal(batch: i64, length: i64, device: Device) -> Self {
        let counts = Tensor::arange_start(1, length + 1, (Kind::Int64, device)).expand([batch, length], false);
        Self::new(&counts, length)
    }
}

/// How many of each row's new keys count: the first ones.
#[derive(Debug)]
pub(crate) struct Valid {
    /// `(B,)` int64.
    pub(crate) counts: Tensor,
    /// `(B, 1, T, 1)` f32, 1 for those that count; none where all do, which is nearly always.
    mask: Option<Tensor>,
}

impl Valid {
    /// Of row b's `length` keys the first `counts[b]`.
    pub(crate) fn new(counts: &[usize], length: usize, device: Device) -> Self {
        let all = counts.iter().all(|&count| count == length);
        let counts =
            Tensor::from_slice(&counts.iter().map(|&count| count as i64).collect::<Vec<_>>()).to_device(device);
        let mask = || {
            let keys = Tensor::arange(length as i64, (Kind::Int64, device));
            keys.lt_tensor(&counts.unsqueeze(-1)).to_kind(Kind::Float).unsqueeze(1).unsqueeze(-1)
        };
        Self { mask: (!all).then(mask), counts }
    }

    /// One key in each row, like `tokens` `(B,)` int64.
    pub(crate) fn one_each(tokens: &Tensor) -> Self {
        Self { counts: tokens.ones_like(), mask: None }
    }
}

/// What attention remembers of its keys. Leading dimension: `B` sessions.
#[derive(Debug)]
pub(crate) enum AttentionState {
    /// Linear kinds: S `(B, H, Dφ, d)` and z `(B, H, Dφ)`, f32, of constant size.
    Sums { s: Tensor, z: Tensor },
    /// Softmax: the keys' *inputs* `(B, T, D_in)` and how many of them count, `(B,)`; of a window T is its length at
    /// most. Keys and values are never stored: their projections move to the query's side (see [`softmax::read`]).
    Memory { inputs: Tensor, lengths: Tensor },
}

impl AttentionState {
    /// Places of a memory that lie behind their row's length, `(B, 1, T)`; `None` where there are none.
    pub(crate) fn hidden(&self) -> Option<Tensor> {
        match self {
            Self::Memory { inputs, lengths } => softmax::hidden(inputs, lengths),
            Self::Sums { .. } => None,
        }
    }

    /// Forgets all but each row's last `windows` `(B,)` keys; sums cannot.
    pub(crate) fn last(&self, windows: &Tensor) -> Self {
        match self {
            Self::Memory { inputs, lengths } => {
                let (inputs, lengths) = softmax::crop(inputs, lengths, windows);
                Self::Memory { inputs, lengths }
            }
            Self::Sums { s, z } => Self::Sums { s: s.shallow_clone(), z: z.shallow_clone() },
        }
    }
}

/// Multi-head attention of one kind.
#[derive(Debug)]
pub(crate) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    /// The three in one, where all have the same input.
    joined: Product,
    output: Linear,
    num_heads: i64,
    input_width: i64,
    /// None for the softmax kinds.
    feature_map: Option<FeatureMap>,
    /// Keys that softmax looks back on; None for all.
    window: Option<i64>,
    epsilon: f64,
}

impl Attention {
    /// `width` → `width` channels; `clocks` are the lengths M of cosformer's queries and keys.
    pub(crate) fn new(
        path: &nn::Path,
        kind: AttentionKind,
        width: usize,
        clocks: (usize, usize),
        config: &ModelConfig,
        products: &Products,
    ) -> Self {
        let projection = |name: &str| Linear::new(&(path / name), width, width, false, products);
        Self {
            query: projection("query"),
            key: projection("key"),
            value: projection("value"),
            joined: Product::new(products),
            output: Linear::new(&(path / "output"), width, width, true, products),
            num_heads: (width / config.head_dim) as i64,
            input_width: width as i64,
            feature_map: FeatureMap::new(path, kind, config.head_dim, clocks, products),
            window: (kind == AttentionKind::Window).then_some(config.window_steps as i64),
            epsilon: config.epsilon,
        }
    }

    /// Whole sequences: queries `x` `(B, Tq, D)` over `keys` `(B, Tk, D)`, positions from 0. Returns `(B, Tq, D)`.
    /// Explicit masked weights are the right form for training at these lengths.
    pub(crate) fn forward(&self, x: &Tensor, keys: &Tensor, visible: &Visible) -> Tensor {
        self.whole(x, keys, visible, linear::quadratic)
    }

    /// The same by running sums over the keys, without `(Tq, Tk)` weights: what the recurrent form is derived from.
    /// Softmax has no such form.
    #[cfg(test)]
    pub(crate) fn forward_linear(&self, x: &Tensor, keys: &Tensor, visible: &Visible) -> Tensor {
        self.whole(x, keys, visible, linear::prefix_sums)
    }

    fn whole(
        &self,
        x: &Tensor,
        keys: &Tensor,
        visible: &Visible,
        attend: fn(&Tensor, &Tensor, &Tensor, &Visible, f64) -> Tensor,
    ) -> Tensor {
        let (q, k, v) = (
            self.split(&self.query.forward(x)),
            self.split(&self.key.forward(keys)),
            self.split(&self.value.forward(keys)),
        );
        let y = match &self.feature_map {
            None => {
                let last = self.window.map(|window| visible.last(window));
                softmax::quadratic(&q, &k, &v, &last.as_ref().unwrap_or(visible).mask)
            }
            Some(map) => {
                let positions = |t: &Tensor| Tensor::arange(t.size()[2], (Kind::Int64, t.device())).unsqueeze(0);
                let (phi_q, phi_k) = (map.queries(&q, &positions(&q)), map.keys(&k, &positions(&k)));
                attend(&phi_q, &phi_k, &v.to_kind(Kind::Float), visible, self.epsilon)
            }
        };
        self.output.forward(&self.join(&y))
    }

    /// The state before any key, for `batch` sessions.
    pub(crate) fn init(&self, batch: i64, device: Device) -> AttentionState {
        let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, device));
        match &self.feature_map {
            None => AttentionState::Memory {
                inputs: zeros(&[batch, 0, self.input_width]),
                lengths: Tensor::zeros([batch], (Kind::Int64, device)),
            },
            Some(map) => {
                let (heads, width) = (self.num_heads, map.width());
                AttentionState::Sums {
                    s: zeros(&[batch, heads, width, self.input_width / heads]),
                    z: zeros(&[batch, heads, width]),
                }
            }
        }
    }

    /// Attention of a sequence to itself: `x` `(B, T, D)` at `positions` `(B, T)`, of which those that are `valid` count, see
    /// each other and all that the state has absorbed. Returns `(B, T, D)` and the next state.
    pub(crate) fn step(
        &self,
        state: &AttentionState,
        x: &Tensor,
        positions: &Tensor,
        valid: &Valid,
    ) -> (Tensor, AttentionState) {
        let (AttentionState::Sums { s, z }, Some(map)) = (state, &self.feature_map) else {
            let state = self.absorb(state, x, positions, valid);
            return (self.read(&state, state.hidden().as_ref(), x, positions), state);
        };
        let weights = [&self.query.weight, &self.key.weight, &self.value.weight];
        let qkv = self.split_into(3 * self.num_heads, &self.joined.apply_joined(x, &weights));
        let (qk, v) = (qkv.narrow(1, 0, 2 * self.num_heads), qkv.narrow(1, 2 * self.num_heads, self.num_heads));
        let (phi_q, phi_k) = map.both(&qk, positions);
        let (s, z) = linear::absorb(s, z, &phi_k, &v.to_kind(Kind::Float), valid.mask.as_ref());
        let y = linear::read(&phi_q, &s, &z, self.epsilon);
        (self.output.forward(&self.join(&y)), AttentionState::Sums { s, z })
    }

    /// Adds `keys` `(B, T, D)` at `positions` `(B, T)`, those that are `valid`.
    pub(crate) fn absorb(
        &self,
        state: &AttentionState,
        keys: &Tensor,
        positions: &Tensor,
        valid: &Valid,
    ) -> AttentionState {
        match (state, &self.feature_map) {
            (AttentionState::Memory { inputs, lengths }, _) => {
                let (inputs, lengths) = softmax::append(inputs, lengths, keys, &valid.counts);
                let state = AttentionState::Memory { inputs, lengths };
                match self.window {
                    Some(window) => state.last(&valid.counts.full_like(window)),
                    None => state,
                }
            }
            (AttentionState::Sums { s, z }, Some(map)) => {
                let k = self.split(&self.key.forward(keys));
                let v = self.split(&self.value.forward(keys)).to_kind(Kind::Float);
                let (s, z) = linear::absorb(s, z, &map.keys(&k, positions), &v, valid.mask.as_ref());
                AttentionState::Sums { s, z }
            }
            (AttentionState::Sums { .. }, None) => unreachable!("`init` makes sums for linear kinds only"),
        }
    }

    /// Queries `x` `(B, Tq, D)` at `positions` `(B, Tq)` see all that the state has absorbed but what is `hidden`
    /// ([`AttentionState::hidden`]).
    pub(crate) fn read(
        &self,
        state: &AttentionState,
        hidden: Option<&Tensor>,
        x: &Tensor,
        positions: &Tensor,
    ) -> Tensor {
        let q = self.split(&self.query.forward(x));
        let y = match (state, &self.feature_map) {
            (AttentionState::Memory { inputs, .. }, _) => {
                softmax::read(&q, inputs, hidden, &self.key.weight, &self.value.weight)
            }
            (AttentionState::Sums { s, z }, Some(map)) => linear::read(&map.queries(&q, positions), s, z, self.epsilon),
            (AttentionState::Sums { .. }, None) => unreachable!("`init` makes sums for linear kinds only"),
        };
        self.output.forward(&self.join(&y))
    }

    /// `(B, T, D)` → `(B, H, T, d)`.
    fn split(&self, x: &Tensor) -> Tensor {
        self.split_into(self.num_heads, x)
    }

    fn split_into(&self, heads: i64, x: &Tensor) -> Tensor {
        let size = x.size();
        x.view([size[0], size[1], heads, -1]).transpose(1, 2)
    }

    /// `(B, H, T, d)` → `(B, T, D)`.
    fn join(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        x.transpose(1, 2).reshape([size[0], size[2], self.input_width])
    }
}
