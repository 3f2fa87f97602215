//! What a running server tells its operators: [`Metrics`] to scrape, the log's lines, and spans of streams and recordings.

mod log;
mod metrics;

pub use log::{Log, LogError, init_logging};
pub use metrics::{Active, Metrics, OPENMETRICS, Rejection, StepKind};
