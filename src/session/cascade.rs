//! A session that translates its transcript: what was heard to what is read, and events to both.
//!
//! The half that reads is a session of its own whose text is the transcript. It has read all of it before the next frame is
//! heard, so that its words name the audio that decided them.
//! Invariant: of another language, and of what is not speech, nothing is read, and an utterance ends when all of it is said.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Session, SessionAssets, SessionConfig, SessionError,
    drive::Request,
    event::{Committed, Event, Tentative},
    timeline::Span,
};

/// The half that reads.
#[derive(Debug)]
pub(super) struct Reader<S> {
    pub(super) session: Session<S>,
    /// The request that is being answered is its own.
    pub(super) is_asked: bool,
    pub(super) words: Words,
    /// Events of the half that hears, and whether what they say is to be read.
    waiting: VecDeque<(Event, bool)>,
    /// What comes behind everything that is being read.
    held: Option<Event>,
}

/// Where the words of the transcript were heard.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Words {
    spans: VecDeque<Span>,
    /// Number of the first one in the session; no word of the translation will ask for those before.
    first: u64,
    utterance: u64,
}

impl Words {
    /// An event of the half that reads, for which a word of its text is a millisecond, as one of the whole.
    fn place(&mut self, event: Event, source_ms: u64) -> Option<Event> {
        let utterance = self.utterance;
        match event {
            Event::Committed(word) => {
                self.spans.drain(..(word.start_ms.saturating_sub(self.first) as usize).min(self.spans.len()));
                self.first = self.first.max(word.start_ms);
                let at = |word: u64| self.spans.get(word.checked_sub(self.first)? as usize);
                let start_ms = at(word.start_ms).map_or(source_ms, |span| span.start_ms);
                let end_ms = at(word.end_ms.saturating_sub(1)).map_or(source_ms, |span| span.end_ms);
                Some(Event::Committed(Committed { utterance, start_ms, end_ms, source_ms, ..word }))
            }
            Event::Tentative(guess) => Some(Event::Tentative(Tentative { utterance, ..guess })),
            _ => None,
        }
    }
}

impl<S: Clone> Reader<S> {
    /// A reader that has read nothing, if there is one.
    pub(super) fn new(config: &SessionConfig, assets: &SessionAssets) -> Result<Option<Box<Self>>, SessionError> {
        let Some(reads) = assets.reads.as_ref().filter(|_| config.cascade) else { return Ok(None) };
        let SessionConfig { policy, tentative_tokens, letters_per_word, .. } = *config;
        let config = SessionConfig { policy, tentative_tokens, letters_per_word, ..SessionConfig::for_text() };
        Ok(Some(Box::new(Self::resumed(Session::new(config, Arc::clone(reads))?, Words::default()))))
    }

    pub(super) fn resumed(session: Session<S>, words: Words) -> Self {
        Self { session, is_asked: false, words, waiting: VecDeque::new(), held: None }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.session.is_finished() && self.waiting.is_empty() && self.held.is_none()
    }
}

impl<S: Clone> Session<S> {
    pub(super) fn emit(&mut self, event: Event) {
        let is_ignored = self.core.utterance.as_ref().is_some_and(|utterance| utterance.is_ignored);
        match &mut self.reader {
            Some(reader) => reader.waiting.push_back((event, !is_ignored)),
            None => self.events.push_back(event),
        }
    }

    /// What the half that reads needs done; `None` when it has read everything that was heard.
    pub(super) fn relay(&mut self) -> Result<Option<Request<S>>, SessionError> {
        let source_ms = self.source.consumed_ms();
        let Some(reader) = &mut self.reader else { return Ok(None) };
        loop {
            if let Some(request) = reader.session.next_request()? {
                reader.is_asked = true;
                return Ok(Some(request));
            }
            while let Some(event) = reader.session.poll_event() {
                self.events.extend(reader.words.place(event, source_ms));
            }
            self.events.extend(reader.held.take());
            let Some((event, is_read)) = reader.waiting.pop_front() else { return Ok(None) };
            match &event {
                Event::Transcript(heard) if is_read => {
                    let Words { spans, .. } = &mut reader.words;
                    spans.push_back(Span { start_ms: heard.start_ms, end_ms: heard.end_ms });
                    // The white space: words come whole.
                    reader.session.accept_text(&format!("{} ", heard.text))?;
                }
                Event::UtteranceStart { utterance, .. } => reader.words.utterance = *utterance,
                Event::UtteranceEnd { .. } => reader.session.accept_text("\n")?,
                Event::Finished => reader.session.input_finished(),
                _ => {}
            }
            match event {
                Event::UtteranceEnd { .. } | Event::Finished => reader.held = Some(event),
                event => self.events.push_back(event),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::super::scripted::{ScriptedTranslator, scripted_assets};
    use super::super::tests::{dialogue, events, run, translator, wait_k, words};
    use super::super::{SourceAssets, drive};
    use super::*;
    use crate::policy::PolicyKind;
    use crate::text::Language;

    fn assets(language: Option<Language>) -> Arc<SessionAssets> {
        let reads = SessionAssets { source: SourceAssets::Text, ..scripted_assets().unwrap() };
        Arc::new(SessionAssets { reads: Some(Arc::new(reads)), language, ..scripted_assets().unwrap() })
    }

    fn config(policy: PolicyKind) -> SessionConfig {
        SessionConfig { policy, ..SessionConfig::default() }
    }

    fn heard(events: &[Event]) -> String {
        events
            .iter()
            .filter_map(|e| if let Event::Transcript(part) = e { Some(part.text.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn the_transcript_is_translated() {
        for policy in [PolicyKind::WaitK { k: 1 }, PolicyKind::Offline { beam_size: 2 }] {
            let assets = assets(None);
            let said = run(Session::new(config(policy), Arc::clone(&assets)).unwrap(), dialogue(), &[5000]);

            let reads = assets.reads.clone().unwrap();
            let translator = ScriptedTranslator::new(&reads);
            let mut alone = Session::new(SessionConfig { policy, ..SessionConfig::for_text() }, reads).unwrap();
            for event in &said {
                match event {
                    Event::Transcript(part) => alone.accept_text(&format!("{} ", part.text)).unwrap(),
                    Event::UtteranceEnd { .. } => alone.accept_text("\n").unwrap(),
                    _ => {}
                }
            }
            alone.input_finished();
            drive(&mut alone, &translator).unwrap();
            let expected = events(&mut alone);
            let text = |events: &[Event]| words(events).into_iter().map(|word| word.text).collect::<String>();
            assert!(words(&said).len() > 1, "{said:?}");
            assert_eq!(text(&said), text(&expected));
        }
    }

    #[test]
    fn words_name_what_was_heard_and_stay_in_their_utterance() {
        let said = run(Session::new(config(PolicyKind::WaitK { k: 1 }), assets(None)).unwrap(), dialogue(), &[5000]);
        let all = words(&said);
        assert!(all.iter().all(|word| word.start_ms <= word.end_ms && word.end_ms <= word.source_ms), "{all:?}");
        assert!(all.is_sorted_by_key(|word| word.source_ms));
        assert_eq!(all.iter().map(|word| word.utterance).max(), Some(1));
        let mut running = None;
        for event in &said {
            match event {
                Event::UtteranceStart { utterance, .. } => running = Some(*utterance),
                Event::Committed(word) => assert_eq!(Some(word.utterance), running),
                Event::UtteranceEnd { .. } => running = None,
                _ => {}
            }
        }
        assert_eq!(said.last(), Some(&Event::Finished));
    }

    #[test]
    fn chunks_and_snapshots_change_nothing() {
        let (assets, translator) = (assets(None), translator());
        let whole =
            run(Session::new(config(PolicyKind::WaitK { k: 2 }), Arc::clone(&assets)).unwrap(), dialogue(), &[99_999]);
        let mut session = Session::new(config(PolicyKind::WaitK { k: 2 }), Arc::clone(&assets)).unwrap();
        let mut said = Vec::new();
        for chunk in dialogue().chunks(4321).map(Some).chain(once(None)) {
            match chunk {
                Some(samples) => session.accept_waveform(samples).unwrap(),
                None => session.input_finished(),
            }
            drive(&mut session, &translator).unwrap();
            said.extend(events(&mut session));
            let bytes = session.to_bytes(&translator).unwrap();
            session = Session::from_bytes(&bytes, Arc::clone(&assets), &translator).unwrap();
        }
        assert_eq!(said, whole);
        assert!(session.is_finished());
    }

    #[test]
    fn the_speech_itself_can_be_asked_for() {
        let direct = SessionConfig { cascade: false, ..config(PolicyKind::WaitK { k: 1 }) };
        let said = run(Session::new(direct, assets(None)).unwrap(), dialogue(), &[1600]);
        assert_eq!(said, run(wait_k(1), dialogue(), &[1600]));
    }

    #[test]
    fn another_language_is_heard_but_not_read() {
        let listen = |language| {
            let session = Session::new(config(PolicyKind::WaitK { k: 1 }), assets(language)).unwrap();
            let said = run(session, dialogue(), &[1600]);
            (heard(&said), words(&said).len())
        };
        let (text, all) = listen(None);
        let (as_heard, foreign) = listen(Some(Language::train(["zz qx qq xz"; 500])));
        assert_eq!(as_heard, text);
        assert!(foreign < all, "{foreign} of {all} words");
    }
}
