//! Whether letters follow one another as in the source language: of another language a recogniser makes words that are none.
//!
//! A model of letters after three others (Cavnar & Trenkle 1994, "N-gram-based text categorization", told languages apart by
//! such counts), interpolated with shorter contexts as by Jelinek & Mercer 1980. What it says is in bits a letter: English
//! that was heard well has two to three, badly heard English four to five, German that was taken for English more.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TextError;

/// The space, the letters a to z, the apostrophe.
const SYMBOLS: usize = 28;
const SPACE: u8 = 0;
/// Letters that a letter is looked at with, itself included.
const ORDER: usize = 4;
const TABLE: usize = SYMBOLS.pow(ORDER as u32);
/// Contexts that were seen so often count as much as the shorter ones behind them.
const BACKOFF: f64 = 5.0;
/// One bit, in the table's units: fine enough for a mean, and a byte reaches the 40 bits of what never follows in the language.
const UNITS: f64 = 6.0;
/// Letters after which one has half its weight: some words, so that a misheard one changes nothing.
const HALF_LIFE: f32 = 60.0;
/// What is believed before anything was heard, in bits a letter: that it will be the language.
const PRIOR_BITS: f32 = 4.5;

/// How surprising each letter is after three others. A clone is the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letters(Arc<[u8]>);

impl Letters {
    /// Counts the letters of normalised sentences.
    pub fn train(sentences: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        // Of each length, how often each sequence was there: its number is its symbols in base 28.
        let mut counts: [Vec<f64>; ORDER + 1] = std::array::from_fn(|n| vec![0.0; SYMBOLS.pow(n as u32)]);
        for sentence in sentences {
            let mut place = 0;
            for symbol in spaced(sentence.as_ref()) {
                place = (place * SYMBOLS + usize::from(symbol)) % TABLE;
                for (n, counts) in counts.iter_mut().enumerate() {
                    counts[place % SYMBOLS.pow(n as u32)] += 1.0;
                }
            }
        }
        // How often a context was there, whatever followed it.
        let seen: Vec<Vec<f64>> = counts
            .iter()
            .skip(1)
            .map(|counts| counts.chunks(SYMBOLS).map(|next| next.iter().sum()).collect())
            .collect();
        let bits = |place: usize| {
            let mut probability = 1.0 / SYMBOLS as f64;
            for n in 1..=ORDER {
                let place = place % SYMBOLS.pow(n as u32);
                let seen = seen[n - 1][place / SYMBOLS];
                probability = (counts[n][place] + BACKOFF * probability) / (seen + BACKOFF);
            }
            (-probability.log2() * UNITS).round().min(255.0) as u8
        };
        Self((0..TABLE).map(bits).collect())
    }

    /// What [`Letters::as_bytes`] gave.
    ///
    /// # Errors
    /// [`TextError::Letters`] if their number is another.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        if bytes.len() == TABLE { Ok(Self(bytes.into())) } else { Err(TextError::Letters { bytes: bytes.len() }) }
    }

    /// One byte for each four symbols (space, a to z, apostrophe; the first counts most): sixths of a bit that the last one
    /// tells after the others.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How like the language the last letters were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    before: [u8; ORDER - 1],
    bits: f32,
}

impl Default for Likeness {
    fn default() -> Self {
        Self { before: [SPACE; ORDER - 1], bits: PRIOR_BITS }
    }
}

impl Likeness {
    /// Hears one more character. Only small letters, apostrophes and the first of several spaces tell anything.
    pub fn hear(&mut self, letters: &Letters, character: char) {
        let Some(last) = symbol(character) else { return };
        if last == SPACE && self.before.last() == Some(&SPACE) {
            return;
        }
        let place = self.before.iter().chain([&last]).fold(0, |place, &one| place * SYMBOLS + usize::from(one));
        let bits = f32::from(letters.0[place]) / UNITS as f32;
        self.bits += (bits - self.bits) * (1.0 - 0.5f32.powf(1.0 / HALF_LIFE));
        self.before.rotate_left(1);
        self.before[ORDER - 2] = last;
    }

    /// Bits a letter, the last ones counting most.
    pub fn bits(&self) -> f32 {
        self.bits
    }
}

fn symbol(character: char) -> Option<u8> {
    match character {
        ' ' => Some(SPACE),
        'a'..='z' => Some(character as u8 - b'a' + 1),
        '\'' => Some(SYMBOLS as u8 - 1),
        _ => None,
    }
}

/// A sentence's symbols, with one space between words, enough before the first to be no context, and one at the end.
fn spaced(sentence: &str) -> impl Iterator<Item = u8> + '_ {
    let words = sentence.split_whitespace().flat_map(|word| word.chars().filter_map(symbol).chain([SPACE]));
    std::iter::repeat_n(SPACE, ORDER - 1).chain(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: [&str; 6] = [
        "i would like to know what time it is",
        "the children are playing in the garden",
        "don't you think that we should leave now",
        "she said that she had never seen the sea",
        "what are you going to do with all that money",
        "there is nothing left to eat in the kitchen",
    ];

    fn after(letters: &Letters, text: &str) -> f32 {
        let mut likeness = Likeness::default();
        text.chars().for_each(|character| likeness.hear(letters, character));
        likeness.bits()
    }

    #[test]
    fn what_was_counted_is_likely_and_another_language_is_not() {
        let letters = Letters::train(ENGLISH.iter().cycle().take(600));
        let known = after(&letters, ENGLISH[1]);
        let near = after(&letters, "the kitchen is in the garden and there is nothing to do");
        let far = after(&letters, "ich vermute dass der zug schon wieder eine verspätung haben wird");
        assert!(known < near && near < 4.5 && far > 6.0, "{known} {near} {far}");
    }

    #[test]
    fn probabilities_after_any_context_add_up() {
        let letters = Letters::train(ENGLISH);
        for context in letters.as_bytes().chunks(SYMBOLS) {
            let sum: f64 = context.iter().map(|&bits| 2f64.powf(-f64::from(bits) / UNITS)).sum();
            assert!((0.9..1.1).contains(&sum), "{sum}");
        }
    }

    #[test]
    fn the_language_is_believed_again_after_some_words() {
        let letters = Letters::train(ENGLISH.iter().cycle().take(600));
        let mut likeness = Likeness::default();
        let mut hear = |text: &str| {
            text.chars().for_each(|character| likeness.hear(&letters, character));
            likeness.bits()
        };
        let foreign = hear("zwölf boxkämpfer jagen viktor quer über den großen sylter deich vorbei ");
        let again = hear("what are you going to do with all that money there is nothing left to eat in the kitchen ");
        assert!(again < foreign - 2.0, "{foreign} {again}");
    }

    #[test]
    fn spaces_in_a_row_and_what_is_no_letter_tell_nothing() {
        let letters = Letters::train(ENGLISH);
        assert_eq!(after(&letters, "the  sea\t7"), after(&letters, "the sea"));
        assert_eq!(after(&letters, ""), PRIOR_BITS);
    }

    #[test]
    fn bytes_are_the_model_and_others_are_refused() {
        let letters = Letters::train(ENGLISH);
        assert_eq!(Letters::from_bytes(letters.as_bytes()).unwrap(), letters);
        assert!(matches!(Letters::from_bytes(&[0; 9]), Err(TextError::Letters { bytes: 9 })));
    }
}
