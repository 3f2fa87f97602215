//! Which words follow which: what a spelling model of some letters cannot know.
//!
//! Invariant: a word that was never there costs its letters, and that it is new; none is impossible.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::letters::Symbol;
use super::ngrams::{Backoff, Gram, Ngrams, SEQUENCE_BITS, count};

/// Words that a word is looked at with, itself included.
const ORDER: usize = 3;
/// Longer sequences than this are kept only if they were there more than once.
const ALWAYS_KEPT: usize = 2;
/// What a word has of probability before any was seen; the letters say it better.
const BASE: f64 = 1e-6;

/// A word, as a number: of its letters (FNV-1a). 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Word(u64);

impl Word {
    /// Stands for the beginning and the end of a text.
    const BORDER: Self = Self(1);

    /// Of its letters; what has no symbol is left out.
    pub(super) fn of(letters: &str) -> Self {
        let mut word = Self::default();
        letters.chars().filter_map(Symbol::of).for_each(|symbol| word.push(symbol));
        word
    }

    pub(super) fn push(&mut self, symbol: Symbol) {
        let before = if self.is_empty() { 0xcbf2_9ce4_8422_2325 } else { self.0 };
        self.0 = (before ^ symbol.number()).wrapping_mul(0x100_0000_01b3);
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The last words of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History([Word; ORDER - 1]);

impl Default for History {
    fn default() -> Self {
        Self([Word::default(), Word::BORDER])
    }
}

impl History {
    pub(super) fn push(&mut self, word: Word) {
        self.0.rotate_left(1);
        self.0[ORDER - 2] = word;
    }

    /// Of the last `length` words (at most two) and then `word`.
    fn gram(&self, length: usize, word: Word) -> Gram {
        let before = &self.0[ORDER - 1 - length..];
        let with = |words: &[Word]| sequence(words.iter().copied().chain([word]));
        Gram {
            sequence: with(before),
            context: sequence(before.iter().copied()),
            shorter: with(before.get(1..).unwrap_or_default()),
        }
    }

    /// Words that there are, at most two.
    fn length(&self) -> usize {
        self.0.iter().rev().take_while(|word| !word.is_empty()).count()
    }
}

fn sequence(words: impl Iterator<Item = Word>) -> u64 {
    let mixed = words.fold(0_u64, |mixed, word| (mixed ^ word.0).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    // Of nothing nothing: what is seen after it are all words.
    mixed >> (u64::BITS - SEQUENCE_BITS)
}

/// How surprising a word is after the two before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(pub(super) Ngrams);

impl Words {
    /// Counts the words of sentences.
    pub(super) fn train(sentences: impl IntoIterator<Item = impl IntoIterator<Item = Word>>) -> Self {
        let mut counts: [HashMap<u64, (Gram, u32)>; ORDER] = Default::default();
        for sentence in sentences {
            let mut history = History::default();
            for word in sentence.into_iter().chain([Word::BORDER]) {
                (0..=history.length()).for_each(|length| count(&mut counts[length], history.gram(length, word)));
                history.push(word);
            }
        }
        counts[ALWAYS_KEPT..].iter_mut().for_each(|counts| counts.retain(|_, (_, count)| *count > 1));
        Self(Ngrams::new(&counts, Backoff::Types, BASE))
    }

    /// Bits that a word tells, whose letters alone tell `spelled`.
    pub(super) fn bits(&self, history: &History, word: Word, spelled: f32) -> f32 {
        let grams = (0..=history.length()).rev().map(|length| history.gram(length, word));
        self.0.bits(grams.map(|gram| (gram.sequence, gram.context))).unwrap_or_else(|new| new + spelled)
    }

    /// Bits that it tells that the text ends here.
    pub(super) fn end_bits(&self, history: &History) -> f32 {
        self.bits(history, Word::BORDER, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::letters::tests::ENGLISH;
    use super::*;

    fn trained() -> Words {
        Words::train(ENGLISH.iter().cycle().take(60).map(|sentence| sentence.split(' ').map(Word::of)))
    }

    fn history(text: &str) -> History {
        text.split_whitespace().map(Word::of).fold(History::default(), |mut history, word| {
            history.push(word);
            history
        })
    }

    #[test]
    fn a_word_is_expected_where_it_was_seen() {
        let words = trained();
        let bits = |before: &str, next: &str| words.bits(&history(before), Word::of(next), 50.0);
        assert!(bits("the children are", "playing") < 1.0, "{}", bits("the children are", "playing"));
        assert!(bits("the children are", "playing") < bits("we should", "playing"));
        assert!(bits("", "the") < bits("the children", "the"));
        assert!(bits("the children", "plaing") > 50.0, "a new word costs its letters and more");
    }

    #[test]
    fn a_text_ends_where_texts_ended() {
        let words = trained();
        let end = |text: &str| words.end_bits(&history(text));
        assert!(end("playing in the garden") < 1.0 && end("playing in the") > 3.0);
    }

    #[test]
    fn probabilities_after_any_words_add_up_to_less_than_one() {
        let words = trained();
        let vocabulary: std::collections::BTreeSet<&str> = ENGLISH.iter().flat_map(|s| s.split(' ')).collect();
        for before in ["", "the children are", "of", "she said"] {
            let all = vocabulary.iter().map(|next| words.bits(&history(before), Word::of(next), 99.0));
            let sum: f32 = all.chain([words.end_bits(&history(before))]).map(|bits| 0.5f32.powf(bits)).sum();
            assert!((0.5..1.1).contains(&sum), "{before:?}: {sum}");
        }
    }
}
