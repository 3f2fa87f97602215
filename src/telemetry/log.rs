//! Where the log's lines go, and the spans of streams and recordings: stderr and, if asked for, a collector that speaks
//! OTLP over HTTP. Invariant: a collector that is slow or gone costs spans, never a stream.

use std::io::{self, IsTerminal};

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::SdkTracerProvider;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use thiserror::Error;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::config::{LogConfig, LogFormat};

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// `log.filter` is malformed.
    #[error("log.filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// `log.otlp_endpoint` is no URL of a collector.
    #[error("log.otlp_endpoint cannot be used")]
    Collector(#[from] ExporterBuildError),
    /// It has been set up before.
    #[error("the log is set up already")]
    Twice(#[from] TryInitError),
}

/// The log, as long as it lives; the spans that wait for the collector are sent when it is dropped.
#[derive(Debug)]
#[must_use = "spans are sent only while it lives"]
pub struct Log(Option<SdkTracerProvider>);

impl Drop for Log {
    fn drop(&mut self) {
        let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown()) else { return };
        tracing::warn!(%error, "the last spans did not reach the collector");
    }
}

/// Sends the process's log to stderr and its spans to a collector, as `config` says. To be called once, within a
/// runtime with several threads, which has to outlive the answer.
///
/// # Errors
/// The filter or the collector's URL is malformed, or there is a log already.
pub fn init_logging(config: &LogConfig) -> Result<Log, LogError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let collector = config.otlp_endpoint.as_deref().map(collector).transpose()?;
    let spans = collector.as_ref().map(|to| tracing_opentelemetry::layer().with_tracer(to.tracer("decalage")));
    registry().with(filter).with(lines).with(spans).try_init()?;
    Ok(Log(collector))
}

/// `OTEL_…` variables set what is not set here: the resource's attributes, headers, sizes and periods of batches.
fn collector(endpoint: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
    let resource = Resource::builder().with_service_name("decalage").build();
    let batches = BatchSpanProcessor::builder(exporter, Tokio).build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_span_processor(batches).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_an_error_and_not_a_silent_log() {
        let config = LogConfig { filter: "info=very=loud".to_owned(), ..LogConfig::default() };
        assert!(matches!(init_logging(&config), Err(LogError::Filter(_))));
    }
}
