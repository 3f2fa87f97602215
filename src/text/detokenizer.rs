//! Token ids, one at a time, to whole words.
//!
//! Invariant: what is emitted never changes: a word is complete when the next piece begins another one, or at the end.

use serde::{Deserialize, Serialize};

use super::{Tokenizer, tokenizer::WORD_START};

/// Turns a stream of tokens into words. Its value is all that it remembers, so a clone forks the text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detokenizer {
    /// Something was emitted, so the next word needs white space.
    started: bool,
    /// The word that may still grow.
    word: String,
}

impl Detokenizer {
    /// Takes one token and returns the word that it completes, if any, with the space that goes before it; the first
    /// word has none. Special tokens and ids outside the vocabulary have no text and do nothing.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Option<String> {
        if tokenizer.is_special(id) {
            return None;
        }
        let piece = tokenizer.piece(id)?;
        let complete = if tokenizer.begins_word(id) { self.finish() } else { None };
        self.word.push_str(piece.strip_prefix(WORD_START).unwrap_or(piece));
        complete
    }

    /// The word that no further piece will continue, as an utterance is over. Words that follow come with a space.
    pub fn finish(&mut self) -> Option<String> {
        let word = std::mem::take(&mut self.word);
        if word.is_empty() {
            return None;
        }
        let space = if self.started { " " } else { "" };
        self.started = true;
        Some(format!("{space}{word}"))
    }

    /// The word that may still grow, without the space before it; empty if there is none.
    pub fn pending(&self) -> &str {
        &self.word
    }

    /// Forgets everything: the next word is the first one.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EOS, UNK, tokenizer::tests::german};
    use super::*;

    /// The words of each sentence, finished one by one.
    fn words(detokenizer: &mut Detokenizer, tokenizer: &Tokenizer, sentence: &str) -> Vec<String> {
        let ids = tokenizer.encode(sentence).unwrap();
        let mut words: Vec<_> = ids.iter().filter_map(|&id| detokenizer.push(tokenizer, id)).collect();
        words.extend(detokenizer.finish());
        words
    }

    #[test]
    fn emits_whole_words_with_their_space() {
        let (tokenizer, mut detokenizer) = (german(), Detokenizer::default());
        assert_eq!(words(&mut detokenizer, &tokenizer, "Das Häuschen, groß!"), ["Das", " Häuschen,", " groß!"]);
        assert_eq!(words(&mut detokenizer, &tokenizer, "Das ist"), [" Das", " ist"], "the second utterance");
        detokenizer.reset();
        assert_eq!(words(&mut detokenizer, &tokenizer, "ist"), ["ist"]);
        assert_eq!(words(&mut detokenizer, &tokenizer, ""), [""; 0]);
    }

    #[test]
    fn holds_a_word_until_the_next_begins() {
        let (tokenizer, mut detokenizer) = (german(), Detokenizer::default());
        for id in tokenizer.encode("Häuschen").unwrap() {
            assert_eq!(detokenizer.push(&tokenizer, id), None);
        }
        assert_eq!(detokenizer.pending(), "Häuschen");
        for id in [UNK, EOS, u32::MAX] {
            assert_eq!(detokenizer.push(&tokenizer, id), None);
        }
        let next = tokenizer.encode("Das").unwrap()[0];
        assert_eq!(detokenizer.push(&tokenizer, next).as_deref(), Some("Häuschen"));
    }

    #[test]
    fn a_lone_mark_is_no_word() {
        let tokenizer = german();
        let mark = (0..).find(|&id| tokenizer.piece(id) == Some("▁")).unwrap();
        let das = tokenizer.encode("Das").unwrap();
        let ids: Vec<u32> = [mark, mark].into_iter().chain(das.clone()).chain([mark, mark]).chain(das).collect();
        assert_eq!(tokenizer.decode(&ids), "Das Das");
    }
}
