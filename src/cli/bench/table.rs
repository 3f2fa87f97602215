//! Reports of a load to text for people.

use std::fmt::Write;

use decalage::client::load::{Distribution, MAX_P99_INCREASE_MS, MAX_SLOPE_MS_PER_MIN, Report, Summary};

/// Above the rows of a search.
pub(super) const HEADING: &str =
    "clients  p50 lag  p95 lag  p99 lag  increase  slope/min  CPU cores  MiB/client  honest (times in ms)";

/// A trial of a search.
pub(super) fn row(report: &Report) -> String {
    format!(
        "{:7}  {:>7}  {:>7}  {:>7}  {:>8}  {:>9}  {:>9}  {:>10}  {}",
        report.sessions,
        number(report.p50_commit_lag_ms, 0),
        number(report.p95_commit_lag_ms, 0),
        number(report.p99_commit_lag_ms, 0),
        number(report.p99_lag_increase_ms, 0),
        number(report.lag_slope_ms_per_min, 1),
        number(report.cpu_cores_used, 2),
        number(report.rss_per_session_mib(), 2),
        verdict(report),
    )
}

/// All of one trial, beside a client alone.
pub(super) fn table(report: &Report) -> String {
    let mut text = format!("{:34}{:>9}{:>9}\n", "", "alone", report.sessions);
    let mut line = |name: &str, value: fn(&Summary) -> Option<f64>| {
        let (alone, all) = (number(value(&report.alone), 0), number(value(&report.all), 0));
        let _ = writeln!(text, "{name:34}{alone:>9}{all:>9}"); // a String takes everything
    };
    line("first word after its speech, ms  p50", |of| p50(of.first_commit_ms));
    line("commit lag, ms                  mean", |of| Some(of.commit_lag_ms?.mean));
    line("                                 p50", |of| p50(of.commit_lag_ms));
    line("                                 p95", |of| Some(of.commit_lag_ms?.p95));
    line("                                 p99", |of| Some(of.commit_lag_ms?.p99));
    line("words                               ", |of| Some(of.commit_lag_ms?.count as f64));
    line("close to closed, ms              p50", |of| p50(of.finalise_ms));
    line("                                 max", |of| Some(of.finalise_ms?.max));
    line("a client sent late, ms           max", |of| Some(of.max_behind_ms));
    for (name, value) in [
        (
            "p99 of commit lag, increase in ms",
            format!("{} ({MAX_P99_INCREASE_MS:.0} allowed)", number(report.p99_lag_increase_ms, 0)),
        ),
        (
            "lag slope, ms a minute",
            format!("{} (±{MAX_SLOPE_MS_PER_MIN:.0} allowed)", number(report.lag_slope_ms_per_min, 1)),
        ),
        ("dropped samples", report.dropped_samples.to_string()),
        ("texts that differ", report.different_texts.to_string()),
        ("errors", report.errors.to_string()),
        ("CPU cores, server", measured(report.cpu_cores_used)),
        ("CPU cores, all clients", measured(report.client_cpu_cores_used)),
        ("server's memory a client, MiB", measured(report.rss_per_session_mib())),
        ("honest", verdict(report)),
    ] {
        let _ = writeln!(text, "{name:43}{value}");
    }
    text
}

fn verdict(report: &Report) -> String {
    if report.honest { "yes".to_owned() } else { format!("no: {}", report.faults.join("; ")) }
}

fn p50(of: Option<Distribution>) -> Option<f64> {
    Some(of?.p50)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

fn measured(value: Option<f64>) -> String {
    value.map_or("not measured: it takes Linux and a server started by this command".to_owned(), |value| {
        format!("{value:.2}")
    })
}
