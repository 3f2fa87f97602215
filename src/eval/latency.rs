//! Delays of words to latency scores, as SimulEval 1.1 defines them for speech (Ma et al. 2020, arXiv 2007.16193).
//!
//! Invariant: the same formulas serve both clocks. With the source as clock the scores judge the policy; with the wall
//! clock they are *computation-aware* and judge the machine as well.

use serde::Serialize;

use super::Instance;

/// Which times of an [`Instance`] count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Source consumed: `delays_ms`.
    Source,
    /// Time passed: `elapsed_ms`. SimulEval adds all computing to the source consumed; a run with audio at the speed of
    /// speech measures what a listener waits. The scores say which by where the times come from.
    Wall,
}

/// Scores of one recording, or their mean over several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Average lagging (Ma et al. 2019, arXiv 1810.08398) against the reference's length.
    pub al_ms: f64,
    /// Length-adaptive average lagging (Papi et al. 2022, arXiv 2206.05807): against the longer of reference and
    /// prediction, so that talking too much earns nothing.
    pub laal_ms: f64,
    /// Differentiable average lagging (Cherry and Foster 2019, arXiv 1906.00048), against the prediction's length.
    pub dal_ms: f64,
    /// Average proportion (Cho and Esipova 2016, arXiv 1606.02012), against the reference's length; a ratio.
    pub ap: f64,
}

/// Scores a recording of `source_ms` whose words came at `times_ms`, in their order. `None` if there is no word, no
/// source or no reference word, as nothing can be divided then.
pub fn latency(times_ms: &[f64], source_ms: f64, reference_words: usize) -> Option<Latency> {
    if times_ms.is_empty() || reference_words == 0 || source_ms <= 0.0 {
        return None;
    }
    Some(Latency {
        al_ms: average_lagging(times_ms, source_ms, reference_words),
        laal_ms: average_lagging(times_ms, source_ms, reference_words.max(times_ms.len())),
        dal_ms: differentiable_average_lagging(times_ms, source_ms),
        ap: times_ms.iter().sum::<f64>() / (source_ms * reference_words as f64),
    })
}

/// The mean of all recordings' scores. Recordings without words count for nothing, as in SimulEval; `None` if all are.
pub fn mean_latency(instances: &[Instance], clock: Clock) -> Option<Latency> {
    let mut sum = Latency::default();
    let mut count = 0.0;
    for instance in instances {
        let times_ms = match clock {
            Clock::Source => &instance.delays_ms,
            Clock::Wall => &instance.elapsed_ms,
        };
        if let Some(scores) = latency(times_ms, instance.source_ms, instance.reference_words()) {
            sum.al_ms += scores.al_ms;
            sum.laal_ms += scores.laal_ms;
            sum.dal_ms += scores.dal_ms;
            sum.ap += scores.ap;
            count += 1.0;
        }
    }
    let mean = |sum: f64| sum / count;
    let scores =
        Latency { al_ms: mean(sum.al_ms), laal_ms: mean(sum.laal_ms), dal_ms: mean(sum.dal_ms), ap: mean(sum.ap) };
    (count > 0.0).then_some(scores)
}

/// How far behind an ideal interpreter who spreads `target_words` evenly over the source, up to the first word that
/// came when the source was over.
fn average_lagging(times_ms: &[f64], source_ms: f64, target_words: usize) -> f64 {
    // SimulEval's rule for a first word that came after the end, which only the wall clock knows.
    if times_ms[0] > source_ms {
        return times_ms[0];
    }
    let ms_per_word = source_ms / target_words as f64;
    let last = times_ms.iter().position(|&time| time >= source_ms).unwrap_or(times_ms.len() - 1);
    let lags = times_ms[..=last].iter().enumerate().map(|(i, time)| time - i as f64 * ms_per_word);
    lags.sum::<f64>() / (last + 1) as f64
}

/// As average lagging, but over all words, each of which takes its share of the source to say.
fn differentiable_average_lagging(times_ms: &[f64], source_ms: f64) -> f64 {
    let ms_per_word = source_ms / times_ms.len() as f64;
    let mut said_ms = f64::NEG_INFINITY;
    let lags = times_ms.iter().enumerate().map(|(i, &time)| {
        said_ms = time.max(said_ms + ms_per_word);
        said_ms - i as f64 * ms_per_word
    });
    lags.sum::<f64>() / times_ms.len() as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::super::instance::tests::instances;
    use super::*;

    type Scores = HashMap<String, f64>;

    #[derive(Deserialize)]
    struct Expected {
        corpus: Scores,
        each: Vec<Option<Scores>>,
    }

    fn assert_close(got: Option<Latency>, expected: Option<&Scores>, what: &str) {
        let Some(expected) = expected else {
            return assert_eq!(got, None, "{what}");
        };
        let got = got.unwrap();
        for (name, value) in [("al_ms", got.al_ms), ("laal_ms", got.laal_ms), ("dal_ms", got.dal_ms), ("ap", got.ap)] {
            assert!((value - expected[name]).abs() < 1e-6, "{what}: {name} is {value}, not {}", expected[name]);
        }
    }

    #[test]
    fn agrees_with_simuleval() {
        let json = include_str!("../../tests/fixtures/eval/latency.json");
        let expected: HashMap<String, Expected> = serde_json::from_str(json).unwrap();
        for (clock, name) in [(Clock::Source, "delays"), (Clock::Wall, "elapsed")] {
            let expected = &expected[name];
            assert_eq!(expected.each.len(), instances().len());
            assert_close(mean_latency(&instances(), clock), Some(&expected.corpus), name);
            for (instance, scores) in instances().into_iter().zip(&expected.each) {
                let what = format!("{name} of {}", instance.index);
                assert_close(mean_latency(&[instance], clock), scores.as_ref(), &what);
            }
        }
    }

    #[test]
    fn an_ideal_wait_3_lags_by_three_words() {
        // Words of 500 ms on both sides: word i is said after source word i + 2.
        let times_ms: Vec<f64> = (1..=10).map(|i| f64::min(500.0 * f64::from(i + 2), 5000.0)).collect();
        let scores = latency(&times_ms, 5000.0, 10).unwrap();
        assert_eq!(scores.al_ms, 1500.0);
        assert_eq!(scores.laal_ms, 1500.0);
        assert_eq!(scores.dal_ms, 1500.0);
    }

    #[test]
    fn nothing_said_has_no_latency() {
        assert_eq!(latency(&[], 1000.0, 5), None);
        assert_eq!(latency(&[500.0], 0.0, 5), None);
        assert_eq!(latency(&[500.0], 1000.0, 0), None);
        assert_eq!(mean_latency(&[], Clock::Source), None);
    }
}
