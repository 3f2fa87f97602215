//! Keys that expire, made for web pages. Invariant: at most [`MAX`] are remembered, and those only as hashes.

use std::{
    collections::HashMap,
    fmt,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::crypto::ring;

use super::AuthError;
use crate::config::KeyHash;

/// How long a key may live.
pub(super) const LIFETIME_S: RangeInclusive<u64> = 10..=7200;
const DEFAULT_LIFETIME_S: u64 = 600;
/// Alive at a time; some hundred kilobytes.
const MAX: usize = 4096;

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

/// Where a key comes from, and how long it is good.
#[derive(Debug)]
struct Origin {
    parent: KeyHash,
    expires_at_s: u64,
}

impl EphemeralKeys {
    pub(super) fn make(&self, parent: KeyHash, lifetime_s: Option<u64>, now_s: u64) -> Result<EphemeralKey, AuthError> {
        let lifetime_s = lifetime_s.unwrap_or(DEFAULT_LIFETIME_S);
        if !LIFETIME_S.contains(&lifetime_s) {
            return Err(AuthError::Lifetime { lifetime_s });
        }
        let mut random = [0; 32];
        ring::default_provider().secure_random.fill(&mut random).map_err(|_| AuthError::Random)?;
        let value = format!("ek_{}", URL_SAFE_NO_PAD.encode(random));
        let expires_at_s = now_s.saturating_add(lifetime_s);

        let mut alive = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|_, key| now_s < key.expires_at_s);
        if alive.len() >= MAX {
            let first_s = alive.values().map(|key| key.expires_at_s).min().unwrap_or(now_s);
            return Err(AuthError::TooManyEphemeral { max: MAX, retry_after_s: first_s - now_s });
        }
        alive.insert(KeyHash::of(&value), Origin { parent, expires_at_s });
        Ok(EphemeralKey { value, expires_at_s })
    }

    /// The key that this one was made with, unless it has expired. Looked up rather than compared with each: what the
    /// time could tell is the hash of 256 random bits.
    pub(super) fn parent(&self, key: &KeyHash, now_s: u64) -> Option<KeyHash> {
        let alive = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alive.get(key).filter(|key| now_s < key.expires_at_s).map(|key| key.parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::Keys;

    const NOW_S: u64 = 1_800_000_000;

    #[test]
    fn an_ephemeral_key_is_its_parent_s_until_it_expires() {
        let keys = Keys::new(vec![KeyHash::of("first-key"), KeyHash::of("second-key")]);
        let parent = keys.authenticate(Some("second-key"), NOW_S).unwrap();
        let key = keys.make_ephemeral(&parent, Some(10), NOW_S).unwrap();
        assert!(key.value.starts_with("ek_") && key.value.len() == 46, "{}", key.value);
        assert_eq!(key.expires_at_s, NOW_S + 10);

        let principal = keys.authenticate(Some(&key.value), NOW_S + 9).unwrap();
        assert_eq!(principal.key, parent.key);
        assert_eq!(keys.make_ephemeral(&principal, None, NOW_S), Err(AuthError::EphemeralParent));
        assert_eq!(keys.authenticate(Some(&key.value), NOW_S + 10), Err(AuthError::Unknown));

        let other = keys.make_ephemeral(&parent, None, NOW_S).unwrap();
        assert_eq!(other.expires_at_s, NOW_S + 600);
        assert_ne!(other.value, key.value);
        assert!(!format!("{other:?} {keys:?}").contains(&other.value[3..]));
    }

    #[test]
    fn lifetimes_have_a_range() {
        let keys = EphemeralKeys::default();
        for lifetime_s in [0, 9, 7201, u64::MAX] {
            assert_eq!(keys.make(KeyHash::of(""), Some(lifetime_s), NOW_S), Err(AuthError::Lifetime { lifetime_s }));
        }
        assert!(keys.make(KeyHash::of(""), Some(7200), NOW_S).is_ok());
        assert_eq!(AuthError::Lifetime { lifetime_s: 9 }.to_string(), "a lifetime of 9 s, allowed is 10 to 7200 s");
    }

    #[test]
    fn their_number_is_bounded_and_the_expired_make_room() {
        let keys = EphemeralKeys::default();
        let make = |now_s| keys.make(KeyHash::of(""), Some(100), now_s);
        for index in 0..MAX as u64 {
            make(NOW_S + index % 2).unwrap();
        }
        assert_eq!(make(NOW_S + 60), Err(AuthError::TooManyEphemeral { max: MAX, retry_after_s: 40 }));
        make(NOW_S + 100).unwrap();
        assert_eq!(keys.0.lock().unwrap().len(), MAX / 2 + 1);
    }
}
