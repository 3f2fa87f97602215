//! Learning rate by update: warm-up, plateau, decay to zero (the WSD schedule of MiniCPM, arXiv 2404.06395 §4).
//!
//! The plateau does not know when training ends, so a run can be resumed for longer; the decay is where the loss drops.

/// A learning-rate schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Rate on the plateau.
    pub peak: f64,
    /// Updates of linear growth from 0.
    pub warmup: u64,
    /// Updates of linear decay to 0 at the end.
    pub decay: u64,
    /// All updates.
    pub total: u64,
}

impl Schedule {
    /// The rate of update number `update`, counted from 1. Zero after `total`.
    pub fn rate(&self, update: u64) -> f64 {
        let ramp = |part: u64, whole: u64| if part >= whole { 1.0 } else { part as f64 / whole as f64 };
        let left = (self.total + 1).saturating_sub(update);
        self.peak * ramp(update, self.warmup).min(ramp(left, self.decay + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_stays_and_falls() {
        let schedule = Schedule { peak: 2.0, warmup: 4, decay: 3, total: 10 };
        let rates: Vec<f64> = (1..=11).map(|update| schedule.rate(update)).collect();
        assert_eq!(rates, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 1.5, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn without_ramps_it_is_flat() {
        let schedule = Schedule { peak: 1.0, warmup: 0, decay: 0, total: 5 };
        assert!((1..=5).all(|update| schedule.rate(update) == 1.0));
    }
}
