//! Text to ids of subword pieces and back, by byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909).
//!
//! Invariant: a piece that begins a word begins with `▁`, and no other piece contains it, so that words can be told
//! from pieces alone.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use tokenizers::models::{
    TrainerWrapper,
    bpe::{BPE, BpeTrainer},
};
use tokenizers::normalizers::{self, NFC, Replace, Strip, replace::ReplacePattern};
use tokenizers::pre_tokenizers::{self, metaspace::Metaspace, punctuation::Punctuation};
use tokenizers::{AddedToken, NormalizedString, Normalizer};

use super::{Detokenizer, TextError, normalize_source};

/// Marks the beginning of a word, as in SentencePiece.
pub(super) const WORD_START: char = '▁';

/// The special tokens; the index is the id.
const SPECIALS: [&str; 4] = ["<blank>", "<s>", "</s>", "<unk>"];

/// A character rarer than this in the training text cannot be learned, and is encoded as `<unk>`.
const MIN_CHAR_COUNT: usize = 3;

/// A vocabulary; a bundle's `tokenizer.json`, which is the format of the Hugging Face library.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pieces: Vec<String>,
}

impl Tokenizer {
    /// Reads the JSON of a tokenizer.
    ///
    /// # Errors
    /// If the bytes are something else, a special token is not where it must be, or the ids have a hole.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| TextError::Format(error.to_string()))?;
        Self::new(inner)
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be read, and as [`Tokenizer::from_bytes`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TextError> {
        let path = path.as_ref();
        let read = |source| TextError::Read { path: path.display().to_string(), source };
        Self::from_bytes(&std::fs::read(path).map_err(read)?)
    }

    /// Learns the pieces of text as it is written: cased, punctuation in pieces of its own. The vocabulary holds every
    /// character that occurs at least three times, even if that makes it larger than `vocab_size`; text that has too
    /// few repeated pieces makes it smaller.
    ///
    /// # Errors
    /// If the library refuses the text.
    pub fn train_cased(
        sentences: impl IntoIterator<Item = impl AsRef<str>>,
        vocab_size: usize,
    ) -> Result<Self, TextError> {
        let failed = |error: tokenizers::Error| TextError::Train(error.to_string());
        let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ").map_err(failed)?;
        let normalizer = normalizers::Sequence::new(vec![NFC.into(), spaces.into(), Strip::new(true, true).into()]);
        let normalized = |sentence: &str| -> tokenizers::Result<String> {
            let mut text = NormalizedString::from(sentence);
            normalizer.normalize(&mut text)?;
            Ok(text.get().to_owned())
        };
        let sentences = sentences.into_iter().map(|sentence| normalized(sentence.as_ref()));
        let sentences = sentences.collect::<Result<Vec<_>, _>>().map_err(failed)?;

        let alphabet = alphabet(&sentences);
        let mut trainer: TrainerWrapper = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(SPECIALS.iter().map(|token| AddedToken::from(*token, true)).collect())
            .limit_alphabet(alphabet.len())
            .initial_alphabet(alphabet)
            .build()
            .into();

        let model = BPE::builder().unk_token(SPECIALS[3].to_owned()).fuse_unk(true).build().map_err(failed)?;
        let mut inner = tokenizers::Tokenizer::new(model);
        inner.with_normalizer(Some(normalizer)).map_err(failed)?;
        let steps = vec![Metaspace::default().into(), Punctuation::default().into()];
        inner.with_pre_tokenizer(Some(pre_tokenizers::sequence::Sequence::new(steps)));
        inner.with_decoder(Some(Metaspace::default()));
        inner.train(&mut trainer, sentences.iter()).map_err(failed)?;
        Self::new(inner)
    }

    /// Learns the pieces of an English transcript for CTC, after [`normalize_source`], which what is encoded later must
    /// go through too. With a `vocab_size` of 0 the pieces are the characters.
    ///
    /// # Errors
    /// As [`Tokenizer::train_cased`].
    pub fn train_source(
        sentences: impl IntoIterator<Item = impl AsRef<str>>,
        vocab_size: usize,
    ) -> Result<Self, TextError> {
        Self::train_cased(sentences.into_iter().map(|sentence| normalize_source(sentence.as_ref())), vocab_size)
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Self, TextError> {
        for (id, expected) in (0..).zip(SPECIALS) {
            let found = inner.id_to_token(id);
            if found.as_deref() != Some(expected) {
                return Err(TextError::Special { id, expected, found });
            }
        }
        let vocab_size = inner.get_vocab_size(true);
        let piece = |id| inner.id_to_token(id).ok_or(TextError::Gap { vocab_size, id });
        let pieces = (0..vocab_size as u32).map(piece).collect::<Result<_, _>>()?;
        // A text that spells out `</s>` is text: nobody may end a sentence by typing.
        inner.set_encode_special_tokens(true);
        Ok(Self { inner, pieces })
    }

    /// The JSON that [`Tokenizer::from_bytes`] reads.
    ///
    /// # Errors
    /// If the library cannot write it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TextError> {
        self.inner.to_string(true).map(String::into_bytes).map_err(|error| TextError::Format(error.to_string()))
    }

    /// The ids of a text, without special tokens but for [`super::UNK`]; none for an empty text.
    ///
    /// # Errors
    /// If the library refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let encoding = self.inner.encode_fast(text, false).map_err(|error| TextError::Encode(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids: what a new [`Detokenizer`] would emit for them. Special tokens and ids that are none are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut detokenizer = Detokenizer::default();
        let mut text: String = ids.iter().filter_map(|&id| detokenizer.push(self, id)).collect();
        text.extend(detokenizer.finish());
        text
    }

    /// Number of ids, special tokens included; the ids are 0 to one less.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// The piece with its `▁`, or the name of a special token; `None` for an id that is none.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(String::as_str)
    }

    /// Whether a new word begins here. False for special tokens and ids that are none.
    pub fn begins_word(&self, id: u32) -> bool {
        self.piece(id).is_some_and(|piece| piece.starts_with(WORD_START))
    }

    /// Whether the id is a special token, which has no text.
    pub fn is_special(&self, id: u32) -> bool {
        (id as usize) < SPECIALS.len()
    }
}

/// The word mark and the characters that are frequent enough.
fn alphabet(sentences: &[String]) -> HashSet<char> {
    let mut counts = HashMap::new();
    for character in sentences.iter().flat_map(|sentence| sentence.chars()) {
        *counts.entry(character).or_insert(0_usize) += 1;
    }
    let frequent = counts.into_iter().filter(|(character, count)| *character != ' ' && *count >= MIN_CHAR_COUNT);
    frequent.map(|(character, _)| character).chain([WORD_START]).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{BLANK, BOS, EOS, UNK};
    use super::*;

    /// A small German vocabulary with merges.
    pub(in crate::text) fn german() -> Tokenizer {
        let sentences =
            ["Das ist ein Haus.", "Das Haus ist groß, das ist schön.", "Ein großes Häuschen, ein schönes Haus!"];
        Tokenizer::train_cased(sentences.iter().cycle().take(12), 60).unwrap()
    }

    #[test]
    fn decodes_what_it_encoded() {
        let tokenizer = german();
        for text in ["", "Das Haus ist schön.", "ein Haus, groß!", "Häuschen"] {
            let ids = tokenizer.encode(text).unwrap();
            assert!(!ids.iter().any(|&id| tokenizer.is_special(id)), "{text}: {ids:?}");
            assert_eq!(tokenizer.decode(&ids), text);
        }
        assert_eq!(tokenizer.decode(&tokenizer.encode(" Das \n Haus ").unwrap()), "Das Haus");
        assert_eq!(tokenizer.encode("Scho\u{308}n").unwrap(), tokenizer.encode("Schön").unwrap());
    }

    #[test]
    fn survives_bytes() {
        let tokenizer = german();
        let read = Tokenizer::from_bytes(&tokenizer.to_bytes().unwrap()).unwrap();
        assert_eq!(read.pieces, tokenizer.pieces);
        let text = "Das </s> schöne Haus!";
        assert_eq!(read.encode(text).unwrap(), tokenizer.encode(text).unwrap());
    }

    #[test]
    fn specials_have_fixed_ids_and_no_text() {
        let tokenizer = german();
        let names = [BLANK, BOS, EOS, UNK].map(|id| tokenizer.piece(id).unwrap_or_default().to_owned());
        assert_eq!(names, ["<blank>", "<s>", "</s>", "<unk>"]);
        let haus = tokenizer.encode("Haus").unwrap();
        let wrapped: Vec<u32> = [BOS, UNK].into_iter().chain(haus).chain([EOS, BLANK, u32::MAX]).collect();
        assert_eq!(tokenizer.decode(&wrapped), "Haus");
        // Written-out names are text.
        assert!(!tokenizer.encode("ein</s>").unwrap().contains(&EOS));
    }

    #[test]
    fn unknown_characters_become_unk_and_never_an_error() {
        let ids = german().encode("Haus 東京").unwrap();
        assert_eq!(ids.iter().filter(|&&id| id == UNK).count(), 1, "{ids:?}");
    }

    #[test]
    fn words_begin_with_the_mark_and_punctuation_stands_alone() {
        let tokenizer = german();
        let ids = tokenizer.encode("Das Haus, groß.").unwrap();
        let words = ids.iter().filter(|&&id| tokenizer.begins_word(id)).count();
        assert_eq!(words, 3);
        let pieces: Vec<_> = ids.iter().filter_map(|&id| tokenizer.piece(id)).collect();
        assert!(pieces.contains(&",") && pieces.contains(&"."), "{pieces:?}");
        assert!(pieces.contains(&"▁Haus"), "merges were learned: {pieces:?}");
        assert!(!tokenizer.begins_word(BOS) && !tokenizer.begins_word(u32::MAX));
    }

    #[test]
    fn rare_characters_stay_out_and_the_alphabet_stays_in() {
        let sentences = ["aaa bbb ccc", "xx aaa"];
        let tokenizer = Tokenizer::train_cased(sentences, 0).unwrap();
        assert_eq!(tokenizer.vocab_size(), 4 + 4, "specials, then the mark and three letters");
        assert_eq!(tokenizer.encode("x").unwrap().last(), Some(&UNK));
    }

    #[test]
    fn source_pieces_are_lower_case_characters_unless_more_are_asked_for() {
        let sentences = ["Don't stop, Tom!"; 3];
        let characters = Tokenizer::train_source(sentences, 0).unwrap();
        assert!(characters.pieces[4..].iter().all(|piece| piece.chars().count() == 1), "{:?}", characters.pieces);
        let ids = characters.encode(&normalize_source("Tom, don't stop.")).unwrap();
        assert_eq!(characters.decode(&ids), "tom don't stop");
        let pieces = Tokenizer::train_source(sentences, characters.vocab_size() + 3).unwrap();
        assert_eq!(pieces.vocab_size(), characters.vocab_size() + 3);
    }

    #[test]
    fn refuses_other_files() {
        assert!(matches!(Tokenizer::from_bytes(b"{}"), Err(TextError::Format(_))));
        assert!(matches!(Tokenizer::from_file("no/such/tokenizer.json"), Err(TextError::Read { .. })));
        let json = String::from_utf8(german().to_bytes().unwrap()).unwrap();
        let renamed = Tokenizer::from_bytes(json.replace("</s>", "<eos>").as_bytes());
        assert!(matches!(renamed, Err(TextError::Special { id: EOS, .. })), "{renamed:?}");
    }
}
