//! Adam (Kingma & Ba 2015, algorithm 1) over one flat vector of parameters.
//!
//! libtorch's own optimiser state cannot be saved through tch, and one flat vector makes clipping, averaging,
//! checkpoints and replicas plain vector arithmetic. Invariant: variables are views into the vector, so an update of
//! the vector is an update of every model built on it.

use std::ops::Range;

use tch::{Kind, Tensor, nn};

use super::muon;
use super::options::Optimizer;

/// All parameters of a model in one vector, in the order of their names.
#[derive(Debug)]
pub(crate) struct Parameters {
    /// `(N,)` f32.
    pub(crate) values: Tensor,
    /// Name, offset and shape.
    pub(crate) entries: Vec<Entry>,
}

/// Where one parameter lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) offset: i64,
    pub(crate) shape: Vec<i64>,
}

impl Entry {
    pub(crate) fn numel(&self) -> i64 {
        self.shape.iter().product()
    }

    /// This parameter's part of a flat vector.
    pub(crate) fn view(&self, flat: &Tensor) -> Tensor {
        flat.narrow(0, self.offset, self.numel()).view(self.shape.as_slice())
    }
}

impl Parameters {
    /// Copies the variables of `store` into one vector and makes them views of it.
    pub(crate) fn gather(store: &nn::VarStore) -> Self {
        let mut entries = Vec::new();
        let mut offset = 0;
        for (name, variable) in sorted(store) {
            let entry = Entry { name, offset, shape: variable.size() };
            offset += entry.numel();
            entries.push(entry);
        }
        let values = Tensor::zeros([offset], (Kind::Float, store.device()));
        let parameters = Self { values, entries };
        tch::no_grad(|| {
            for (entry, (_, variable)) in parameters.entries.iter().zip(sorted(store)) {
                entry.view(&parameters.values).copy_(&variable);
            }
        });
        parameters.attach(store);
        parameters
    }

    /// Makes the variables of another store of the same model views of this vector.
    pub(crate) fn attach(&self, store: &nn::VarStore) {
        for (entry, (_, mut variable)) in self.entries.iter().zip(sorted(store)) {
            variable.set_data(&entry.view(&self.values));
        }
    }

    /// The part of the vector whose names begin with `prefix`; names are sorted, so it is one range.
    pub(crate) fn range(&self, prefix: &str) -> Range<i64> {
        let inside = || self.entries.iter().filter(|entry| entry.name.starts_with(prefix));
        match (inside().next(), inside().next_back()) {
            (Some(first), Some(last)) => first.offset..last.offset + last.numel(),
            _ => 0..0,
        }
    }
}

/// Takes the gradients of a store's variables as one vector, zeros where there is none, and clears them.
pub(crate) fn take_gradients(store: &nn::VarStore) -> Tensor {
    let mut variables = sorted(store);
    let flat = |(_, variable): &(String, Tensor)| {
        let gradient = variable.grad();
        if gradient.defined() {
            gradient.to_kind(Kind::Float).reshape([-1])
        } else {
            Tensor::zeros([variable.numel() as i64], (Kind::Float, variable.device()))
        }
    };
    // The parts may alias the gradients: join them before clearing.
    let whole = Tensor::cat(&variables.iter().map(flat).collect::<Vec<_>>(), 0);
    variables.iter_mut().for_each(|(_, variable)| variable.zero_grad());
    whole
}

fn sorted(store: &nn::VarStore) -> Vec<(String, Tensor)> {
    let mut variables: Vec<_> = store.variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    variables
}

/// First and second moments, and a running average of the parameters for export.
#[derive(Debug)]
pub(crate) struct Adam {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
    /// Exponential moving average of the parameters: what gets exported.
    pub(crate) average: Tensor,
}

/// β₁, β₂ and ε of Vaswani et al. 2017, §5.3.
const BETAS: (f64, f64) = (0.9, 0.98);
const EPSILON: f64 = 1e-9;
/// The average moves every so many updates, by one part in a hundred: a window of about 800 updates.
const AVERAGE_EVERY: u64 = 8;
const AVERAGE_RATE: f64 = 0.01;

impl Adam {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let values = &parameters.values;
        Self { first: values.zeros_like(), second: values.zeros_like(), average: values.copy() }
    }

    /// One update. `gradient` is scaled down to the norm `clip` first; each range of the vector has its own rate.
    /// With [`Optimizer::Muon`] the matrices go along the first moment in its way. Returns the norm before clipping;
    /// where it is not finite, nothing changes.
    pub(crate) fn step(
        &mut self,
        parameters: &mut Parameters,
        gradient: Tensor,
        update: u64,
        (optimizer, clip): (Optimizer, f64),
        rates: &[(Range<i64>, f64)],
    ) -> f64 {
        let norm = gradient.norm().double_value(&[]);
        if !norm.is_finite() {
            return norm;
        }
        let mut gradient = gradient;
        if norm > clip {
            gradient *= clip / norm;
        }
        let t = update as f64;
        let _ = self.first.lerp_(&gradient, 1.0 - BETAS.0);
        // Muon looks one step ahead (Nesterov's momentum), as published.
        let ahead = (optimizer == Optimizer::Muon).then(|| self.first.lerp(&gradient, 1.0 - BETAS.0));
        gradient *= (1.0 - BETAS.1).sqrt();
        self.second *= BETAS.1;
        let _ = self.second.addcmul_(&gradient, &gradient);
        let scale = ((1.0 - BETAS.1.powf(t)).sqrt(), 1.0 - BETAS.0.powf(t));
        let mut root = self.second.sqrt();
        root += EPSILON;
        let step = &self.first / root * (scale.0 / scale.1);
        if let Some(ahead) = ahead {
            muon::redirect(&step, &ahead, &parameters.entries);
        }
        for (range, rate) in rates {
            let part = |t: &Tensor| t.narrow(0, range.start, range.end - range.start);
            let _ = part(&parameters.values).g_sub_(&(part(&step) * *rate));
        }
        if update.is_multiple_of(AVERAGE_EVERY) {
            // Early on a long window would hold the random start.
            let rate = AVERAGE_RATE.max(1.0 / (1.0 + t / AVERAGE_EVERY as f64));
            let _ = self.average.lerp_(&parameters.values, rate);
        }
        norm
    }
}
