//! Keys to principals. Invariant: a key is only ever compared as a hash, in constant time and with every configured one;
//! no key is logged, and no error repeats one.

mod credentials;
mod ephemeral;
mod origin;

use std::{fmt, sync::Arc};

use thiserror::Error;

use self::ephemeral::EphemeralKeys;
pub use self::{
    credentials::{SUBPROTOCOLS, key},
    ephemeral::EphemeralKey,
    origin::Origins,
};
use crate::{config::KeyHash, protocol::realtime::SessionUpdate};

/// Whom a request comes from. Shows the beginning of the key's hash, for the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// Hash of the configured key, also where an ephemeral one was sent: what counts towards a limit.
    pub key: KeyHash,
    /// An ephemeral key was sent, which makes no others: what sessions that are opened with it begin with.
    pub session: Option<Arc<SessionUpdate>>,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// Everybody's keys.
#[derive(Debug)]
pub struct Keys {
    configured: Vec<KeyHash>,
    ephemeral: EphemeralKeys,
}

impl Keys {
    /// Only these keys and what is made from them; if there are none, any key will do, and no key as well.
    pub fn new(configured: Vec<KeyHash>) -> Self {
        Self { configured, ephemeral: EphemeralKeys::default() }
    }

    /// Whether anybody is asked for one.
    pub fn are_asked_for(&self) -> bool {
        !self.configured.is_empty()
    }

    /// Whose key this is. `now_s` is the time in seconds since 1970.
    ///
    /// # Errors
    /// No key where one is needed, or one that is not known (any more).
    pub fn authenticate(&self, key: Option<&str>, now_s: u64) -> Result<Principal, AuthError> {
        let takes_any = self.configured.is_empty();
        let key = match key {
            Some(key) => KeyHash::of(key),
            None if takes_any => KeyHash::of(""),
            None => return Err(AuthError::Missing),
        };
        // No early end: how long this takes does not tell which key was close.
        let is_configured = self.configured.iter().fold(false, |found, configured| found | configured.matches(&key));
        if is_configured {
            return Ok(Principal { key, session: None });
        }
        if let Some((parent, session)) = self.ephemeral.find(&key, now_s) {
            return Ok(Principal { key: parent, session: Some(session) });
        }
        if takes_any { Ok(Principal { key, session: None }) } else { Err(AuthError::Unknown) }
    }

    /// Makes a key that can be given to a web page: it is as good as the principal's own, for `lifetime_s`, but that
    /// sessions of the native dialect begin with the settings `session`.
    ///
    /// # Errors
    /// The principal has an ephemeral key itself (or it could live for ever), or too many are alive.
    pub fn make_ephemeral(
        &self,
        principal: &Principal,
        lifetime_s: u64,
        session: SessionUpdate,
        now_s: u64,
    ) -> Result<EphemeralKey, AuthError> {
        if principal.session.is_some() {
            return Err(AuthError::EphemeralParent);
        }
        self.ephemeral.make(principal.key, lifetime_s, session, now_s)
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// No key was sent.
    #[error("no API key, send one as `Authorization: Bearer KEY`")]
    Missing,
    /// A key that nobody has, or that has expired.
    #[error("the API key is not known, or has expired")]
    Unknown,
    /// A web page of another host.
    #[error(
        "pages of {0:?} may not connect, allowed are this server's own (where it asks for no key, only by address or as \
        localhost) and server.allowed_origins"
    )]
    Origin(String),
    /// An ephemeral key was to make another.
    #[error("an ephemeral key cannot make another, use the key that it was made with")]
    EphemeralParent,
    /// All places for ephemeral keys are taken, or all that one key may have.
    #[error("{max} ephemeral keys are alive, no more are allowed")]
    TooManyEphemeral {
        /// How many there may be.
        max: usize,
        /// When the first of them expires.
        retry_after_s: u64,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for a key")]
    Random,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_keys_are_known() {
        let keys = Keys::new(vec![KeyHash::of("first-key"), KeyHash::of("second-key")]);
        for key in ["first-key", "second-key"] {
            let principal = keys.authenticate(Some(key), 0).unwrap();
            assert_eq!(principal, Principal { key: KeyHash::of(key), session: None });
        }
        for key in ["", "first-ke", "first-key ", "FIRST-KEY", "ek_"] {
            assert_eq!(keys.authenticate(Some(key), 0), Err(AuthError::Unknown), "{key}");
        }
        assert_eq!(keys.authenticate(None, 0), Err(AuthError::Missing));
    }

    #[test]
    fn without_configured_keys_everybody_is_somebody() {
        let keys = Keys::new(Vec::new());
        assert_eq!(keys.authenticate(Some("whatever"), 0).unwrap().key, KeyHash::of("whatever"));
        assert!(keys.authenticate(None, 0).is_ok());
    }

    #[test]
    fn a_log_tells_keys_apart_but_not_what_they_are() {
        let principal = Keys::new(Vec::new()).authenticate(Some("sk-a-secret-key"), 0).unwrap();
        assert_eq!(principal.to_string().len(), 8);
        assert_eq!(principal.to_string(), KeyHash::of("sk-a-secret-key").to_string());
        assert!(!format!("{principal:?}").contains("secret"));
    }
}
