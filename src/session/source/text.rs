//! Text to steps: words, cut into sentences; a word is what a segment is of speech.
//!
//! A word is what stands between white space, and is known once white space follows it. A sentence ends with a line, or
//! behind a full stop, question mark, exclamation mark or ellipsis, unless a full stop abbreviates.
//! Invariant: what is kept is the text that nobody has asked for yet, and of a word without end its first part.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Segment, Step};
use crate::session::{
    config::{SessionAssets, SessionError},
    translator::SourceInput,
};

/// A longer word is cut in two.
const MAX_WORD_BYTES: usize = 100;
/// What a full stop shortens without ending a sentence.
const ABBREVIATIONS: [&str; 16] =
    ["mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "etc", "no", "jr", "sr", "p", "pp", "cf"];

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TextSource {
    /// What has not been read,
    waiting: VecDeque<Piece>,
    /// and the word whose end has not come.
    word: String,
    /// Encoder steps of the running sentence; none between sentences.
    num_steps: Option<usize>,
    accepted_words: u64,
    consumed_words: u64,
    flush: bool,
    finished: bool,
    said_finished: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Piece {
    Word(String),
    /// Of a sentence.
    End,
}

impl TextSource {
    pub(super) fn accept_text(&mut self, text: &str) {
        for character in text.chars() {
            if character.is_whitespace() {
                self.end_word();
                if matches!(character, '\n' | '\r' | '\u{2028}' | '\u{2029}') {
                    self.waiting.push_back(Piece::End);
                }
            } else {
                self.word.push(character);
                if self.word.len() >= MAX_WORD_BYTES {
                    self.end_word();
                }
            }
        }
    }

    pub(super) fn finish(&mut self) {
        self.end_word();
        self.finished = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn flush(&mut self) {
        self.end_word();
        self.flush = true;
    }

    pub(super) fn accepted_words(&self) -> u64 {
        self.accepted_words
    }

    pub(super) fn consumed_words(&self) -> u64 {
        self.consumed_words
    }

    pub(super) fn next(&mut self, assets: &SessionAssets) -> Result<Step, SessionError> {
        let Some(piece) = self.waiting.pop_front() else {
            return Ok(self.idle());
        };
        let Piece::Word(word) = piece else {
            return Ok(if self.num_steps.take().is_some() { Step::End } else { Step::Moved });
        };
        let labels = assets.source_tokenizer.encode(&word).map_err(|e| SessionError::Text(e.to_string()))?;
        if labels.is_empty() {
            // Characters that the tokenizer drops.
            self.consumed_words += 1;
            return Ok(Step::Moved);
        }
        let room = assets.spec.max_utterance_segments * assets.spec.steps_per_segment;
        match self.num_steps {
            None => {
                self.waiting.push_front(Piece::Word(word));
                self.num_steps = Some(0);
                Ok(Step::Begin { start_ms: self.consumed_words })
            }
            // Too long for one utterance; a word alone is not.
            Some(num_steps) if num_steps > 0 && num_steps + labels.len() > room => {
                self.waiting.push_front(Piece::Word(word));
                self.num_steps = None;
                Ok(Step::End)
            }
            Some(num_steps) => {
                self.consumed_words += 1;
                let last = self.waiting.front() == Some(&Piece::End);
                if last {
                    self.waiting.pop_front();
                }
                self.num_steps = (!last).then_some(num_steps + labels.len());
                let segment = Segment {
                    num_steps: labels.len(),
                    num_labels: 0,
                    duration_ms: 1,
                    speech: true,
                    last,
                    num_letters: word.chars().count(),
                };
                Ok(Step::Segment(SourceInput::Pieces(labels), segment))
            }
        }
    }

    /// The step when all words are read.
    fn idle(&mut self) -> Step {
        let ends = self.flush || self.finished;
        if ends && self.num_steps.take().is_some() {
            Step::End
        } else if self.flush {
            self.flush = false;
            Step::Flushed
        } else if self.finished && !self.said_finished {
            self.said_finished = true;
            Step::Finished
        } else {
            Step::Wait
        }
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        if word.is_empty() {
            return;
        }
        let ends = ends_sentence(&word);
        self.accepted_words += 1;
        self.waiting.push_back(Piece::Word(word));
        self.waiting.extend(ends.then_some(Piece::End));
    }
}

/// Whether a sentence may end behind this word.
fn ends_sentence(word: &str) -> bool {
    let word = word.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']']);
    let Some(before) = word.strip_suffix('.') else {
        return word.ends_with(['!', '?', '…', '。', '？', '！']);
    };
    let before = before.trim_start_matches(['"', '\'', '“', '‘', '«', '(', '[']).to_lowercase();
    // A single letter is an initial, "I" excepted: "J. S. Bach", "So do I."
    let is_initial = before.chars().count() == 1 && before != "i" && before.chars().all(char::is_alphabetic);
    !is_initial && !ABBREVIATIONS.contains(&before.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str, pieces: &[usize]) -> (VecDeque<Piece>, u64) {
        let mut source = TextSource::default();
        let mut rest: Vec<char> = text.chars().collect();
        for &size in pieces.iter().chain([&usize::MAX]) {
            let after = rest.split_off(size.min(rest.len()));
            source.accept_text(&rest.into_iter().collect::<String>());
            rest = after;
        }
        source.finish();
        (source.waiting, source.accepted_words)
    }

    fn sentences(text: &str) -> Vec<String> {
        let (pieces, _) = split(text, &[]);
        let sentences = pieces.into_iter().collect::<Vec<_>>();
        let sentences = sentences.split(|piece| *piece == Piece::End);
        let words = |sentence: &[Piece]| {
            sentence
                .iter()
                .filter_map(|p| if let Piece::Word(w) = p { Some(w.clone()) } else { None })
                .collect::<Vec<_>>()
        };
        sentences.map(|sentence| words(sentence).join(" ")).filter(|sentence| !sentence.is_empty()).collect()
    }

    #[test]
    fn sentences_end_with_lines_and_marks_but_not_with_abbreviations() {
        let text = "Mr. Smith met J. S. Bach (1685). \"Did he?\" So do I.\nNo full stop\nWait… e.g. here!";
        let expected =
            ["Mr. Smith met J. S. Bach (1685).", "\"Did he?\"", "So do I.", "No full stop", "Wait…", "e.g. here!"];
        assert_eq!(sentences(text), expected);
    }

    #[test]
    fn a_word_without_end_is_cut() {
        let (pieces, words) = split(&"x".repeat(250), &[]);
        assert_eq!((pieces.len(), words), (3, 3));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_words(text in "[a-zA-Z.!? \\n]{0,60}", pieces in prop::collection::vec(0usize..9, 0..12)) {
            prop_assert_eq!(split(&text, &pieces), split(&text, &[]));
        }
    }
}
