//! How surprising a symbol is after those before it: a table of sequences (n-grams; Shannon 1951, "Prediction and entropy of
//! printed English"), whose orders are interpolated, each with the next shorter one, by a pseudo-count (MacKay & Peto 1995, "A
//! hierarchical Dirichlet language model").

use std::collections::HashMap;
use std::sync::Arc;

/// One bit, in the table's units: fine enough for a sum, and a byte reaches the 40 bits of what never follows in the language.
const UNITS: f64 = 6.0;
/// A sequence is a number of so many bits.
pub(super) const SEQUENCE_BITS: u32 = 48;

/// A slot without an entry: no sequence costs as much.
const NONE: u64 = u64::MAX;

/// A sequence of symbols, and what is to be known of it to count it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gram {
    pub(super) sequence: u64,
    /// The sequence without its last symbol,
    pub(super) context: u64,
    /// and the one without its first.
    pub(super) shorter: u64,
}

/// What contexts that are seen count as the shorter ones behind them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backoff {
    /// As if they had been seen so often.
    Constant(f64),
    /// As if they had been seen as often as different symbols were seen in the context (Witten & Bell 1991, method C).
    Types,
}

/// Entries, each a sequence, the surprise of its last symbol, and what it costs that none of the symbols seen after it follows: a
/// hash table with open addressing (Knuth, The Art of Computer Programming 3, §6.4, algorithm L), as a search through entries in
/// order meets a cache line of its own at each of its steps. A clone is the same table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ngrams(Arc<[u64]>);

impl Ngrams {
    /// Of counted sequences, the shortest first; a symbol's probability before anything is known is `base`.
    pub(super) fn new(counts: &[HashMap<u64, (Gram, u32)>], backoff: Backoff, base: f64) -> Self {
        // How often a context was there, whatever followed it, and how many different symbols did.
        let mut contexts: HashMap<u64, (f64, f64)> = HashMap::new();
        for (gram, count) in counts.iter().flat_map(HashMap::values) {
            let (seen, types) = contexts.entry(gram.context).or_default();
            *seen += f64::from(*count);
            *types += 1.0;
        }
        let context = |sequence: u64| {
            let &(seen, types) = contexts.get(&sequence)?;
            Some(match backoff {
                Backoff::Constant(count) => (seen, count),
                Backoff::Types => (seen, types),
            })
        };
        let mut probabilities = HashMap::new();
        let mut entries = vec![entry(0, 1.0, context(0))];
        for (gram, count) in counts.iter().flat_map(HashMap::values) {
            let shorter = probabilities.get(&gram.shorter).copied().unwrap_or(base);
            let (seen, pseudo) = context(gram.context).unwrap_or((0.0, 1.0));
            let probability = (f64::from(*count) + pseudo * shorter) / (seen + pseudo);
            probabilities.insert(gram.sequence, probability);
            entries.push(entry(gram.sequence, probability, context(gram.sequence)));
        }
        entries.sort_unstable();
        entries.dedup_by_key(|entry| sequence(*entry));
        Self::hashed(&entries)
    }

    /// A table of these entries, if they are in order.
    pub(super) fn of(entries: &[u64]) -> Option<Self> {
        let is_entry = |entry: &u64| *entry != NONE;
        let is_sorted = entries.is_sorted_by(|a, b| sequence(*a) < sequence(*b));
        (is_sorted && entries.iter().all(is_entry)).then(|| Self::hashed(entries))
    }

    /// Of different sequences.
    fn hashed(entries: &[u64]) -> Self {
        // Three quarters full: some two slots are looked at.
        let mut slots = vec![NONE; entries.len() + entries.len() / 3 + 1];
        for &entry in entries {
            let free = places(sequence(entry), slots.len()).find(|&at| slots[at] == NONE);
            free.into_iter().for_each(|at| slots[at] = entry);
        }
        Self(slots.into())
    }

    /// The entries, in order.
    pub(super) fn entries(&self) -> Vec<u64> {
        let mut entries: Vec<u64> = self.0.iter().copied().filter(|&slot| slot != NONE).collect();
        entries.sort_unstable();
        entries
    }

    /// Bits that a symbol tells after those before it: `grams` are the sequences that it ends and their contexts, the longest first. `Err`
    /// if it was never seen: what it costs to find that out.
    pub(super) fn bits(&self, grams: impl IntoIterator<Item = (u64, u64)>) -> Result<f32, f32> {
        let mut units = 0;
        for (sequence, context) in grams {
            if let Some((surprise, _)) = self.find(sequence) {
                return Ok(f32::from(units + surprise) / UNITS as f32);
            }
            units += self.find(context).map_or(0, |(_, unseen)| unseen);
        }
        Err(f32::from(units) / UNITS as f32)
    }

    /// The surprise of a sequence's last symbol, and the cost of what was never seen after it.
    fn find(&self, wanted: u64) -> Option<(u16, u16)> {
        let mut met = places(wanted, self.0.len()).map(|at| self.0[at]);
        let entry = met.find(|&slot| slot == NONE || sequence(slot) == wanted).filter(|&slot| slot != NONE)?;
        let [unseen, surprise, ..] = entry.to_le_bytes();
        Some((u16::from(surprise), u16::from(unseen)))
    }
}

/// Counts a sequence once more.
pub(super) fn count(counts: &mut HashMap<u64, (Gram, u32)>, gram: Gram) {
    counts.entry(gram.sequence).or_insert((gram, 0)).1 += 1;
}

fn entry(sequence: u64, probability: f64, context: Option<(f64, f64)>) -> u64 {
    let units = |bits: f64| (bits * UNITS).round().min(255.0) as u64;
    let unseen = context.map_or(0, |(seen, pseudo)| units(((seen + pseudo) / pseudo).log2()));
    sequence << (u64::BITS - SEQUENCE_BITS) | units(-probability.log2()) << 8 | unseen
}

/// Slots where a sequence may be, in the order in which they are looked at.
fn places(sequence: u64, num_slots: usize) -> impl Iterator<Item = usize> {
    // Fibonacci hashing: neighbours come to lie far from each other.
    let hash = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let first = ((u128::from(hash) * num_slots as u128) >> u64::BITS) as usize;
    (first..num_slots).chain(0..first)
}

fn sequence(entry: u64) -> u64 {
    entry >> (u64::BITS - SEQUENCE_BITS)
}
