//! How probable a transcript is as a text of the source language: letter by letter, and word by word where one ends.
//!
//! Letters can spell every word, and tell in its middle how it may go on; words know more of each other than eight letters
//! reach. So a word is searched by its letters, and when it is whole they are taken back for what the word says.

use std::io::{Read, Write};
use std::sync::Arc;

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};

use super::TextError;
use super::letters::{Context, Letters, ORDER, Symbol};
use super::ngrams::Ngrams;
use super::words::{History, Word, Words};

const MAGIC: &[u8; 5] = b"DCLT\x02";
/// More than any language has; what else a small file could be inflated to.
const MAX_ENTRIES: usize = 8 << 20;

/// Which letters and words follow which. A clone is the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Language(Arc<Tables>);

#[derive(Debug, PartialEq, Eq)]
struct Tables {
    letters: Letters,
    words: Words,
}

impl Language {
    /// Counts the letters and words of normalised sentences.
    pub fn train<S: AsRef<str>>(sentences: impl IntoIterator<Item = S, IntoIter: Clone>) -> Self {
        let sentences = sentences.into_iter();
        let spaced = |sentence: S| spaced(sentence.as_ref()).collect::<Vec<_>>();
        let words = |sentence: S| sentence.as_ref().split_whitespace().map(Word::of).collect::<Vec<_>>();
        let letters = Letters::train(sentences.clone().map(spaced));
        Self(Arc::new(Tables { letters, words: Words::train(sentences.map(words)) }))
    }

    /// What [`Language::to_bytes`] gave.
    ///
    /// # Errors
    /// [`TextError::Language`] if the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        let wrong = |what: &str| TextError::Language(what.to_owned());
        let packed = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("it does not begin as one of version 2"))?;
        let mut input = DeflateDecoder::new(packed);
        let mut table = || {
            let mut count = [0; 4];
            input.read_exact(&mut count).map_err(|e| wrong(&e.to_string()))?;
            let count = u32::from_le_bytes(count) as usize;
            if !(1..=MAX_ENTRIES).contains(&count) {
                return Err(wrong(&format!("it has {count} entries, allowed: 1 to {MAX_ENTRIES}")));
            }
            let mut planes = Vec::new();
            (&mut input).take(8 * count as u64).read_to_end(&mut planes).map_err(|e| wrong(&e.to_string()))?;
            if planes.len() < 8 * count {
                return Err(wrong("it is cut off"));
            }
            let entry = |at: usize| u64::from_le_bytes(std::array::from_fn(|plane| planes[plane * count + at]));
            Ngrams::of(&(0..count).map(entry).collect::<Vec<_>>()).ok_or_else(|| wrong("its entries are not in order"))
        };
        let (letters, words) = (Letters(table()?), Words(table()?));
        match input.read(&mut [0]) {
            Ok(0) => Ok(Self(Arc::new(Tables { letters, words }))),
            _ => Err(wrong("it goes on behind its end")),
        }
    }

    /// As a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        packed([self.0.letters.0.entries(), self.0.words.0.entries()])
    }

    pub(super) fn letters(&self) -> &Letters {
        &self.0.letters
    }
}

/// A text that is read letter by letter. A new one is at its beginning, where a word may begin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Reader {
    context: Context,
    history: History,
    word: Word,
    /// Bits of the word's letters.
    spelled: f32,
}

impl Reader {
    /// Reads on; the bits that it tells, which are fewer than none where a word was more probable than its letters. `None` for a space
    /// behind a space, which is nothing.
    pub(super) fn push(&mut self, language: &Language, symbol: Symbol) -> Option<f32> {
        if symbol == Symbol::SPACE && self.context.ends_with(Symbol::SPACE) {
            return None;
        }
        let Tables { letters, words } = &*language.0;
        let bits = letters.bits(self.context, symbol, ORDER);
        self.context.push(symbol);
        self.spelled += bits;
        if symbol != Symbol::SPACE {
            self.word.push(symbol);
            return Some(bits);
        }
        let (word, spelled) = (std::mem::take(&mut self.word), std::mem::take(&mut self.spelled));
        let whole = words.bits(&self.history, word, spelled);
        self.history.push(word);
        Some(bits + whole - spelled)
    }

    /// Bits that it tells that the text ends here, behind a space; a text without words may always end.
    pub(super) fn end_bits(&self, language: &Language) -> f32 {
        if self.history == History::default() { 0.0 } else { language.0.words.end_bits(&self.history) }
    }
}

/// Tables as a file: entry by entry they hardly deflate, so all first bytes of a table come first, then all second ones.
fn packed(tables: [Vec<u64>; 2]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(MAGIC.to_vec(), Compression::best());
    for entries in tables {
        // Memory takes whatever is written.
        let _ = encoder.write_all(&(entries.len() as u32).to_le_bytes());
        for plane in 0..8 {
            let plane: Vec<u8> = entries.iter().map(|entry| entry.to_le_bytes()[plane]).collect();
            let _ = encoder.write_all(&plane);
        }
    }
    encoder.finish().unwrap_or_default()
}

/// A sentence's symbols, with one space between words and one at the end.
fn spaced(sentence: &str) -> impl Iterator<Item = Symbol> + '_ {
    sentence.split_whitespace().flat_map(|word| word.chars().filter_map(Symbol::of).chain([Symbol::SPACE]))
}

#[cfg(test)]
mod tests {
    use super::super::letters::tests::ENGLISH;
    use super::*;

    fn bits(language: &Language, text: &str) -> f32 {
        let mut reader = Reader::default();
        let told: f32 = spaced(text).filter_map(|symbol| reader.push(language, symbol)).sum();
        told + reader.end_bits(language)
    }

    #[test]
    fn a_text_has_what_its_words_tell() {
        let language = Language::train(ENGLISH.iter().cycle().take(60));
        assert!(bits(&language, ENGLISH[1]) < 15.0, "{}", bits(&language, ENGLISH[1]));
        let (right, swapped) = (bits(&language, "the garden"), bits(&language, "garden the"));
        assert!(right < swapped, "{right} {swapped}");
        assert!(bits(&language, "the gardan") > right + 5.0);
        assert_eq!(bits(&language, ""), 0.0);
        let spaces = "  the   garden ".chars().filter_map(Symbol::of);
        let mut reader = Reader::default();
        let told: f32 = spaces.filter_map(|symbol| reader.push(&language, symbol)).sum();
        assert_eq!(told + reader.end_bits(&language), right);
    }

    #[test]
    fn bytes_are_the_model_and_others_are_refused() {
        let language = Language::train(ENGLISH);
        let bytes = language.to_bytes();
        assert_eq!(Language::from_bytes(&bytes).unwrap(), language);
        let reason = |bytes: &[u8]| Language::from_bytes(bytes).unwrap_err().to_string();
        assert!(reason(&[0; 614_656]).contains("version"));
        assert!(Language::from_bytes(&bytes[..bytes.len() / 2]).is_err());
        let packed = |entries: &[u64]| packed([entries, entries].map(<[u64]>::to_vec));
        assert!(Language::from_bytes(&packed(&[1 << 16, 2 << 16])).is_ok());
        assert!(reason(&packed(&[])).contains("entries") && reason(&packed(&[2 << 16, 1 << 16])).contains("order"));
    }
}
