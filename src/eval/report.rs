//! Clips that were translated to one row of scores a policy: the JSON that other programs read, and a table.
//!
//! Invariant: the keys of [`Scores`] are a contract; quality is in percent, times in milliseconds of audio.

use std::time::Duration;

use serde::Serialize;

use super::{Clock, EvalError, Instance, Latency, bleu, chrf, mean_latency, wer};

/// One clip and what was made of it.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Translation, delays and the first reference.
    pub instance: Instance,
    /// All references.
    pub references: Vec<String>,
    /// What was heard,
    pub transcript: String,
    /// and what was said; both normalised alike.
    pub source: String,
    /// Time spent computing.
    pub compute: Duration,
}

/// Scores of one policy over a set of clips. Latency is `None` (null) if no clip has a word, and quality and latency are
/// if none has a reference: then nothing is said in them, and [`Scores::words_per_minute`] should be 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Lag of wait-k; `None` (null) is offline.
    pub k: Option<usize>,
    /// 0 to 100, all references.
    pub bleu: Option<f64>,
    /// See [`super::Estimate::interval`].
    pub bleu_interval: Option<[f64; 2]>,
    /// 0 to 100, all references.
    pub chrf: Option<f64>,
    /// See [`super::Estimate::interval`].
    pub chrf_interval: Option<[f64; 2]>,
    /// Word error rate of the transcript, in percent; insertions may bring it above 100. `None` without source text.
    pub wer: Option<f64>,
    /// See [`super::Estimate::interval`].
    pub wer_interval: Option<[f64; 2]>,
    /// Average lagging.
    pub al_ms: Option<f64>,
    /// Length-adaptive average lagging.
    pub laal_ms: Option<f64>,
    /// Differentiable average lagging.
    pub dal_ms: Option<f64>,
    /// Average proportion, a ratio.
    pub ap: Option<f64>,
    /// The same four, computation-aware: source consumed plus all compute so far (SimulEval's definition).
    pub al_ca_ms: Option<f64>,
    /// See `al_ca_ms`.
    pub laal_ca_ms: Option<f64>,
    /// See `al_ca_ms`.
    pub dal_ca_ms: Option<f64>,
    /// See `al_ca_ms`.
    pub ap_ca: Option<f64>,
    /// Words of translation in a minute of audio.
    pub words_per_minute: f64,
    /// Compute time over audio time, on one thread.
    pub rtf: f64,
    /// How many clips.
    pub clips: usize,
    /// Their audio, in seconds.
    pub seconds: f64,
}

impl Scores {
    /// Scores the clips of one policy.
    ///
    /// # Errors
    /// If a clip has no reference where others have one.
    pub fn of(k: Option<usize>, clips: &[Clip]) -> Result<Self, EvalError> {
        let instances: Vec<Instance> = clips.iter().map(|clip| clip.instance.clone()).collect();
        let hypotheses: Vec<&str> = instances.iter().map(|instance| instance.prediction.as_str()).collect();
        let references: Vec<Vec<String>> = clips.iter().map(|clip| clip.references.clone()).collect();
        let transcripts: Vec<&str> = clips.iter().map(|clip| clip.transcript.as_str()).collect();
        let sources: Vec<&str> = clips.iter().map(|clip| clip.source.as_str()).collect();
        let has_reference = references.iter().any(|references| !references.is_empty());
        let bleu = has_reference.then(|| bleu(&hypotheses, &references)).transpose()?;
        let chrf = has_reference.then(|| chrf(&hypotheses, &references)).transpose()?;
        let has_source = sources.iter().any(|source| !source.is_empty());
        let wer = has_source.then(|| wer(&transcripts, &sources)).transpose()?;
        let mean = |clock| mean_latency(&instances, clock).filter(|_| has_reference);
        let (source, wall) = (mean(Clock::Source), mean(Clock::Wall));
        let ms = |latency: Option<Latency>, value: fn(&Latency) -> f64| latency.as_ref().map(value);
        let seconds = instances.iter().map(|instance| instance.source_ms).sum::<f64>() / 1000.0;
        let compute: Duration = clips.iter().map(|clip| clip.compute).sum();
        let num_words: usize = instances.iter().map(|instance| instance.prediction_length).sum();
        let per_second = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        Ok(Self {
            k,
            bleu: bleu.map(|bleu| bleu.score),
            bleu_interval: bleu.map(|bleu| bleu.interval),
            chrf: chrf.map(|chrf| chrf.score),
            chrf_interval: chrf.map(|chrf| chrf.interval),
            wer: wer.map(|wer| wer.score),
            wer_interval: wer.map(|wer| wer.interval),
            al_ms: ms(source, |l| l.al_ms),
            laal_ms: ms(source, |l| l.laal_ms),
            dal_ms: ms(source, |l| l.dal_ms),
            ap: ms(source, |l| l.ap),
            al_ca_ms: ms(wall, |l| l.al_ms),
            laal_ca_ms: ms(wall, |l| l.laal_ms),
            dal_ca_ms: ms(wall, |l| l.dal_ms),
            ap_ca: ms(wall, |l| l.ap),
            words_per_minute: per_second(60.0 * num_words as f64),
            rtf: per_second(compute.as_secs_f64()),
            clips: clips.len(),
            seconds,
        })
    }
}

/// Scores as text, a row for each policy.
pub fn table(rows: &[Scores]) -> String {
    let header = [
        "k", "BLEU", "±", "chrF", "±", "WER", "±", "AL", "LAAL", "DAL", "AP", "AL-CA", "LAAL-CA", "DAL-CA", "AP-CA",
        "words/m", "RTF",
    ];
    // Half of the interval's width, as it is usually given.
    let half = |[low, high]: [f64; 2]| (high - low) / 2.0;
    let number = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
    let mut lines = vec![header.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.k.map_or("inf".to_owned(), |k| k.to_string()),
            number(row.bleu, 2),
            number(row.bleu_interval.map(half), 1),
            number(row.chrf, 2),
            number(row.chrf_interval.map(half), 1),
            number(row.wer, 2),
            number(row.wer_interval.map(half), 1),
            number(row.al_ms, 0),
            number(row.laal_ms, 0),
            number(row.dal_ms, 0),
            number(row.ap, 3),
            number(row.al_ca_ms, 0),
            number(row.laal_ca_ms, 0),
            number(row.dal_ca_ms, 0),
            number(row.ap_ca, 3),
            number(Some(row.words_per_minute), 1),
            number(Some(row.rtf), 3),
        ]
    }));
    let shown = lines.iter().map(|line| line.iter().map(|cell| format!(" {cell:>7}")).collect::<String>() + "\n");
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(prediction: &str, delays_ms: &[f64]) -> Clip {
        let instance = Instance {
            index: 0,
            prediction: prediction.to_owned(),
            delays_ms: delays_ms.to_vec(),
            elapsed_ms: delays_ms.iter().map(|delay| delay + 50.0).collect(),
            prediction_length: delays_ms.len(),
            reference: "Das ist ein Haus".to_owned(),
            source: serde_json::Value::Null,
            source_ms: 2000.0,
        };
        let references = vec![instance.reference.clone(), "Dies ist ein Haus".to_owned()];
        let (transcript, source) = ("this is the house".to_owned(), "this is a house".to_owned());
        Clip { instance, references, transcript, source, compute: Duration::from_millis(100) }
    }

    #[test]
    fn the_json_has_the_agreed_keys() {
        let scores = Scores::of(Some(3), &[clip("Dies ist ein Haus", &[500.0, 1000.0, 1500.0, 2000.0])]).unwrap();
        let json = serde_json::to_value(&scores).unwrap();
        let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let expected = [
            "al_ca_ms",
            "al_ms",
            "ap",
            "ap_ca",
            "bleu",
            "bleu_interval",
            "chrf",
            "chrf_interval",
            "clips",
            "dal_ca_ms",
            "dal_ms",
            "k",
            "laal_ca_ms",
            "laal_ms",
            "rtf",
            "seconds",
            "wer",
            "wer_interval",
            "words_per_minute",
        ];
        assert_eq!(keys, expected);
        assert_eq!(json["k"], 3);
        assert!((scores.bleu.unwrap() - 100.0).abs() < 1e-9, "the second reference counts: {:?}", scores.bleu);
        assert_eq!((scores.wer, scores.al_ms, scores.al_ca_ms), (Some(25.0), Some(500.0), Some(550.0)));
        assert_eq!((scores.rtf, scores.clips, scores.seconds), (0.05, 1, 2.0));
        assert_eq!(scores.words_per_minute, 120.0);
    }

    #[test]
    fn offline_is_null_and_silence_has_no_latency() {
        let scores = Scores::of(None, &[clip("", &[])]).unwrap();
        let json = serde_json::to_value(&scores).unwrap();
        assert!(json["k"].is_null() && json["al_ms"].is_null());
        let table = table(&[scores]);
        assert_eq!(table.lines().count(), 2);
        let cells: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(cells[..8], ["inf", "0.00", "0.0", "0.00", "0.0", "25.00", "0.0", "-"]);
    }

    #[test]
    fn a_clip_needs_a_reference_where_others_have_one() {
        let bare = Clip { references: Vec::new(), ..clip("Das", &[500.0]) };
        let clips = [clip("Das", &[500.0]), bare];
        assert!(matches!(Scores::of(None, &clips), Err(EvalError::NoReference { segment: 1 })));
    }

    #[test]
    fn where_nothing_is_said_only_the_words_count() {
        let bare = Clip { references: Vec::new(), source: String::new(), ..clip("Das", &[500.0]) };
        let scores = Scores::of(None, &[bare]).unwrap();
        assert_eq!((scores.bleu, scores.chrf, scores.wer, scores.laal_ms), (None, None, None, None));
        assert_eq!(scores.words_per_minute, 30.0);
    }
}
