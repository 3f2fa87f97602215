//! Tokens to words within one utterance: what may be decided when, and when the utterance has said everything.
//!
//! A word is a run of pieces whose first begins a word. All its pieces are decided on the same source prefix, which is
//! also the one that the model was trained to predict them from: predicting the first piece of word `w` from the last
//! piece of word `w - 1` sees what word `w` may see. So the last piece decided stays *pending*, not yet fed, until the
//! next word's turn. A search some pieces ahead finds the word; if it does not see the word's end, or none is wanted, the
//! decoder goes on piece by piece. To learn whether the word goes on, the last piece is then fed on trial, and the trial
//! is taken back unless the next word may be decided on the same source: feeding it again would give the same answer.
//! Invariant: only whole words leave, and never one before the policy allows it.

use serde::{Deserialize, Serialize};

use super::{config::SessionConfig, density::Density, timeline::Timeline, translator::Allowed};
use crate::policy::{Action, DEFAULT_BEAM_SIZE, PolicyKind, Progress, RepetitionGuard};

/// One utterance's counters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Utterance {
    pub(crate) number: u64,
    pub(crate) timeline: Timeline,
    /// Encoder steps so far.
    pub(crate) num_steps: usize,
    /// Letters of the transcript so far.
    pub(crate) num_letters: usize,
    pub(crate) density: Density,
    /// What was heard last is of another language, or not speech: nothing is said of it.
    pub(crate) is_ignored: bool,
    pub(crate) source_ended: bool,
    /// More tokens than this no translation has.
    max_tokens: usize,
    /// Everything that will be said has been said.
    complete: bool,
    num_words: usize,
    num_tokens: usize,
    /// The last token decided, which the decoder has not been fed; `None` at the beginning of the sentence.
    pending: Option<u32>,
    /// Pieces of the word that is being decided.
    word: Vec<u32>,
    guard: RepetitionGuard,
    /// Encoder steps with which the sentence seemed to be over: more has to be heard before more is said.
    held_steps: usize,
    /// Encoder steps that the last guess knew of.
    pub(crate) guessed_steps: usize,
}

/// What a decoded token means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The step stands: go on with the state that came with the token. Otherwise take it back.
    pub(crate) accept_state: bool,
    /// A word has become complete.
    pub(crate) word: Option<Vec<u32>>,
}

impl Utterance {
    pub(crate) fn new(number: u64, start_ms: u64, max_tokens: usize) -> Self {
        Self {
            number,
            timeline: Timeline::new(start_ms),
            num_steps: 0,
            num_letters: 0,
            density: Density::default(),
            is_ignored: false,
            source_ended: false,
            max_tokens,
            complete: false,
            num_words: 0,
            num_tokens: 0,
            pending: None,
            word: Vec::new(),
            guard: RepetitionGuard::default(),
            held_steps: 0,
            guessed_steps: 0,
        }
    }

    /// Whether the utterance is over: everything heard and said.
    pub(crate) fn is_over(&self) -> bool {
        self.source_ended && self.complete
    }

    /// What to do next; [`Action::Read`] when the utterance is complete, too.
    pub(crate) fn next_action(&mut self, config: &SessionConfig) -> Action {
        if !self.word.is_empty() {
            return Action::Write;
        }
        let has_room = self.tokens_left(config) > 0 && self.words_left(config) > 0;
        self.complete |= self.source_ended && (!has_room || config.policy == PolicyKind::Transcribe);
        let is_held = !self.source_ended && self.held_steps == self.num_steps;
        if self.complete || !has_room || is_held {
            return Action::Read;
        }
        let speech_segments = self.timeline.speech_segments();
        let progress = Progress { speech_segments, words: self.num_words, source_ended: self.source_ended };
        match config.policy.action(progress) {
            Action::Write if self.source_ended && config.tail_beam_size > 1 => {
                let least = if self.num_words == 0 { DEFAULT_BEAM_SIZE } else { 1 };
                Action::Search { beam_size: config.tail_beam_size.max(least) }
            }
            action => action,
        }
    }

    /// How far to look ahead to decide the next word; `None` where that is not to be.
    pub(crate) fn lookahead(&self, config: &SessionConfig) -> Option<usize> {
        let undecided = self.word.is_empty() && !self.source_ended;
        (undecided && config.word_beam_size > 1).then_some(config.lookahead_tokens)
    }

    /// Takes the pieces that the next word begins with or, if it `is_whole`, consists of: then the word.
    pub(crate) fn accept_pieces(&mut self, pieces: &[u32], is_whole: bool) -> Option<Vec<u32>> {
        for &piece in pieces {
            self.push_piece(piece);
        }
        if is_whole { self.finish_word() } else { None }
    }

    /// The sentence seems to be over, but the speaker may go on: says nothing until more is heard.
    pub(crate) fn hold(&mut self) {
        self.held_steps = self.num_steps;
    }

    /// How many tokens may still come.
    pub(crate) fn tokens_left(&self, config: &SessionConfig) -> usize {
        config.max_tokens(self.num_steps).min(self.max_tokens).saturating_sub(self.num_tokens)
    }

    /// How many words may still come.
    fn words_left(&self, config: &SessionConfig) -> usize {
        if self.is_ignored { 0 } else { config.max_words(self.num_letters).saturating_sub(self.num_words) }
    }

    /// The last token decided, which has not been fed.
    pub(crate) fn pending(&self) -> Option<u32> {
        self.pending
    }

    /// The token to feed, and which may come next.
    pub(crate) fn decode_input(&self, config: &SessionConfig) -> (Option<u32>, Allowed) {
        let continuation = (1..config.max_pieces_per_word).contains(&self.word.len());
        (self.pending, Allowed { continuation, ..Allowed::ALL })
    }

    /// Takes the token that followed [`Utterance::decode_input`], one of the allowed ones.
    pub(crate) fn accept_token(&mut self, token: Option<u32>, begins_word: bool, config: &SessionConfig) -> Verdict {
        if let Some(piece) = token.filter(|_| !begins_word) {
            self.push_piece(piece);
            return Verdict { accept_state: true, word: None };
        }
        let word = self.finish_word();
        let accept_state = match token {
            Some(piece) if self.next_action(config) == Action::Write && self.lookahead(config).is_none() => {
                self.push_piece(piece);
                true
            }
            Some(_) => false,
            None => {
                self.complete |= self.source_ended;
                self.hold();
                self.source_ended
            }
        };
        Verdict { accept_state, word }
    }

    /// Takes the rest of the translation, as words.
    pub(crate) fn accept_words(&mut self, words: Vec<Vec<u32>>, config: &SessionConfig) -> Vec<Vec<u32>> {
        let mut kept = Vec::with_capacity(words.len());
        for word in words.into_iter().take(self.words_left(config)) {
            self.word = word;
            kept.extend(self.finish_word());
        }
        self.complete = true;
        kept
    }

    /// Words decided so far.
    pub(crate) fn num_words(&self) -> usize {
        self.num_words
    }

    fn push_piece(&mut self, piece: u32) {
        self.word.push(piece);
        self.pending = Some(piece);
        self.num_tokens += 1;
    }

    /// The word, unless there is none or it closes a loop: then nothing is said until more is heard.
    fn finish_word(&mut self) -> Option<Vec<u32>> {
        let word = Some(std::mem::take(&mut self.word)).filter(|word| !word.is_empty())?;
        if !self.guard.accept(&word) {
            self.complete |= self.source_ended;
            self.hold();
            return None;
        }
        self.num_words += 1;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_cut_off_and_what_follows_is_said() {
        let config = SessionConfig { letters_per_word: 0, ..SessionConfig::default() };
        let heard = || Utterance { num_steps: 100, ..Utterance::new(0, 0, 255) };
        let words: Vec<Vec<u32>> = [[7].repeat(9), vec![8, 9]].concat().into_iter().map(|piece| vec![piece]).collect();
        let expected = [[7].repeat(5), vec![8, 9]].concat();

        let mut ended = heard();
        assert_eq!(ended.accept_words(words.clone(), &config).concat(), expected);

        let mut running = heard();
        let said: Vec<u32> = words.iter().filter_map(|word| running.accept_pieces(word, true)).flatten().collect();
        assert_eq!(said, expected);
        assert!(!running.complete);
    }

    #[test]
    fn a_translation_is_no_longer_than_the_network_can_count() {
        let (config, heard) = (SessionConfig::default(), 624);
        let left = |max_tokens| Utterance { num_steps: heard, ..Utterance::new(0, 0, max_tokens) }.tokens_left(&config);
        assert_eq!(left(255), 255);
        assert_eq!(left(1000), config.max_tokens(heard));
    }

    #[test]
    fn after_a_loop_more_has_to_be_heard() {
        let config = SessionConfig { letters_per_word: 0, ..SessionConfig::default() };
        let mut utterance = Utterance { num_steps: 100, ..Utterance::new(0, 0, 255) };
        (0..6).for_each(|_| drop(utterance.accept_pieces(&[7], true)));
        assert_eq!(utterance.next_action(&config), Action::Read);
        assert_eq!(utterance.held_steps, 100);
        utterance.source_ended = true;
        (0..6).for_each(|_| drop(utterance.accept_pieces(&[7], true)));
        assert!(utterance.is_over(), "no more will be heard");
    }
}
