//! Records of N clients, against one that was alone, to a verdict.
//!
//! Lag counts while all clients speak: what comes before the last has begun or after the first has ended is left out, and
//! so is what only the end of the audio set free. A drift has to show in the lag itself *and* in each word's lag over the
//! same word's lag alone: the first also moves when later words cost more, the second also when the machine was busier
//! while the client was alone.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde::Serialize;

use super::stats::{Distribution, slope};
use super::{Record, Trial, Usage};

/// The 99th percentile of commit lag may be this much above that of a client alone.
pub const MAX_P99_INCREASE_MS: f64 = 200.0;
/// Lag may grow or fall by this much: a server that is a thousandth too slow falls behind by 60 ms a minute.
pub const MAX_SLOPE_MS_PER_MIN: f64 = 20.0;

const SAMPLES_PER_MS: u64 = 16;
const BYTES_PER_MIB: f64 = 1_048_576.0;

/// What some clients experienced.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// From when the first piece of the speech that a client's first word renders was there until that word came, in ms.
    pub first_commit_ms: Option<Distribution>,
    /// From when the audio that decided a word was there until the word came, in ms. Its mean is what computing and the
    /// network add to average lagging.
    pub commit_lag_ms: Option<Distribution>,
    /// From `session.close` to `session.closed`, in ms.
    pub finalise_ms: Option<Distribution>,
    /// How late a client was at worst in sending a piece, in ms.
    pub max_behind_ms: f64,
}

/// The verdict, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Clients.
    pub sessions: usize,
    /// Whether `faults` is empty.
    pub honest: bool,
    /// Every criterion that does not hold, in words.
    pub faults: Vec<String>,
    /// Those of `all`, in ms.
    pub p50_commit_lag_ms: Option<f64>,
    /// Those of `all`, in ms.
    pub p95_commit_lag_ms: Option<f64>,
    /// Those of `all`, in ms.
    pub p99_commit_lag_ms: Option<f64>,
    /// Over `alone`.
    pub p99_lag_increase_ms: Option<f64>,
    /// Least squares, of the lag or of its increase over a client alone, whichever is less; 0 if one grows and one falls.
    pub lag_slope_ms_per_min: Option<f64>,
    /// Sent minus heard, as the server's last word tells (to 1 ms, 16 samples).
    pub dropped_samples: u64,
    /// Clients whose text is not that of the client alone.
    pub different_texts: usize,
    /// Streams that failed, and errors on those that did not.
    pub errors: usize,
    /// CPU time of the server over time; `None` where it is not measured.
    pub cpu_cores_used: Option<f64>,
    /// Likewise, of all clients together.
    pub client_cpu_cores_used: Option<f64>,
    /// How much the server's memory grew, at its peak, for each client.
    pub rss_per_session_bytes: Option<u64>,
    /// The clients of this run.
    pub all: Summary,
    /// The client that was alone.
    pub alone: Summary,
}

impl Summary {
    fn of(records: &[&Record], window: &RangeInclusive<f64>) -> Self {
        let each = |value: fn(&Record) -> Option<f64>| records.iter().filter_map(|record| value(record)).collect();
        let words = records.iter().flat_map(|record| record.words.iter());
        let lags = words.filter(|word| window.contains(&word.at_s)).map(|word| word.lag_ms);
        Self {
            first_commit_ms: Distribution::of(each(|record| record.first_commit_ms)),
            commit_lag_ms: Distribution::of(lags.collect()),
            finalise_ms: Distribution::of(each(|record| Some(record.finalise_ms))),
            max_behind_ms: records.iter().map(|record| record.max_behind_ms).fold(0.0, f64::max),
        }
    }
}

impl Report {
    /// Judges `trial` by a record of the same audio alone. `before` is what the server needed before the trial.
    pub fn new(alone: &Record, trial: &Trial, before: Option<Usage>) -> Self {
        let records: Vec<&Record> = trial.records.iter().filter_map(|record| record.as_ref().ok()).collect();
        let window = steady(&records);
        let (all, alone_summary) = (Summary::of(&records, &window), Summary::of(&[alone], &steady(&[alone])));
        let percentile = |of: fn(&Distribution) -> f64| all.commit_lag_ms.as_ref().map(of);
        let p99_commit_lag_ms = percentile(|lag| lag.p99);
        let increase = p99_commit_lag_ms.zip(alone_summary.commit_lag_ms).map(|(p99, alone)| p99 - alone.p99);

        let failures = trial.records.iter().filter_map(|record| record.as_ref().err());
        let errors: Vec<&String> = failures.chain(records.iter().flat_map(|record| &record.errors)).collect();
        let mut report = Self {
            sessions: trial.records.len(),
            honest: false,
            faults: Vec::new(),
            p50_commit_lag_ms: percentile(|lag| lag.p50),
            p95_commit_lag_ms: percentile(|lag| lag.p95),
            p99_commit_lag_ms,
            p99_lag_increase_ms: increase,
            lag_slope_ms_per_min: lag_slope(alone, &records, &window),
            dropped_samples: records.iter().map(|record| dropped_samples(record)).sum(),
            different_texts: records.iter().filter(|record| record.text != alone.text).count(),
            errors: errors.len(),
            cpu_cores_used: cores(&trial.server_usage, &window),
            client_cpu_cores_used: cores(&trial.client_usage, &window),
            rss_per_session_bytes: before.and_then(|before| growth(&trial.server_usage, before, trial.records.len())),
            all,
            alone: alone_summary,
        };
        report.faults = report.find_faults(errors.first().map(|error| error.as_str()));
        report.honest = report.faults.is_empty();
        report
    }

    fn find_faults(&self, first_error: Option<&str>) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(error) = first_error {
            faults.push(format!("{} errors, the first: {error}", self.errors));
        }
        if self.different_texts > 0 {
            faults.push(format!("{} texts differ from that of a client alone", self.different_texts));
        }
        if self.dropped_samples > 0 {
            faults.push(format!("{} samples were sent but not heard", self.dropped_samples));
        }
        match self.p99_lag_increase_ms {
            None => faults.push("no word has a lag".to_owned()),
            Some(ms) if ms > MAX_P99_INCREASE_MS => {
                faults.push(format!("p99 of the commit lag grew by {ms:.0} ms, allowed are {MAX_P99_INCREASE_MS:.0}"));
            }
            Some(_) => {}
        }
        match self.lag_slope_ms_per_min {
            None => faults.push("too few words for a slope".to_owned()),
            Some(slope) if slope.abs() > MAX_SLOPE_MS_PER_MIN => {
                faults.push(format!("lag changes by {slope:.0} ms a minute, allowed are {MAX_SLOPE_MS_PER_MIN:.0}"));
            }
            Some(_) => {}
        }
        faults
    }

    /// [`Report::rss_per_session_bytes`] in MiB.
    pub fn rss_per_session_mib(&self) -> Option<f64> {
        self.rss_per_session_bytes.map(|bytes| bytes as f64 / BYTES_PER_MIB)
    }
}

/// While all speak.
fn steady(records: &[&Record]) -> RangeInclusive<f64> {
    let begin = records.iter().map(|record| record.began_s).fold(0.0, f64::max);
    let end = records.iter().map(|record| record.closing_s).fold(f64::INFINITY, f64::min);
    begin..=end
}

/// The slope that both ways of looking at it leave, which is none if they contradict each other.
fn lag_slope(alone: &Record, records: &[&Record], window: &RangeInclusive<f64>) -> Option<f64> {
    let lags_alone: HashMap<u64, f64> = alone.words.iter().map(|word| (word.seq, word.lag_ms)).collect();
    let words = records.iter().flat_map(|record| &record.words).filter(|word| window.contains(&word.at_s));
    let points = words.filter_map(|word| Some((word.at_s / 60.0, word.lag_ms, *lags_alone.get(&word.seq)?)));
    let (lags, increases): (Vec<_>, Vec<_>) =
        points.map(|(minutes, lag_ms, alone_ms)| ((minutes, lag_ms), (minutes, lag_ms - alone_ms))).unzip();
    let (lag, increase) = (slope(&lags)?, slope(&increases)?);
    Some(if lag * increase < 0.0 { 0.0 } else { lag.signum() * lag.abs().min(increase.abs()) })
}

/// Words that are decided after the end of the audio tell how much there was.
fn dropped_samples(record: &Record) -> u64 {
    record.sent_ms.saturating_sub(record.heard_ms) * SAMPLES_PER_MS
}

/// CPU seconds a second between the first and the last reading in the window.
fn cores(readings: &[(f64, Usage)], window: &RangeInclusive<f64>) -> Option<f64> {
    let mut inside = readings.iter().filter(|(at_s, _)| window.contains(at_s));
    let (first, last) = (inside.next()?, inside.next_back()?);
    Some((last.1.cpu_s - first.1.cpu_s) / (last.0 - first.0))
}

fn growth(readings: &[(f64, Usage)], before: Usage, sessions: usize) -> Option<u64> {
    let peak = readings.iter().map(|(_, usage)| usage.rss_bytes).max()?;
    peak.saturating_sub(before.rss_bytes).checked_div(sessions as u64)
}

#[cfg(test)]
mod tests {
    use super::super::Word;
    use super::*;

    /// A word a second for two minutes, spoken from `began_s` on, whose lag is `lag_ms` of the number of the word.
    fn record(began_s: f64, lag_ms: impl Fn(f64) -> f64) -> Record {
        let word = |seq: u64| {
            let lag_ms = lag_ms(seq as f64);
            Word { seq, at_s: began_s + seq as f64 + lag_ms / 1000.0, lag_ms }
        };
        Record {
            text: "Guten Tag.".to_owned(),
            words: (0..120).map(word).collect(),
            first_commit_ms: Some(1500.0),
            heard_ms: 120_000,
            sent_ms: 120_000,
            began_s,
            closing_s: began_s + 120.0,
            finalise_ms: 300.0,
            max_behind_ms: 2.0,
            errors: Vec::new(),
        }
    }

    fn trial(records: impl IntoIterator<Item = Result<Record, String>>) -> Trial {
        let usage = |at_s: u64| (at_s as f64, Usage { cpu_s: 1.5 * at_s as f64, rss_bytes: 1000 + 10 * at_s.min(20) });
        let server_usage = (0..130).map(usage).collect();
        Trial { records: records.into_iter().collect(), server_usage, client_usage: Vec::new() }
    }

    /// Lags of words differ much, by what they are.
    fn content(seq: f64) -> f64 {
        100.0 + 300.0 * (seq / 120.0) + if seq % 7.0 == 0.0 { 80.0 } else { 0.0 }
    }

    fn judge(records: impl IntoIterator<Item = Result<Record, String>>) -> Report {
        Report::new(&record(0.0, content), &trial(records), Some(Usage { cpu_s: 0.0, rss_bytes: 1000 }))
    }

    #[test]
    fn a_steady_server_is_honest() {
        let report = judge([3.0, 0.0].map(|began_s| Ok(record(began_s, |seq| content(seq) + 50.0))));
        assert_eq!((report.honest, report.faults.len(), report.sessions), (true, 0, 2));
        assert!((report.p99_lag_increase_ms.unwrap() - 50.0).abs() < 3.0, "{report:?}");
        assert!(report.lag_slope_ms_per_min.unwrap().abs() < 1e-9, "words cost the same in both");
        assert!((report.cpu_cores_used.unwrap() - 1.5).abs() < 1e-9);
        assert_eq!((report.rss_per_session_bytes, report.client_cpu_cores_used), (Some(100), None));
        let json = serde_json::to_value(&report).unwrap();
        for field in ["sessions", "honest", "p99_commit_lag_ms", "p99_lag_increase_ms", "lag_slope_ms_per_min"] {
            assert!(!json[field].is_null(), "{field}");
        }
        for field in ["dropped_samples", "cpu_cores_used", "rss_per_session_bytes"] {
            assert!(json[field].is_number(), "{field}");
        }
    }

    #[test]
    fn each_fault_alone_is_dishonest() {
        let good = || record(0.0, content);
        let cases = [
            ("grew by", Ok(record(0.0, |seq| content(seq) + 250.0))),
            ("a minute", Ok(record(0.0, |seq| content(seq) + seq))),
            ("texts differ", Ok(Record { text: "Guten".to_owned(), ..good() })),
            ("1600 samples", Ok(Record { heard_ms: 119_900, ..good() })),
            ("1 errors, the first: slower", Ok(Record { errors: vec!["slower".to_owned()], ..good() })),
            ("1 errors, the first: refused", Err("refused".to_owned())),
        ];
        for (fault, bad) in cases {
            let report = judge([Ok(good()), bad]);
            assert!(!report.honest, "{fault}");
            assert!(report.faults.len() == 1 && report.faults[0].contains(fault), "{fault}: {:?}", report.faults);
        }
        assert!(judge([Ok(good()), Ok(good())]).honest);
    }

    /// What the reference does must not be blamed on the trial, and what words cost not on time.
    #[test]
    fn a_drift_shows_in_the_lag_and_over_the_reference() {
        let steady = trial([Ok(record(0.0, |_| 100.0)), Ok(record(1.0, |_| 100.0))]);
        let falling = record(0.0, |seq| 150.0 - seq);
        assert!(
            Report::new(&falling, &steady, None).honest,
            "the machine was busy at first, when the client was alone"
        );
        let growing = trial([Ok(record(0.0, |seq| 100.0 + seq)), Ok(record(1.0, |seq| 100.0 + seq))]);
        let report = Report::new(&falling, &growing, None);
        assert!((report.lag_slope_ms_per_min.unwrap() - 60.0).abs() < 1.0, "{report:?}");
        assert!(!report.honest);
    }

    #[test]
    fn nothing_said_is_not_honest() {
        let silent = Record { words: Vec::new(), ..record(0.0, content) };
        let report = Report::new(&silent, &trial([Ok(silent.clone())]), None);
        assert_eq!(report.faults, ["no word has a lag", "too few words for a slope"]);
        assert!(!judge([Err("refused".to_owned())]).honest);
    }

    #[test]
    fn only_the_time_in_which_all_speak_counts() {
        // A second client joins at 60 s and slows the first down by 100 ms; both are slow once the first has ended.
        let slowed = |began_s: f64| {
            move |seq: f64| match began_s + seq {
                at_s if at_s < 60.0 => 100.0,
                at_s if at_s < 120.0 => 200.0,
                _ => 900.0,
            }
        };
        let records = [0.0, 60.0].map(|began_s| Ok(record(began_s, slowed(began_s))));
        let lag = Report::new(&record(0.0, |_| 100.0), &trial(records), None).all.commit_lag_ms.unwrap();
        assert_eq!((lag.p50, lag.max), (200.0, 200.0));
    }
}
