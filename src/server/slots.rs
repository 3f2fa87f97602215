//! How many of something each owner holds, and no more than allowed: streams of a key, sockets of an address.
//! Invariant: memory is of the size of what is held now.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts for each owner. A clone counts together with its original.
#[derive(Debug, Clone)]
pub struct Slots<K> {
    held: Arc<Mutex<HashMap<K, usize>>>,
    max: usize,
}

/// One of an owner's; given back when dropped.
pub struct Slot<K: Hash + Eq> {
    held: Arc<Mutex<HashMap<K, usize>>>,
    owner: K,
}

impl<K: Hash + Eq + Clone> Slots<K> {
    /// At most `max` for each owner; 0 for no limit.
    pub fn new(max: usize) -> Self {
        Self { held: Arc::default(), max: if max == 0 { usize::MAX } else { max } }
    }

    /// Whether there is one more for `owner` now.
    pub fn has_room(&self, owner: &K) -> bool {
        lock(&self.held).get(owner).copied().unwrap_or(0) < self.max
    }

    /// One more for `owner`, or `None` where it holds all that it may.
    pub fn acquire(&self, owner: K) -> Option<Slot<K>> {
        let mut held = lock(&self.held);
        let count = held.get(&owner).copied().unwrap_or(0);
        if count >= self.max {
            return None;
        }
        held.insert(owner.clone(), count + 1);
        Some(Slot { held: Arc::clone(&self.held), owner })
    }
}

impl<K: Hash + Eq> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        match held.get_mut(&self.owner) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.owner)),
        }
    }
}

impl<K: Hash + Eq + fmt::Debug> fmt::Debug for Slot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.owner).finish()
    }
}

/// Nothing that holds the lock can panic half-way, so a poisoned count is still right.
fn lock<K>(held: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_its_own_limit_and_nothing_is_left_behind() {
        let slots = Slots::new(2);
        let first = slots.acquire("a").unwrap();
        let second = slots.clone().acquire("a").unwrap();
        assert!(slots.acquire("a").is_none() && !slots.has_room(&"a"));
        assert!(slots.acquire("b").is_some() && slots.has_room(&"b"));
        drop(first);
        let third = slots.acquire("a").unwrap();
        assert!(slots.acquire("a").is_none());
        drop((second, third));
        assert!(lock(&slots.held).is_empty());
    }

    #[test]
    fn zero_is_no_limit() {
        let slots = Slots::new(0);
        let held: Vec<_> = (0..1000).map(|_| slots.acquire("a").unwrap()).collect();
        assert_eq!(lock(&slots.held)["a"], held.len());
    }
}
