//! Which letters follow which in the source language: how probable a transcript is as a text.
//!
//! An n-gram model (Shannon 1951, "Prediction and entropy of printed English") whose orders are interpolated, each one with the
//! next shorter, by a constant pseudo-count (MacKay & Peto 1995, "A hierarchical Dirichlet language model"). Eight letters
//! reach over a word and into the one before it, and no word is impossible.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};

use super::TextError;

/// The space, the letters a to z, the apostrophe.
const SYMBOLS: u64 = 28;
/// A symbol's bits in a sequence; 0 is none, so that sequences of different lengths are different numbers.
const WIDTH: u32 = 5;
/// Letters that a letter is looked at with, itself included.
pub(super) const ORDER: usize = 8;
/// Longer sequences than this are kept only if they were there more than once.
const ALWAYS_KEPT: usize = 4;
/// Contexts that were seen so often count as much as the shorter ones behind them.
const BACKOFF: f64 = 5.0;
/// One bit, in the table's units: fine enough for a sum, and a byte reaches the 40 bits of what never follows in the language.
const UNITS: f64 = 6.0;

const MAGIC: &[u8; 5] = b"DCLT\x01";
/// More than any language has; what else a small file could be inflated to.
const MAX_ENTRIES: usize = 8 << 20;

/// How surprising each letter is after the seven before it. A clone is the same one.
///
/// Entries in order: a sequence, the surprise of its last letter, and what it costs that none of the letters seen after it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letters(Arc<[u64]>);

impl Letters {
    /// Counts the letters of normalised sentences.
    pub fn train(sentences: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut counts: [HashMap<u64, u32>; ORDER] = Default::default();
        for sentence in sentences {
            let mut context = Context::default();
            for symbol in spaced(sentence.as_ref()) {
                for (length, counts) in counts.iter_mut().enumerate().take(context.length() + 1) {
                    *counts.entry(context.before(length, symbol)).or_default() += 1;
                }
                context.push(symbol);
            }
        }
        counts[ALWAYS_KEPT..].iter_mut().for_each(|counts| counts.retain(|_, count| *count > 1));
        // How often a context was there, whatever followed it.
        let mut seen: HashMap<u64, f64> = HashMap::new();
        for (&sequence, &count) in counts.iter().flatten() {
            *seen.entry(sequence >> WIDTH).or_default() += f64::from(count);
        }
        let (mut probabilities, mut entries) = (HashMap::new(), vec![entry(0, 1.0, seen.get(&0))]);
        for (length, counts) in counts.iter().enumerate() {
            for (&sequence, &count) in counts {
                let shorter = sequence & ((1 << (WIDTH * length as u32)) - 1);
                let shorter = probabilities.get(&shorter).copied().unwrap_or(1.0 / SYMBOLS as f64);
                let probability = (f64::from(count) + BACKOFF * shorter) / (seen[&(sequence >> WIDTH)] + BACKOFF);
                probabilities.insert(sequence, probability);
                entries.push(entry(sequence, probability, seen.get(&sequence)));
            }
        }
        entries.sort_unstable();
        Self(entries.into())
    }

    /// What [`Letters::to_bytes`] gave.
    ///
    /// # Errors
    /// [`TextError::Letters`] if the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        let wrong = |what: &str| TextError::Letters(what.to_owned());
        let packed = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("it does not begin as one of version 1"))?;
        let mut planes = Vec::new();
        let limit = 8 * MAX_ENTRIES as u64 + 1;
        DeflateDecoder::new(packed).take(limit).read_to_end(&mut planes).map_err(|e| wrong(&e.to_string()))?;
        let (planes, rest) = planes.as_chunks::<8>();
        if planes.is_empty() || planes.len() > MAX_ENTRIES || !rest.is_empty() {
            return Err(wrong("it has no whole number of entries, or too many"));
        }
        let (count, bytes) = (planes.len(), planes.as_flattened());
        let entry = |at: usize| u64::from_le_bytes(std::array::from_fn(|plane| bytes[plane * count + at]));
        let entries: Arc<[u64]> = (0..count).map(entry).collect();
        if !entries.is_sorted_by(|a, b| sequence(*a) < sequence(*b)) {
            return Err(wrong("its entries are not in order"));
        }
        Ok(Self(entries))
    }

    /// As a file: entry by entry they hardly deflate, so all their first bytes come first, then all second ones.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(MAGIC.to_vec(), Compression::best());
        for plane in 0..8 {
            let plane: Vec<u8> = self.0.iter().map(|entry| entry.to_le_bytes()[plane]).collect();
            // Memory takes whatever is written.
            let _ = encoder.write_all(&plane);
        }
        encoder.finish().unwrap_or_default()
    }

    /// Bits that a symbol tells after those before it, of which at most `order - 1` are looked at.
    pub(super) fn bits(&self, context: Context, symbol: Symbol, order: usize) -> f32 {
        let mut units = 0;
        for length in (0..=context.length().min(order - 1)).rev() {
            if let Some((surprise, _)) = self.find(context.before(length, symbol)) {
                return f32::from(units + surprise) / UNITS as f32;
            }
            units += self.find(context.last(length)).map_or(0, |(_, unseen)| unseen);
        }
        f32::from(units) / UNITS as f32 + (SYMBOLS as f32).log2()
    }

    /// The surprise of a sequence's last letter, and the cost of what was never seen after it.
    fn find(&self, wanted: u64) -> Option<(u16, u16)> {
        let at = self.0.binary_search_by_key(&wanted, |&entry| sequence(entry)).ok()?;
        let [unseen, surprise, ..] = self.0[at].to_le_bytes();
        Some((u16::from(surprise), u16::from(unseen)))
    }
}

fn entry(sequence: u64, probability: f64, seen: Option<&f64>) -> u64 {
    let units = |bits: f64| (bits * UNITS).round().min(255.0) as u64;
    let unseen = seen.map_or(0, |seen| units(((seen + BACKOFF) / BACKOFF).log2()));
    sequence << 16 | units(-probability.log2()) << 8 | unseen
}

fn sequence(entry: u64) -> u64 {
    entry >> 16
}

/// A space, a letter or an apostrophe, from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol(u8);

impl Symbol {
    pub(super) const SPACE: Self = Self(1);

    /// Of a small letter, an apostrophe or a space; nothing else has one.
    pub(super) fn of(character: char) -> Option<Self> {
        match character {
            ' ' => Some(Self::SPACE),
            'a'..='z' => Some(Self(character as u8 - b'a' + 2)),
            '\'' => Some(Self(SYMBOLS as u8)),
            _ => None,
        }
    }
}

/// The last symbols of a text. A new one is the beginning of a text, where a word may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Context(u64);

impl Default for Context {
    fn default() -> Self {
        Self(u64::from(Symbol::SPACE.0))
    }
}

impl Context {
    pub(super) fn push(&mut self, symbol: Symbol) {
        self.0 = self.before(ORDER - 2, symbol);
    }

    pub(super) fn ends_with(self, symbol: Symbol) -> bool {
        self.last(1) == u64::from(symbol.0)
    }

    fn length(self) -> usize {
        (u64::BITS - self.0.leading_zeros()).div_ceil(WIDTH) as usize
    }

    fn last(self, length: usize) -> u64 {
        self.0 & ((1 << (WIDTH * length as u32)) - 1)
    }

    /// The sequence of the last `length` symbols and one more.
    fn before(self, length: usize, symbol: Symbol) -> u64 {
        self.last(length) << WIDTH | u64::from(symbol.0)
    }
}

/// A sentence's symbols, with one space between words and one at the end.
fn spaced(sentence: &str) -> impl Iterator<Item = Symbol> + '_ {
    sentence.split_whitespace().flat_map(|word| word.chars().filter_map(Symbol::of).chain([Symbol::SPACE]))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const ENGLISH: [&str; 6] = [
        "i would like to know what time it is",
        "the children are playing in the garden",
        "don't you think that we should leave now",
        "she said that she had never seen the sea",
        "what are you going to do with all that money",
        "there is nothing left to eat in the kitchen",
    ];

    fn context(text: &str) -> Context {
        let mut context = Context::default();
        text.chars().filter_map(Symbol::of).for_each(|symbol| context.push(symbol));
        context
    }

    #[test]
    fn probabilities_after_any_context_add_up() {
        let letters = Letters::train(ENGLISH.iter().cycle().take(60));
        for (text, order) in [("", 8), ("what are ", 8), ("the child", 8), ("the child", 4), ("qqq", 8), ("th", 1)] {
            let symbols = (1..=SYMBOLS as u8).map(Symbol);
            let sum: f32 = symbols.map(|symbol| 0.5f32.powf(letters.bits(context(text), symbol, order))).sum();
            assert!((0.9..1.1).contains(&sum), "{text:?} of order {order}: {sum}");
        }
    }

    #[test]
    fn a_longer_context_tells_more() {
        let letters = Letters::train(ENGLISH.iter().cycle().take(60));
        let [near, far, never] = ["the childr", "r", "qqqq"]
            .map(context)
            .map(|context| [8, 1].map(|order| letters.bits(context, Symbol::of('e').unwrap(), order)));
        assert!(near[0] < 0.5 && near[1] > 2.0, "{near:?}");
        assert!(far[0] > near[0] && far[1] == near[1] && never[0] == never[1], "{far:?} {never:?}");
    }

    #[test]
    fn long_sequences_must_have_been_there_twice() {
        let longest = |times: usize| {
            let letters = Letters::train(["extraordinary"].repeat(times));
            (1..=ORDER)
                .rev()
                .find(|&length| letters.0.iter().any(|&entry| sequence(entry) >> (WIDTH * (length as u32 - 1)) > 0))
        };
        assert_eq!((longest(1), longest(2)), (Some(ALWAYS_KEPT), Some(ORDER)));
    }

    #[test]
    fn bytes_are_the_model_and_others_are_refused() {
        let letters = Letters::train(ENGLISH);
        let bytes = letters.to_bytes();
        assert_eq!(Letters::from_bytes(&bytes).unwrap(), letters);
        let reason = |bytes: &[u8]| Letters::from_bytes(bytes).unwrap_err().to_string();
        assert!(reason(&[0; 614_656]).contains("version"));
        assert!(Letters::from_bytes(&bytes[..bytes.len() / 2]).is_err());
        let packed = |entries: &[u64]| Letters(entries.into()).to_bytes();
        assert!(reason(&packed(&[])).contains("entries") && reason(&packed(&[2 << 16, 1 << 16])).contains("order"));
    }
}
