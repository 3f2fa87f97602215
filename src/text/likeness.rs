//! Whether what is heard is the source language: of another one a recogniser makes words that are none.
//!
//! Cavnar & Trenkle 1994 ("N-gram-based text categorization") told languages apart by what letters follow one another.
//! English that was heard well has two to three bits a letter, badly heard English four to five, German that was taken
//! for English more.

use serde::{Deserialize, Serialize};

use super::Language;
use super::letters::{Context, Symbol};

/// Letters that a letter is looked at with: with more of them what was misheard is as surprising as what is foreign.
const ORDER: usize = 4;
/// Letters after which one has half its weight: some words, so that a misheard one changes nothing.
const HALF_LIFE: f32 = 60.0;
/// What is believed before anything was heard, in bits a letter: that it will be the language.
const PRIOR_BITS: f32 = 4.5;

/// How like the language the last letters were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    before: Context,
    bits: f32,
}

impl Default for Likeness {
    fn default() -> Self {
        Self { before: Context::default(), bits: PRIOR_BITS }
    }
}

impl Likeness {
    /// Hears one more character. Only small letters, apostrophes and the first of several spaces tell anything.
    pub fn hear(&mut self, language: &Language, character: char) {
        let Some(last) = Symbol::of(character) else { return };
        if last == Symbol::SPACE && self.before.ends_with(Symbol::SPACE) {
            return;
        }
        let bits = language.letters().bits(self.before, last, ORDER);
        self.bits += (bits - self.bits) * (1.0 - 0.5f32.powf(1.0 / HALF_LIFE));
        self.before.push(last);
    }

    /// Bits a letter, the last ones counting most.
    pub fn bits(&self) -> f32 {
        self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::super::letters::tests::ENGLISH;
    use super::*;

    fn after(language: &Language, text: &str) -> f32 {
        let mut likeness = Likeness::default();
        text.chars().for_each(|character| likeness.hear(language, character));
        likeness.bits()
    }

    #[test]
    fn what_was_counted_is_likely_and_another_language_is_not() {
        let language = Language::train(ENGLISH.iter().cycle().take(600));
        let known = after(&language, ENGLISH[1]);
        let near = after(&language, "the kitchen is in the garden and there is nothing to do");
        let far = after(&language, "ich vermute dass der zug schon wieder eine verspätung haben wird");
        assert!(known < near && near < 4.5 && far > 6.0, "{known} {near} {far}");
    }

    #[test]
    fn the_language_is_believed_again_after_some_words() {
        let language = Language::train(ENGLISH.iter().cycle().take(600));
        let mut likeness = Likeness::default();
        let mut hear = |text: &str| {
            text.chars().for_each(|character| likeness.hear(&language, character));
            likeness.bits()
        };
        let foreign = hear("zwölf boxkämpfer jagen viktor quer über den großen sylter deich vorbei ");
        let again = hear("what are you going to do with all that money there is nothing left to eat in the kitchen ");
        assert!(again < foreign - 2.0, "{foreign} {again}");
    }

    #[test]
    fn spaces_in_a_row_and_what_is_no_letter_tell_nothing() {
        let language = Language::train(ENGLISH);
        assert_eq!(after(&language, "the  sea\t7"), after(&language, "the sea"));
        assert_eq!(after(&language, ""), PRIOR_BITS);
    }
}
