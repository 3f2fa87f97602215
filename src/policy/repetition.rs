//! Words in, an alarm out when they go round in circles, as greedy decoders do on noise.
//!
//! Invariant: it remembers a bounded number of words, and text without repetition never raises it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Longest phrase whose repetition is noticed, in words.
const MAX_PHRASE_WORDS: usize = 8;
/// A phrase that comes this often in a row is a loop,
const MIN_COPIES: usize = 3;
/// if the copies together have this many words: "nein, nein, nein" is how people speak.
const MIN_LOOP_WORDS: usize = 6;

/// Watches the words of one utterance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepetitionGuard {
    recent: VecDeque<Vec<u32>>,
}

impl RepetitionGuard {
    /// Adds a word, given by its pieces. False if it completes a loop: do not write it.
    pub fn accept(&mut self, word: &[u32]) -> bool {
        self.recent.push_back(word.to_vec());
        if self.recent.len() > MAX_PHRASE_WORDS * MIN_COPIES {
            self.recent.pop_front();
        }
        !(1..=MAX_PHRASE_WORDS).any(|phrase_words| self.ends_in_loop_of(phrase_words))
    }

    fn ends_in_loop_of(&self, phrase_words: usize) -> bool {
        let copies = MIN_COPIES.max(MIN_LOOP_WORDS.div_ceil(phrase_words));
        let Some(start) = self.recent.len().checked_sub(copies * phrase_words) else {
            return false;
        };
        (start..self.recent.len() - phrase_words).all(|i| self.recent[i] == self.recent[i + phrase_words])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many words of the sequence pass.
    fn passing(words: impl IntoIterator<Item = u32>) -> usize {
        let mut guard = RepetitionGuard::default();
        words.into_iter().take(1000).take_while(|&word| guard.accept(&[word, 7])).count()
    }

    #[test]
    fn stops_loops_at_the_third_copy() {
        assert_eq!(passing([1].into_iter().cycle()), 5);
        assert_eq!(passing([1, 2].into_iter().cycle()), 5);
        assert_eq!(passing([9, 8, 1, 2, 3].into_iter().chain([1, 2, 3].into_iter().cycle())), 10);
        assert_eq!(passing((0..8).cycle()), 23);
    }

    #[test]
    fn lets_people_speak() {
        assert_eq!(passing([1, 1, 1, 1, 1]), 5);
        assert_eq!(passing([1, 2, 1, 2, 3]), 5);
        assert_eq!(passing((0..9).cycle()), 1000);
    }

    #[test]
    fn remembers_little() {
        let mut guard = RepetitionGuard::default();
        for word in 0..10_000 {
            assert!(guard.accept(&[word]));
        }
        assert_eq!(guard.recent.len(), MAX_PHRASE_WORDS * MIN_COPIES);
    }
}
