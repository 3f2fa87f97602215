//! What was heard to what is read: the second half of a cascade, transcript in, translation out.
//!
//! Invariant: a word of the translation names the audio that was consumed when it was decided, and the audio that the words
//! it was read from were heard in.

use std::time::Duration;

use super::Recording;
use crate::session::SessionError;
use crate::session::event::{Committed, Event};
use crate::session::translator::Translator;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reader<'a, T: Translator> {
    recording: Recording<'a, T>,
    /// When each word of the transcript was heard.
    heard_ms: Vec<(u64, u64)>,
}

impl<'a, T: Translator> Reader<'a, T> {
    pub(super) fn new(recording: Recording<'a, T>) -> Self {
        Self { recording, heard_ms: Vec::new() }
    }

    /// Takes an event of the half that hears, at `now_ms` of the audio and after so much computing, and hands it over with
    /// what comes of it. Returns the time spent.
    pub(super) fn read<E: From<SessionError>>(
        &mut self,
        event: Event,
        now_ms: u64,
        before: Duration,
        heed: &mut impl FnMut(Event, Duration) -> Result<(), E>,
    ) -> Result<Duration, E> {
        match event {
            Event::Transcript(heard) => {
                let num_words = heard.text.split_whitespace().count();
                self.heard_ms.extend(std::iter::repeat_n((heard.start_ms, heard.end_ms), num_words));
                // The white space: words come whole.
                let (text, utterance) = (format!("{} ", heard.text), heard.utterance);
                heed(Event::Transcript(heard), before)?;
                self.say(&text, utterance, now_ms, before, heed)
            }
            Event::UtteranceEnd { utterance, .. } => {
                let spent = self.say("\n", utterance, now_ms, before, heed)?;
                heed(event, before + spent)?;
                Ok(spent)
            }
            other => heed(other, before).map(|()| Duration::ZERO),
        }
    }

    fn say<E: From<SessionError>>(
        &mut self,
        text: &str,
        utterance: u64,
        now_ms: u64,
        before: Duration,
        heed: &mut impl FnMut(Event, Duration) -> Result<(), E>,
    ) -> Result<Duration, E> {
        let began = self.recording.compute();
        // Of text each word counts as a millisecond.
        let words = self.translate(text)?;
        let at = |word: u64| self.heard_ms.get(word as usize).copied().unwrap_or((now_ms, now_ms));
        for (word, compute) in words {
            let (start_ms, end_ms) = (at(word.start_ms).0, at(word.end_ms.saturating_sub(1)).1);
            let word = Committed { utterance, start_ms, end_ms, source_ms: now_ms, ..word };
            heed(Event::Committed(word), before + compute.saturating_sub(began))?;
        }
        Ok(self.recording.compute().saturating_sub(began))
    }

    /// The words that come of more text, with the time spent until each.
    fn translate(&mut self, text: &str) -> Result<Vec<(Committed, Duration)>, SessionError> {
        let mut words = Vec::new();
        self.recording.push_text(text, |event, compute| {
            words.extend(if let Event::Committed(word) = event { Some((word, compute)) } else { None });
            Ok::<_, SessionError>(())
        })?;
        Ok(words)
    }
}
