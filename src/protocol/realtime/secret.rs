//! `POST /v1/realtime/translations/client_secrets`: a request for an ephemeral key to the answer that carries it.
//! Invariant: a key is only given for settings that a session opened with it will accept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    client::field,
    server::ErrorBody,
    session::{Session, SessionUpdate},
};
use crate::protocol::SessionInfo;

/// Shortest and longest life of a key, in seconds.
const SECONDS: core::ops::RangeInclusive<u64> = 10..=7200;

/// What the body asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretRequest {
    /// How long the key shall open sessions, in seconds: 10 to 7200, 600 if absent.
    pub seconds: u64,
    /// Name of the model.
    pub model: String,
    /// What sessions opened with the key begin with, for [`Realtime::preset`](super::Realtime::preset).
    pub session: SessionUpdate,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretResponse {
    /// The key: `ek_…`.
    pub value: String,
    /// When it stops opening sessions, in seconds since 1970; sessions that are open go on.
    pub expires_at: u64,
    /// What a session opened with it will be.
    pub session: Session,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresAfter {
    #[serde(default)]
    anchor: Anchor,
    #[serde(default = "default_seconds")]
    seconds: u64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Anchor {
    #[default]
    CreatedAt,
}

fn default_seconds() -> u64 {
    600
}

impl SecretRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Names the field that is missing or wrong (400).
    pub fn parse(body: &[u8]) -> Result<Self, ErrorBody> {
        let invalid = |error| ErrorBody::invalid("invalid_json", None, format!("not JSON: {error}"));
        let body: Value = serde_json::from_slice(body).map_err(invalid)?;
        let seconds = match &body["expires_after"] {
            Value::Null => default_seconds(),
            _ => {
                let ExpiresAfter { anchor: Anchor::CreatedAt, seconds } = field(&body, "expires_after")?;
                seconds
            }
        };
        if !SECONDS.contains(&seconds) {
            let (param, allowed) = ("expires_after.seconds", format!("{} to {}", SECONDS.start(), SECONDS.end()));
            let message = format!("{param} is {seconds}; allowed is {allowed}");
            return Err(ErrorBody::invalid("invalid_value", Some(param), message));
        }
        let session: SessionUpdate = field(&body, "session")?;
        let missing = || ErrorBody::invalid("invalid_event", Some("session.model"), "session.model is missing");
        let model = session.model.clone().ok_or_else(missing)?;
        Ok(Self { seconds, model, session })
    }

    /// What a session opened with the key will be; `info` is what one opened now would be.
    ///
    /// # Errors
    /// Names the setting that such a session would not accept (400).
    pub fn preview(&self, info: &SessionInfo) -> Result<Session, ErrorBody> {
        let mut session = Session::new(info);
        session.update(self.session.clone(), &super::available(false, false))?;
        Ok(session)
    }
}
