//! What is counted: every metric name and bucket. Invariant: labels are of closed sets, so a scrape's size does not
//! depend on what clients send.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

/// Up to the largest `model.max_batch` that pays.
const BATCH_SIZES: [f64; 8] = [1., 2., 4., 8., 16., 32., 64., 128.];
/// Around the 320 ms of audio that a step of the encoder is worth: a worker whose steps take longer falls behind.
const STEP_SECONDS: [f64; 11] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.32, 0.64, 1.28];
/// From what one stream alone has to what nobody wants to wait for.
const LAG_SECONDS: [f64; 11] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1., 2., 5., 10.];

/// The Content-Type of [`Metrics::encode`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics. A clone is another handle on the same numbers.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Jobs that wait for a step.
    pub jobs_waiting: Gauge,
    /// Live streams that the server takes at a time.
    pub max_streams: Gauge,
    /// Words that were committed.
    pub committed_words: Counter,
    /// Bytes that came in over all sockets, TLS included.
    pub received_bytes: Counter,
    /// Bytes that went out.
    pub sent_bytes: Counter,
    sessions: Gauge,
    streams: Gauge,
    sessions_opened: Counter,
    sessions_rejected: Family<Reason, Counter>,
    connections: Gauge,
    connections_rejected: Family<Reason, Counter>,
    batch_size: Family<Kind, Histogram>,
    step_seconds: Family<Kind, Histogram>,
    commit_lag_seconds: Histogram,
    requests: Family<Request, Counter>,
    failures: Family<Kind, Counter>,
}

/// What a step of the model did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Segments to encoder steps.
    Encode,
    /// Tokens to tokens.
    Decode,
    /// The rest of a translation.
    Search,
}

/// Why a stream, a recording or a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The server, or its model, holds as many as it may.
    Capacity,
    /// The key, or the address, holds as many as it may.
    Share,
    /// No key, or one that is not known.
    Unauthorized,
    /// A web page that may not.
    Origin,
    /// The server stops.
    Draining,
}

impl Rejection {
    const ALL: [Self; 5] = [Self::Capacity, Self::Share, Self::Unauthorized, Self::Origin, Self::Draining];

    fn label(self) -> Reason {
        let reason = match self {
            Self::Capacity => "capacity",
            Self::Share => "share",
            Self::Unauthorized => "unauthorized",
            Self::Origin => "origin",
            Self::Draining => "draining",
        };
        Reason { reason }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u32,
}

/// Counted as long as it lives.
#[derive(Debug)]
pub struct Active(Gauge);

impl Active {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("decalage");
        let r = &mut registry;
        let metrics = Self {
            jobs_waiting: add(r, "jobs_waiting", "Jobs that wait for a step", Gauge::default()),
            max_streams: add(r, "max_streams", "Live streams that are taken at a time", Gauge::default()),
            committed_words: add(r, "committed_words", "Words committed", Counter::default()),
            received_bytes: add(r, "received_bytes", "Bytes that came in, as on the wire", Counter::default()),
            sent_bytes: add(r, "sent_bytes", "Bytes that went out, as on the wire", Counter::default()),
            sessions: add(r, "sessions", "Streams and recordings being translated", Gauge::default()),
            streams: add(r, "streams", "Live streams being translated", Gauge::default()),
            sessions_opened: add(r, "sessions_opened", "Streams and recordings begun", Counter::default()),
            sessions_rejected: add(r, "sessions_rejected", "Streams and recordings refused", Family::default()),
            connections: add(r, "connections", "Open sockets", Gauge::default()),
            connections_rejected: add(r, "connections_rejected", "Sockets refused", Family::default()),
            batch_size: add(r, "batch_size", "Jobs in a step", Family::new_with_constructor(batch_sizes)),
            step_seconds: add(r, "step_seconds", "Duration of a step", Family::new_with_constructor(step_seconds)),
            commit_lag_seconds: add(
                r,
                "commit_lag_seconds",
                "From the arrival of the audio that decided a word until the word is sent",
                Histogram::new(LAG_SECONDS),
            ),
            requests: add(r, "http_requests", "Requests answered", Family::default()),
            failures: add(r, "failures", "Streams and recordings that ended before their time", Family::default()),
            registry: Arc::new(registry),
        };
        // A series that appears with its first rejection has no rate.
        for reason in Rejection::ALL {
            drop(metrics.sessions_rejected.get_or_create(&reason.label()));
        }
        metrics
    }

    /// A stream or a recording has been taken; it is over when the answer is dropped.
    pub fn session(&self) -> Active {
        self.sessions_opened.inc();
        Active::new(&self.sessions)
    }

    /// A live stream, which is a [`Metrics::session`] too, has been taken; it is over when the answer is dropped.
    pub fn stream(&self) -> Active {
        Active::new(&self.streams)
    }

    /// A stream or a recording was refused.
    pub fn session_rejected(&self, reason: Rejection) {
        self.sessions_rejected.get_or_create(&reason.label()).inc();
    }

    /// A socket has been opened; it is closed when the answer is dropped.
    pub fn connection(&self) -> Active {
        Active::new(&self.connections)
    }

    /// A socket was refused.
    pub fn connection_rejected(&self, reason: Rejection) {
        self.connections_rejected.get_or_create(&reason.label()).inc();
    }

    /// A step was done.
    pub fn step(&self, kind: StepKind, batch_size: usize, duration: Duration) {
        let kind = match kind {
            StepKind::Encode => Kind { kind: "encode" },
            StepKind::Decode => Kind { kind: "decode" },
            StepKind::Search => Kind { kind: "search" },
        };
        self.batch_size.get_or_create(&kind).observe(batch_size as f64);
        self.step_seconds.get_or_create(&kind).observe(duration.as_secs_f64());
    }

    /// A word was committed, this long after the audio that decided it had come in.
    pub fn committed(&self, lag: Duration) {
        self.committed_words.inc();
        self.commit_lag_seconds.observe(lag.as_secs_f64());
    }

    /// A request was answered. `route` is the pattern that matched, not the path that was asked for.
    pub fn request(&self, route: &str, status: u16) {
        self.requests.get_or_create(&Request { route: route.to_owned(), status: status.into() }).inc();
    }

    /// A stream or a recording ended before its time.
    pub fn failed(&self, kind: &'static str) {
        self.failures.get_or_create(&Kind { kind }).inc();
    }

    /// What a scrape is answered with: OpenMetrics text, of the type [`OPENMETRICS`].
    ///
    /// # Errors
    /// A metric that cannot be written, which none of these is.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn batch_sizes() -> Histogram {
    Histogram::new(BATCH_SIZES)
}

fn step_seconds() -> Histogram {
    Histogram::new(STEP_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_scrape() {
        let metrics = Metrics::new();
        let (session, stream) = (metrics.session(), metrics.stream());
        metrics.max_streams.set(64);
        metrics.session_rejected(Rejection::Share);
        metrics.connection_rejected(Rejection::Capacity);
        metrics.step(StepKind::Encode, 3, Duration::from_millis(20));
        metrics.step(StepKind::Decode, 5, Duration::from_millis(2));
        metrics.clone().committed(Duration::from_millis(300));
        metrics.request("/v1/models/{id}", 404);
        metrics.failed("slow_reader");
        metrics.jobs_waiting.set(7);
        metrics.received_bytes.inc_by(11);
        metrics.sent_bytes.inc_by(13);
        let connection = metrics.connection();
        let text = metrics.encode().unwrap();
        for line in [
            "decalage_sessions 1",
            "decalage_streams 1",
            "decalage_max_streams 64",
            "decalage_sessions_opened_total 1",
            "decalage_sessions_rejected_total{reason=\"share\"} 1",
            "decalage_sessions_rejected_total{reason=\"capacity\"} 0",
            "decalage_connections 1",
            "decalage_connections_rejected_total{reason=\"capacity\"} 1",
            "decalage_batch_size_bucket{le=\"2.0\",kind=\"encode\"} 0",
            "decalage_batch_size_bucket{le=\"4.0\",kind=\"encode\"} 1",
            "decalage_step_seconds_sum{kind=\"decode\"} 0.002",
            "decalage_commit_lag_seconds_bucket{le=\"0.5\"} 1",
            "decalage_committed_words_total 1",
            "decalage_http_requests_total{route=\"/v1/models/{id}\",status=\"404\"} 1",
            "decalage_failures_total{kind=\"slow_reader\"} 1",
            "decalage_jobs_waiting 7",
            "decalage_received_bytes_total 11",
            "decalage_sent_bytes_total 13",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        let manual = include_str!("../../docs/operating.md");
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(manual.contains(&format!("`{name}")), "{name} is not in docs/operating.md");
        }

        drop((session, stream, connection));
        let text = metrics.encode().unwrap();
        assert!(text.contains("decalage_sessions 0\n") && text.contains("decalage_streams 0\n"), "{text}");
        assert!(text.contains("decalage_connections 0\n"), "{text}");
    }
}
