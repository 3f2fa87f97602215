//! Which letters follow which: every word can be spelled, and of eight letters most reach into the word before.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::ngrams::{Backoff, Gram, Ngrams, count};

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

/// How surprising each letter is after the seven before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letters(pub(super) Ngrams);

impl Letters {
    /// Counts the symbols of sentences.
    pub(super) fn train(sentences: impl IntoIterator<Item = impl IntoIterator<Item = Symbol>>) -> Self {
        let mut counts: [HashMap<u64, (Gram, u32)>; ORDER] = Default::default();
        for sentence in sentences {
            let mut context = Context::default();
            for symbol in sentence {
                for (length, counts) in counts.iter_mut().enumerate().take(context.length() + 1) {
                    let sequence = context.before(length, symbol);
                    let shorter = sequence & ((1 << (WIDTH * length as u32)) - 1);
                    count(counts, Gram { sequence, context: context.last(length), shorter });
                }
                context.push(symbol);
            }
        }
        counts[ALWAYS_KEPT..].iter_mut().for_each(|counts| counts.retain(|_, (_, count)| *count > 1));
        Self(Ngrams::new(&counts, Backoff::Constant(BACKOFF), 1.0 / SYMBOLS as f64))
    }

    /// Bits that a symbol tells after those before it, of which at most `order - 1` are looked at.
    pub(super) fn bits(&self, context: Context, symbol: Symbol, order: usize) -> f32 {
        let lengths = (0..=context.length().min(order - 1)).rev();
        let grams = lengths.map(|length| (context.before(length, symbol), context.last(length)));
        self.0.bits(grams).unwrap_or_else(|new| new + (SYMBOLS as f32).log2())
    }
}

/// A space, a letter or an apostrophe, from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol(u8);

impl Symbol {
    pub(super) const SPACE: Self = Self(1);

    pub(super) fn number(self) -> u64 {
        u64::from(self.0)
    }

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

    fn trained(sentences: &[&str]) -> Letters {
        Letters::train(
            sentences.iter().map(|sentence| format!("{sentence} ").chars().filter_map(Symbol::of).collect::<Vec<_>>()),
        )
    }

    fn context(text: &str) -> Context {
        let mut context = Context::default();
        text.chars().filter_map(Symbol::of).for_each(|symbol| context.push(symbol));
        context
    }

    #[test]
    fn probabilities_after_any_context_add_up() {
        let letters = trained(&ENGLISH.repeat(10));
        for (text, order) in [("", 8), ("what are ", 8), ("the child", 8), ("the child", 4), ("qqq", 8), ("th", 1)] {
            let symbols = (1..=SYMBOLS as u8).map(Symbol);
            let sum: f32 = symbols.map(|symbol| 0.5f32.powf(letters.bits(context(text), symbol, order))).sum();
            assert!((0.9..1.1).contains(&sum), "{text:?} of order {order}: {sum}");
        }
    }

    #[test]
    fn a_longer_context_tells_more() {
        let letters = trained(&ENGLISH.repeat(10));
        let [near, far, never] = ["the childr", "r", "qqqq"]
            .map(context)
            .map(|context| [8, 1].map(|order| letters.bits(context, Symbol::of('e').unwrap(), order)));
        assert!(near[0] < 0.5 && near[1] > 2.0, "{near:?}");
        assert!(far[0] > near[0] && far[1] == near[1] && never[0] == never[1], "{far:?} {never:?}");
    }

    #[test]
    fn long_sequences_must_have_been_there_twice() {
        let longest = |times: usize| {
            let Letters(table) = trained(&["extraordinary"].repeat(times));
            let longest = table.entries().iter().map(|entry| entry >> 16).max().unwrap();
            (u64::BITS - longest.leading_zeros()).div_ceil(WIDTH) as usize
        };
        assert_eq!((longest(1), longest(2)), (ALWAYS_KEPT, ORDER));
    }
}
