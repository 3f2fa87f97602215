//! One recording, or text, through a session and a translator on this thread: what the command line and evaluation share.
//!
//! Invariant: an event is handed over before the next job is served, so that nobody sees a word later than it was known.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::session::event::Event;
use crate::session::translator::Translator;
use crate::session::{Session, SessionAssets, SessionConfig, SessionError};

/// A session that is served in place.
#[derive(Debug)]
pub struct Recording<'a, T: Translator> {
    session: Session<T::State>,
    translator: &'a T,
    compute: Duration,
}

impl<'a, T: Translator> Recording<'a, T> {
    /// Begins a recording.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn new(translator: &'a T, assets: &Arc<SessionAssets>, config: SessionConfig) -> Result<Self, SessionError> {
        let session = Session::new(config, Arc::clone(assets))?;
        Ok(Self { session, translator, compute: Duration::ZERO })
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
                heed(event, self.compute)?;
            }
            if idle {
                return Ok(());
            }
            began = Instant::now();
        }
    }
}
