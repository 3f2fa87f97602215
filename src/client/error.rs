//! What can go wrong with a stream, by who has to do something about it; what the server said is repeated.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio_tungstenite::tungstenite::http::{Response, header::RETRY_AFTER};
use tokio_tungstenite::tungstenite::{self, error::UrlError};

use crate::protocol::realtime::ErrorBody;

/// Longest part of an answer without our error object that is shown.
const MAX_BODY_CHARS: usize = 200;

/// Why there is no stream, or not to its end.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The URL cannot be connected to.
    #[error("the URL {url:?} cannot be used: {cause}; allowed is ws, wss, http or https with a host")]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        cause: String,
    },
    /// The key does not fit into a header.
    #[error("the key holds characters that no HTTP header may hold")]
    Key,
    /// The certificates to trust cannot be read.
    #[error("no certificate can be read from {path}: {cause}")]
    CaFile {
        /// As given.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The server answered, but did not open a stream.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such server, or it does not speak websocket.
    #[error("cannot connect: {0}")]
    Connect(Box<tungstenite::Error>),
    /// The stream was not opened in time.
    #[error("no stream was opened within {limit:?}")]
    ConnectTimeout {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server does not do what was asked when the stream was opened.
    #[error("the server says: {}", .0.message)]
    Settings(ErrorBody),
    /// The server ended the stream early.
    #[error("the server ended the stream with {code}{}", said(reason, error.as_deref()))]
    Closed {
        /// Of the close frame (RFC 6455 §7.4); 1005 if it had none.
        code: u16,
        /// Of the close frame.
        reason: String,
        /// The last error before it.
        error: Option<Box<ErrorBody>>,
    },
    /// The connection broke.
    #[error("the connection is lost: {cause}")]
    Lost {
        /// What the network says.
        cause: String,
    },
    /// Nothing came for too long.
    #[error("the server said nothing for {limit:?}")]
    Silent {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server takes no audio.
    #[error("the server took no audio for {limit:?}")]
    Stuck {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server takes audio, but more slowly than it is spoken.
    #[error("the server takes audio too slowly: what is sent is {behind:?} late, allowed are {limit:?}")]
    Behind {
        /// How late the audio was.
        behind: Duration,
        /// [`super::Pace::max_behind`].
        limit: Duration,
    },
    /// What came is not of this dialect.
    #[error("the server sent a message that cannot be read: {cause}")]
    Message {
        /// What is wrong with it.
        cause: String,
    },
}

/// An answer to the upgrade that is no upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the server refused the stream ({status}): {message}{}", again(*retry_after))]
pub struct Refusal {
    /// HTTP status: 400 and 404 for what was asked, 401 and 403 for who asked, 429 and 503 if there is no place.
    pub status: u16,
    /// The server's own words.
    pub message: String,
    /// When it may help to try again.
    pub retry_after: Option<Duration>,
}

impl ClientError {
    /// What a failed handshake means.
    pub(super) fn handshake(url: &str, error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => Self::Refused(Refusal::read(&response)),
            tungstenite::Error::Url(UrlError::UnableToConnect(_)) => Self::Connect(Box::new(error)),
            tungstenite::Error::Url(cause) => Self::Url { url: url.to_owned(), cause: cause.to_string() },
            error => Self::Connect(Box::new(error)),
        }
    }
}

impl Refusal {
    fn read(response: &Response<Option<Vec<u8>>>) -> Self {
        #[derive(serde::Deserialize)]
        struct Body {
            error: ErrorBody,
        }

        let status = response.status();
        // The handshake reads no further than the packet that held the headers, so the body may be missing.
        let body = response.body().as_deref().unwrap_or_default();
        let message = match serde_json::from_slice::<Body>(body) {
            Ok(body) => body.error.message,
            Err(_) if body.trim_ascii().is_empty() => status.canonical_reason().unwrap_or("no reason given").to_owned(),
            Err(_) => String::from_utf8_lossy(body).trim().chars().take(MAX_BODY_CHARS).collect(),
        };
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Self { status: status.as_u16(), message, retry_after: seconds.map(Duration::from_secs) }
    }
}

fn again(retry_after: Option<Duration>) -> String {
    retry_after.map(|after| format!("; try again in {} s", after.as_secs())).unwrap_or_default()
}

fn said(reason: &str, error: Option<&ErrorBody>) -> String {
    match error {
        Some(error) => format!(": {}", error.message),
        None if reason.is_empty() => String::new(),
        None => format!(": {reason}"),
    }
}
