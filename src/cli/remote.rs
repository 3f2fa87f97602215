//! Flags of whoever is a client of a server.

use std::path::PathBuf;

use clap::Args;
use decalage::client::ClientOptions;

/// As whom, and for what.
#[derive(Debug, Clone, Args)]
pub(super) struct Remote {
    /// API key
    #[arg(long)]
    key: Option<String>,
    /// Name of the model
    #[arg(long, default_value = "en-de-small")]
    model: String,
    /// Lag of the wait-k policy, in segments of 320 ms [default: the server's]
    #[arg(long)]
    k: Option<usize>,
    /// Trust the certificates in this file (PEM) instead of the public authorities
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Remote {
    pub(super) fn options(&self, url: &str) -> ClientOptions {
        let Self { key, model, k, ca_file } = self.clone();
        ClientOptions { url: url.to_owned(), key, model, k, ca_file, ..ClientOptions::default() }
    }
}
