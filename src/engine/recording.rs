//! One recording, or text, through a session and a translator on this thread: what the command line and evaluation share.
//!
//! Invariant: an event is handed over before the next job is served, so that nobody sees a word later than it was known.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cascade::Reader;
use crate::session::event::Event;
use crate::session::translator::Translator;
use crate::session::{Session, SessionAssets, SessionConfig, SessionError};

/// A session that is served in place.
#[derive(Debug)]
pub struct Recording<'a, T: Translator> {
    session: Session<T::State>,
    translator: &'a T,
    reader: Option<Box<Reader<'a, T>>>,
    compute: Duration,
}

impl<'a, T: Translator> Recording<'a, T> {
    /// Begins a recording.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn new(translator: &'a T, assets: &Arc<SessionAssets>, config: SessionConfig) -> Result<Self, SessionError> {
        let session = Session::new(config, Arc::clone(assets))?;
        Ok(Self { session, translator, reader: None, compute: Duration::ZERO })
    }

    /// What `hears` writes down, translated by what `reads` that; the policy of the former should be
    /// [`PolicyKind::Transcribe`](crate::policy::PolicyKind::Transcribe).
    pub fn cascade(hears: Self, reads: Self) -> Self {
        Self { reader: Some(Box::new(Reader::new(reads))), ..hears }
    }

    /// Takes 16 kHz mono samples and hands over what they bring, each event with the time spent computing so far.
    ///
    /// # Errors
    /// The session's or the first one of `heed`.
    pub fn push<E: From<SessionError>>(
        &mut self,
        samples: &[f32],
        heed: impl FnMut(Event, Duration) -> Result<(), E>,
    ) -> Result<(), E> {
        let began = Instant::now();
        self.session.accept_waveform(samples)?;
        self.serve(began, heed)
    }

    /// Takes text, where the translator reads, and hands over what it brings as [`Recording::push`] does.
    ///
    /// # Errors
    /// The session's or the first one of `heed`.
    pub fn push_text<E: From<SessionError>>(
        &mut self,
        text: &str,
        heed: impl FnMut(Event, Duration) -> Result<(), E>,
    ) -> Result<(), E> {
        let began = Instant::now();
        self.session.accept_text(text)?;
        self.serve(began, heed)
    }

    /// The recording is over: hands over everything that is left.
    ///
    /// # Errors
    /// As [`Recording::push`].
    pub fn finish<E: From<SessionError>>(
        &mut self,
        heed: impl FnMut(Event, Duration) -> Result<(), E>,
    ) -> Result<(), E> {
        let began = Instant::now();
        self.session.input_finished();
        self.serve(began, heed)
    }

    /// Audio taken so far; of text, words.
    pub fn accepted_ms(&self) -> u64 {
        self.session.accepted_ms()
    }

    /// Time spent computing so far: without decoding of audio, waiting, and what is done with the events.
    pub fn compute(&self) -> Duration {
        self.compute
    }

    fn serve<E: From<SessionError>>(
        &mut self,
        mut began: Instant,
        mut heed: impl FnMut(Event, Duration) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let request = self.session.next_request()?;
            let idle = request.is_none();
            if let Some(request) = request {
                self.session.answer(request.serve(self.translator))?;
            }
            self.compute += began.elapsed();
            while let Some(event) = self.session.poll_event() {
                match &mut self.reader {
                    None => heed(event, self.compute)?,
                    Some(reader) => {
                        self.compute += reader.read(event, self.session.consumed_ms(), self.compute, &mut heed)?
                    }
                }
            }
            if idle {
                return Ok(());
            }
            began = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyKind;
    use crate::session::event::Committed;
    use crate::session::scripted::ScriptedTranslator;
    use crate::session::tests::{assets, dialogue};
    use crate::session::{SourceAssets, scripted::scripted_assets};

    #[test]
    fn a_cascade_translates_its_transcript() {
        let (hears, reads) = (assets(), SessionAssets { source: SourceAssets::Text, ..scripted_assets().unwrap() });
        let (translator, reads) = (ScriptedTranslator::new(&hears), Arc::new(reads));
        let config = || SessionConfig { policy: PolicyKind::WaitK { k: 1 }, ..SessionConfig::for_text() };
        let read = || Recording::new(&translator, &reads, config()).unwrap();
        let transcribe = SessionConfig { policy: PolicyKind::Transcribe, ..SessionConfig::default() };
        let mut cascade = Recording::cascade(Recording::new(&translator, &hears, transcribe).unwrap(), read());
        let (mut words, mut transcript, mut ends) = (Vec::new(), String::new(), Vec::new());
        let mut heed = |event, _| {
            match event {
                Event::Committed(word) => words.push(word),
                Event::Transcript(heard) => transcript += &heard.text,
                Event::UtteranceEnd { end_ms, .. } => {
                    transcript += "\n";
                    ends.push(end_ms);
                }
                _ => {}
            }
            Ok::<_, SessionError>(())
        };
        for piece in dialogue().chunks(5000) {
            cascade.push(piece, &mut heed).unwrap();
        }
        cascade.finish(&mut heed).unwrap();

        let mut expected = Vec::new();
        read()
            .push_text(&transcript, |event, _| {
                expected.extend(if let Event::Committed(word) = event { Some(word.text) } else { None });
                Ok::<_, SessionError>(())
            })
            .unwrap();
        assert!(expected.len() > 1 && ends.len() == 2, "{expected:?} {ends:?} {transcript:?}");
        assert_eq!(words.iter().map(|word: &Committed| word.text.clone()).collect::<Vec<_>>(), expected);
        assert!(words.iter().all(|word| word.start_ms <= word.end_ms && word.end_ms <= word.source_ms));
        assert!(words.is_sorted_by_key(|word| word.source_ms));
        let second = || words.iter().filter(|word| word.utterance == 1);
        assert!(second().all(|word| word.start_ms > ends[0]) && second().any(|word| word.source_ms < ends[1]));
    }
}
