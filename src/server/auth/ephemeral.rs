//! Keys that expire, made for web pages, and the settings that they were made for. Invariant: at most [`MAX`] are
//! remembered, no parent has more than its share of them, and of the keys only hashes are kept.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::crypto::ring;

use super::AuthError;
use crate::{config::KeyHash, protocol::realtime::SessionUpdate};

/// Alive at a time. With their settings, which came in one small body each, some megabytes at the worst.
const MAX: usize = 4096;
/// Of these, made with one key: a page that is loaded again and again takes no others' places.
const MAX_OF_PARENT: usize = 256;

/// A new key.
#[derive(Clone, PartialEq, Eq)]
pub struct EphemeralKey {
    /// `ek_` and 256 random bits.
    pub value: String,
    /// In seconds since 1970.
    pub expires_at_s: u64,
}

impl fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EphemeralKey").field("expires_at_s", &self.expires_at_s).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(super) struct EphemeralKeys(Mutex<HashMap<KeyHash, Origin>>);

/// Where a key comes from, how long it is good, and for what.
#[derive(Debug)]
struct Origin {
    parent: KeyHash,
    expires_at_s: u64,
    session: Arc<SessionUpdate>,
}

impl EphemeralKeys {
    pub(super) fn make(
        &self,
        parent: KeyHash,
        lifetime_s: u64,
        session: SessionUpdate,
        now_s: u64,
    ) -> Result<EphemeralKey, AuthError> {
        let mut random = [0; 32];
        ring::default_provider().secure_random.fill(&mut random).map_err(|_| AuthError::Random)?;
        let value = format!("ek_{}", URL_SAFE_NO_PAD.encode(random));
        let expires_at_s = now_s.saturating_add(lifetime_s);

        let mut alive = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|_, key| now_s < key.expires_at_s);
        let ends_of = |owner: Option<KeyHash>| {
            let keys = alive.values().filter(move |key| owner.is_none_or(|owner| owner == key.parent));
            keys.map(|key| key.expires_at_s)
        };
        for (owner, max) in [(Some(parent), MAX_OF_PARENT), (None, MAX)] {
            if ends_of(owner).count() >= max {
                let first_s = ends_of(owner).min().unwrap_or(now_s);
                return Err(AuthError::TooManyEphemeral { max, retry_after_s: first_s - now_s });
            }
        }
        alive.insert(KeyHash::of(&value), Origin { parent, expires_at_s, session: Arc::new(session) });
        Ok(EphemeralKey { value, expires_at_s })
    }

    /// The key that this one was made with, and for what, unless it has expired. Looked up rather than compared with
    /// each: what the time could tell is the hash of 256 random bits.
    pub(super) fn find(&self, key: &KeyHash, now_s: u64) -> Option<(KeyHash, Arc<SessionUpdate>)> {
        let alive = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = alive.get(key).filter(|key| now_s < key.expires_at_s)?;
        Some((found.parent, Arc::clone(&found.session)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::{Keys, Principal};

    const NOW_S: u64 = 1_800_000_000;

    #[test]
    fn an_ephemeral_key_is_its_parent_s_until_it_expires() {
        let keys = Keys::new(vec![KeyHash::of("first-key"), KeyHash::of("second-key")]);
        let parent = keys.authenticate(Some("second-key"), NOW_S).unwrap();
        let session = SessionUpdate { model: Some("m".to_owned()), ..SessionUpdate::default() };
        let key = keys.make_ephemeral(&parent, 10, session.clone(), NOW_S).unwrap();
        assert!(key.value.starts_with("ek_") && key.value.len() == 46, "{}", key.value);
        assert_eq!(key.expires_at_s, NOW_S + 10);

        let principal = keys.authenticate(Some(&key.value), NOW_S + 9).unwrap();
        assert_eq!(principal, Principal { key: parent.key, session: Some(Arc::new(session.clone())) });
        let again = keys.make_ephemeral(&principal, 10, session.clone(), NOW_S);
        assert_eq!(again, Err(AuthError::EphemeralParent));
        assert_eq!(keys.authenticate(Some(&key.value), NOW_S + 10), Err(AuthError::Unknown));

        let other = keys.make_ephemeral(&parent, 10, session, NOW_S).unwrap();
        assert_ne!(other.value, key.value);
        assert!(!format!("{other:?} {keys:?}").contains(&other.value[3..]));
    }

    #[test]
    fn their_number_is_bounded_and_the_expired_make_room() {
        let keys = EphemeralKeys::default();
        let make = |parent: usize, lifetime_s, now_s| {
            keys.make(KeyHash::of(&parent.to_string()), lifetime_s, SessionUpdate::default(), now_s)
        };
        let full = |max, retry_after_s| Err(AuthError::TooManyEphemeral { max, retry_after_s });
        for index in 0..MAX {
            // The first parent's keys live longer.
            let lifetime_s = if index < MAX_OF_PARENT { 200 } else { 100 };
            make(index / MAX_OF_PARENT, lifetime_s, NOW_S + index as u64 % 2).unwrap();
        }
        assert_eq!(make(0, 100, NOW_S + 60), full(MAX_OF_PARENT, 140));
        assert_eq!(make(MAX, 100, NOW_S + 60), full(MAX, 40));
        make(MAX, 100, NOW_S + 100).unwrap();
        assert_eq!(keys.0.lock().unwrap().len(), (MAX + MAX_OF_PARENT) / 2 + 1);
        assert_eq!(make(0, 100, NOW_S + 100), full(MAX_OF_PARENT, 100));
    }
}
