//! Answers of the translator to events: transcript, committed words.
//!
//! Invariant: what breaks the contract of [`super::translator`] becomes an error, never text and never a panic.

use super::{
    Session, SessionError,
    event::{Committed, Event, Transcript},
    source::Segment,
    timeline::Span,
    translator::{Allowed, Decoded, Encoded, Searched},
    utterance::Verdict,
};
use crate::policy::PolicyKind;
use crate::text::Heard;

impl<S: Clone> Session<S> {
    pub(super) fn accept_encoded(&mut self, encoded: Encoded<S>, segment: Segment) -> Result<(), SessionError> {
        let tokenizer = &self.assets.source_tokenizer;
        let (vocab, found) = (tokenizer.vocab_size(), encoded.log_probs.len());
        let expected = segment.num_labels * vocab;
        if found != expected {
            return Err(SessionError::InvalidReply(format!("a segment has {found} log-probabilities, not {expected}")));
        }
        self.state = Some(encoded.state);
        let Some(utterance) = &mut self.core.utterance else {
            return Ok(());
        };
        utterance.num_steps += segment.num_steps;
        utterance.source_ended = segment.last;
        // The blank's probabilities are where a second opinion on `speech` would come from: measure it before adding it.
        utterance.timeline.accept_segment(segment.duration_ms, segment.speech);
        // What is asked of single letters is asked at once, and of what the ear says without the language.
        let best: Vec<u32> = encoded.log_probs.chunks_exact(vocab).map(most_probable).collect();
        let labels = self.core.ctc.push(&best);
        let mut num_letters = segment.num_letters;
        for &label in &labels {
            let characters = tokenizer.decode(&[label]);
            num_letters += characters.chars().filter(|c| c.is_alphanumeric()).count();
            if let Some(language) = &self.assets.language {
                let space = tokenizer.begins_word(label).then_some(' ');
                space.into_iter().chain(characters.chars()).for_each(|c| self.core.likeness.hear(language, c));
            }
        }
        utterance.num_letters += num_letters;
        utterance.density.hear(num_letters, segment.duration_ms);
        let config = &self.core.config;
        let is_foreign = self.assets.language.is_some() && self.core.likeness.bits() > config.max_letter_bits;
        utterance.is_ignored = is_foreign || utterance.density.is_below(config.min_letters_per_s);
        let by = self.assets.search(self.policy());
        let words = self.core.recognizer.push(&by, &encoded.log_probs);
        self.transcribe(words);
        Ok(())
    }

    pub(super) fn accept_decoded(
        &mut self,
        decoded: Decoded<S>,
        allowed: Allowed,
        before: Option<S>,
    ) -> Result<(), SessionError> {
        let begins_word = decoded.token.map(|token| self.begins_word(token)).transpose()?;
        let is_allowed = match begins_word {
            None => allowed.eos,
            Some(true) => allowed.word_start,
            Some(false) => allowed.continuation,
        };
        if !is_allowed {
            return Err(SessionError::InvalidReply(format!("{:?} is not among {allowed:?}", decoded.token)));
        }
        let Some(utterance) = &mut self.core.utterance else {
            return Ok(());
        };
        let index = utterance.num_words();
        let Verdict { accept_state, word } =
            utterance.accept_token(decoded.token, begins_word.unwrap_or(false), &self.core.config);
        let word = word.map(|word| (word, utterance.number, utterance.timeline.word(index)));
        // Without a state to go back to the source has ended, and what is not accepted is the end.
        self.state = if accept_state { Some(decoded.state) } else { before };
        if let Some((word, number, span)) = word {
            self.commit(&word, number, span);
        }
        Ok(())
    }

    /// Only the first word is kept: the next one will have heard more.
    pub(super) fn accept_lookahead(&mut self, searched: Searched<S>) -> Result<(), SessionError> {
        let words = self.words(&searched.tokens)?;
        let Some(utterance) = &mut self.core.utterance else {
            return Ok(());
        };
        let Some(word) = words.first() else {
            utterance.hold();
            return Ok(());
        };
        // The last piece stays pending: the state is the one before it.
        let state = searched.states.into_iter().nth(word.len() - 1);
        self.state = Some(state.ok_or_else(|| SessionError::InvalidReply("a token came without a state".to_owned()))?);
        let is_whole = words.len() > 1 || searched.tokens.len() < self.core.config.lookahead_tokens;
        let (index, number) = (utterance.num_words(), utterance.number);
        if let Some(word) = utterance.accept_pieces(word, is_whole) {
            let span = utterance.timeline.word(index);
            self.commit(&word, number, span);
        }
        Ok(())
    }

    /// Tokens as words.
    fn words(&self, tokens: &[u32]) -> Result<Vec<Vec<u32>>, SessionError> {
        let mut words: Vec<Vec<u32>> = Vec::new();
        for &token in tokens {
            let begins_word = self.begins_word(token)?;
            match words.last_mut() {
                Some(word) if !begins_word => word.push(token),
                None if !begins_word => {
                    return Err(SessionError::InvalidReply(format!("token {token} goes on with a word that is over")));
                }
                _ => words.push(vec![token]),
            }
        }
        Ok(words)
    }

    pub(super) fn accept_searched(&mut self, searched: &Searched<S>) -> Result<(), SessionError> {
        let words = self.words(&searched.tokens)?;
        let Some(utterance) = &mut self.core.utterance else {
            return Ok(());
        };
        let said = utterance.num_words();
        let words = utterance.accept_words(words, &self.core.config);
        let (number, timeline) = (utterance.number, &mut utterance.timeline);
        let spans: Vec<Span> = match self.core.config.policy {
            PolicyKind::WaitK { .. } => (0..words.len()).map(|index| timeline.word(said + index)).collect(),
            PolicyKind::Offline { .. } | PolicyKind::Transcribe => {
                (0..words.len()).map(|index| timeline.share(index, words.len())).collect()
            }
        };
        for (word, span) in words.iter().zip(spans) {
            self.commit(word, number, span);
        }
        Ok(())
    }

    fn begins_word(&self, token: u32) -> Result<bool, SessionError> {
        let tokenizer = &self.assets.target_tokenizer;
        if tokenizer.is_special(token) || tokenizer.piece(token).is_none() {
            return Err(SessionError::InvalidReply(format!("token {token} has no text")));
        }
        Ok(tokenizer.begins_word(token))
    }

    fn commit(&mut self, word: &[u32], utterance: u64, Span { start_ms, end_ms }: Span) {
        let (tokenizer, translation) = (&self.assets.target_tokenizer, &mut self.core.translation);
        let begun: String = word.iter().filter_map(|&token| translation.push(tokenizer, token)).collect();
        debug_assert!(begun.is_empty(), "words are committed one by one, yet {begun:?} was left");
        // A mark without letters is no word.
        let Some(text) = translation.finish() else {
            return;
        };
        let source_ms = self.source.consumed_ms();
        let seq = self.core.num_committed;
        self.core.num_committed += 1;
        self.emit(Event::Committed(Committed { seq, utterance, text, start_ms, end_ms, source_ms }));
    }

    /// Words of the running utterance that are final.
    pub(super) fn transcribe(&mut self, words: Vec<Heard>) {
        let Some(utterance) = &self.core.utterance else { return };
        let (utterance, heard) = (utterance.number, utterance.timeline.encoded());
        let step_ms = self.assets.spec.step_ms();
        for word in words {
            let (tokenizer, transcript) = (&self.assets.source_tokenizer, &mut self.core.transcript);
            word.labels.iter().for_each(|&label| drop(transcript.push(tokenizer, label)));
            let at = |step: usize| (heard.start_ms + step as u64 * step_ms).min(heard.end_ms);
            let (start_ms, end_ms) = (at(word.start_step), at(word.end_step));
            if let Some(text) = self.core.transcript.finish() {
                self.emit(Event::Transcript(Transcript { utterance, text, start_ms, end_ms }));
            }
        }
    }
}

/// Of a step's labels.
fn most_probable(log_probs: &[f32]) -> u32 {
    (0..).zip(log_probs).max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(label, _)| label)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::scripted::scripted_assets;
    use super::super::tests::{dialogue, run, words};
    use super::super::{SessionAssets, SessionConfig};
    use super::*;
    use crate::text::Language;

    #[test]
    fn of_another_language_nothing_is_said() {
        for policy in [PolicyKind::WaitK { k: 1 }, PolicyKind::Offline { beam_size: 2 }] {
            let listen = |language: Option<Language>| {
                let assets = Arc::new(SessionAssets { language, ..scripted_assets().unwrap() });
                let session = Session::new(SessionConfig { policy, ..SessionConfig::default() }, assets).unwrap();
                let said = run(session, dialogue(), &[1600]);
                let heard = said.iter().filter_map(|event| match event {
                    Event::Transcript(part) => Some(part.text.as_str()),
                    _ => None,
                });
                (heard.collect::<String>(), words(&said).len())
            };
            let (heard, all) = listen(None);
            assert!(all > 10, "{all} words of {heard:?}");
            assert_eq!(listen(Some(Language::train(vec![heard.as_str(); 50]))), (heard.clone(), all));
            let (as_heard, foreign) = listen(Some(Language::train(["zz qx qq xz"; 500])));
            assert_eq!(as_heard, heard, "the transcript stays");
            // Until there is some evidence, all is taken for the language.
            assert!(foreign <= 4, "{foreign} words");
        }
    }
}
