//! Keys of clients to hashes. Invariant: the key itself is forgotten as soon as it is read, and no error repeats it.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Error};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of a key. Shows its first 8 hexadecimal digits only: enough to tell keys apart in a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key as a client sends it.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Compares in a time that does not depend on where the two differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// What a config says: a key, or `sha256:` and 64 hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let Some(hex) = text.strip_prefix("sha256:") else {
            // What fits into a header and into a list of websocket subprotocols.
            let is_token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            return ((8..=256).contains(&text.len()) && text.bytes().all(is_token)).then(|| Self::of(text));
        };
        let mut hash = [0; 32];
        if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(hex.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// Reads a list of keys, or a single one (which is easier to write in an environment variable).
///
/// By way of an untyped value: serde's own errors repeat what they found.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyHash>, D::Error> {
    let keys = match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Array(keys) => keys,
        key => vec![key],
    };
    let hash = |(index, key): (usize, &serde_json::Value)| {
        let refused = || {
            D::Error::custom(format!(
                "key {} of the list is malformed, allowed is a string of 8 to 256 letters, digits and \
                 !#$%&'*+-.^_`|~, or `sha256:` and 64 hexadecimal digits",
                index + 1
            ))
        };
        key.as_str().and_then(KeyHash::parse).ok_or_else(refused)
    };
    keys.iter().enumerate().map(hash).collect()
}
