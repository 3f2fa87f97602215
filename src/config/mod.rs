//! Files, environment and flags to the one [`Config`] of the server. Invariant: a config that [`Config::load`] returned
//! has passed [`Config::validate`], and holds no key but as a hash.
//!
//! Every key is described in `deploy/decalage.toml`, with its default and the reason for it.

mod key;
mod load;
mod validate;

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;
use thiserror::Error;

pub use key::KeyHash;

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Sockets and the limits of what comes through them.
    pub server: ServerConfig,
    /// Who may use it, and how much.
    pub auth: AuthConfig,
    /// What is served, and with how much of the machine.
    pub model: ModelConfig,
    /// What is written to stderr.
    pub log: LogConfig,
}

/// Sockets and the limits of what comes through them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the tools of evaluation connect, which send no keys; `None` for nowhere.
    pub eval_listen: Option<SocketAddr>,
    /// `None` speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Web pages that may connect besides those of the server itself: `scheme://host` or `scheme://host:port`.
    pub allowed_origins: Vec<String>,
    /// Open sockets.
    pub max_connections: usize,
    /// Open sockets of one address (of IPv6, of one /64 network).
    pub max_connections_per_ip: usize,
    /// From an idle connection to the end of the next request's headers; for the TLS handshake as well.
    pub header_timeout_ms: u64,
    /// Without a byte of the client's.
    pub idle_timeout_ms: u64,
    /// For the client to take what it is sent.
    pub write_timeout_ms: u64,
    /// From the signal to stop until what still runs is cut off.
    pub drain_timeout_ms: u64,
    /// Largest websocket message.
    pub max_message_bytes: usize,
    /// Largest body of a request.
    pub max_upload_bytes: u64,
    /// Longest recording, decoded.
    pub max_audio_ms: u64,
    /// Longest stream; 0 for no end.
    pub max_session_ms: u64,
    /// Where uploads are kept while they are read; `None` takes the system's folder.
    pub upload_folder: Option<PathBuf>,
    /// Serve others than this machine without keys.
    pub allow_any_key: bool,
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who may use it, and how much.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Keys, or `sha256:` and the hexadecimal hash of one. None at all: any key, or none, will do.
    #[serde(deserialize_with = "key::deserialize")]
    pub keys: Vec<KeyHash>,
    /// Streams of one key; 0 for no limit but the server's.
    pub max_sessions_per_key: usize,
}

/// What is served, and with how much of the machine.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Folder of the bundle.
    pub bundle: PathBuf,
    /// Threads that run the model; 0 for one a core.
    pub workers: usize,
    /// Jobs in one step.
    pub max_batch: usize,
    /// Streams at a time; more are refused.
    pub max_sessions: usize,
    /// Uploaded recordings at a time; they have a thread of their own.
    pub max_recordings: usize,
    /// Lag of the wait-k policy, where the client names none: in words, of the speech itself in segments of 320 ms.
    pub k: usize,
    /// Translate the transcript, where the bundle can read, instead of the speech itself.
    pub cascade: bool,
}

/// What is written to stderr.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// For whom.
    pub format: LogFormat,
    /// `level` or `target=level`, separated by commas: the directives of `tracing_subscriber`'s `EnvFilter`.
    pub filter: String,
    /// URL of a collector that takes spans as OTLP over HTTP: `http://host:4318/v1/traces`.
    pub otlp_endpoint: Option<String>,
}

/// For whom the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

impl ServerConfig {
    /// Where uploads are kept while they are read.
    pub fn uploads(&self) -> PathBuf {
        self.upload_folder.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            eval_listen: None,
            tls: None,
            allowed_origins: Vec::new(),
            max_connections: 1024,
            max_connections_per_ip: 256,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 30_000,
            write_timeout_ms: 10_000,
            drain_timeout_ms: 20_000,
            max_message_bytes: 1 << 20,
            max_upload_bytes: 256 << 20,
            max_audio_ms: 4 * 3_600_000,
            max_session_ms: 0,
            upload_folder: None,
            allow_any_key: false,
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            bundle: PathBuf::from("models/en-de-small"),
            workers: 0,
            max_batch: 32,
            max_sessions: 64,
            max_recordings: 8,
            k: 3,
            cascade: true,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned(), otlp_endpoint: None }
    }
}

/// Why the server cannot be started with these settings. No message holds a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file cannot be read, a key is not known, or a value is of another type.
    #[error("{0}")]
    Read(String),
    /// A value is out of range.
    #[error("{key} is {value}, allowed is {allowed}")]
    Value {
        /// The key, with its sections.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// Anybody could use the server.
    #[error(
        "server.listen is {0} and auth.keys is empty, allowed is a loopback address, one key or more, or \
         server.allow_any_key = true"
    )]
    Open(SocketAddr),
}

#[cfg(test)]
mod tests;
