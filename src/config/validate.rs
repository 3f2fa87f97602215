//! What each key may be. Invariant: a message names the key, its value and the allowed range.

use std::ops::RangeInclusive;

use tracing_subscriber::EnvFilter;

use super::{Config, ConfigError};

const DAY_MS: u64 = 86_400_000;

impl Config {
    /// Checks every value, and that nobody is let in by accident.
    ///
    /// # Errors
    /// The first value that is out of its range, or a server that others can reach and that asks for no key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { server, auth, model, log } = self;
        let ranges: [(&str, u64, RangeInclusive<u64>); 16] = [
            ("server.max_connections", server.max_connections as u64, 1..=100_000),
            ("server.max_connections_per_ip", server.max_connections_per_ip as u64, 1..=100_000),
            ("server.header_timeout_ms", server.header_timeout_ms, 100..=60_000),
            ("server.idle_timeout_ms", server.idle_timeout_ms, 1000..=3_600_000),
            ("server.write_timeout_ms", server.write_timeout_ms, 100..=600_000),
            ("server.drain_timeout_ms", server.drain_timeout_ms, 0..=3_600_000),
            // More than a megabyte is no stream of audio; the upper end is also the websocket library's to allocate.
            ("server.max_message_bytes", server.max_message_bytes as u64, 1024..=1 << 20),
            ("server.max_upload_bytes", server.max_upload_bytes, 1024..=1 << 40),
            ("server.max_audio_ms", server.max_audio_ms, 1000..=7 * DAY_MS),
            ("server.max_session_ms", server.max_session_ms, 0..=365 * DAY_MS),
            ("auth.max_sessions_per_key", auth.max_sessions_per_key as u64, 0..=100_000),
            ("model.workers", model.workers as u64, 0..=256),
            ("model.max_batch", model.max_batch as u64, 1..=1024),
            ("model.max_sessions", model.max_sessions as u64, 1..=100_000),
            ("model.max_recordings", model.max_recordings as u64, 1..=1000),
            ("model.k", model.k as u64, 1..=100),
        ];
        for (key, value, range) in ranges {
            let allowed = || format!("{} to {}", range.start(), range.end());
            require(range.contains(&value), key, || value.to_string(), allowed)?;
        }
        for origin in &server.allowed_origins {
            let allowed = || "https://host or http://host, with :port where it is not the default one".to_owned();
            require(is_origin(origin), "server.allowed_origins", || format!("{origin:?}"), allowed)?;
        }
        let allowed = || "levels such as `info`, or `decalage=debug,warn`".to_owned();
        require(EnvFilter::try_new(&log.filter).is_ok(), "log.filter", || format!("{:?}", log.filter), allowed)?;
        let allowed = || "http://host:port/path: a collector beside the server, without TLS".to_owned();
        let collector = log.otlp_endpoint.as_deref().unwrap_or("http://");
        require(collector.starts_with("http://"), "log.otlp_endpoint", || format!("{collector:?}"), allowed)?;

        if server.allow_any_key {
            return Ok(());
        }
        if !server.listen.ip().is_loopback() && auth.keys.is_empty() {
            return Err(ConfigError::Open(server.listen));
        }
        let Some(eval_listen) = server.eval_listen else { return Ok(()) };
        let allowed = || "a loopback address, as its clients send no keys, or server.allow_any_key = true".to_owned();
        require(eval_listen.ip().is_loopback(), "server.eval_listen", || eval_listen.to_string(), allowed)
    }
}

/// What a browser sends as `Origin` (RFC 6454 §7): no path, no slash at the end.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(|c: char| "/?#@*".contains(c) || !c.is_ascii_graphic()))
}

fn require(
    holds: bool,
    key: &'static str,
    value: impl Fn() -> String,
    allowed: impl Fn() -> String,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Value { key, value: value(), allowed: allowed() }) }
}
