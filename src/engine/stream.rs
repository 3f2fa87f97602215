//! A front end's two ends of a stream: what goes in, what comes out.
//!
//! Invariant: both directions are bounded and nothing is dropped. A stream has a fixed number of credits for input that
//! has not been worked off, so a front end that reads a socket stops reading when the engine is behind; a stream whose
//! events are not taken stands still until they are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::mail::{Letter, Mail};
use crate::session::SessionError;
use crate::session::event::Emission;
use crate::session::translator::TranslatorError;

/// Samples of one credit, half a second. So much is worked off in one go.
const BLOCK_SAMPLES: usize = 8_000;
/// Input of one stream that may wait.
pub(super) const CREDITS: usize = 8;
/// Events of one stream that may wait.
pub(super) const MAX_EVENTS: usize = 64;

/// What a stream is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// 16 kHz mono samples in [-1, 1].
    Samples(Vec<f32>),
    /// Text, where the translator reads.
    Text(String),
    /// See [`crate::session::event::Command::Flush`].
    Flush,
    /// See [`crate::session::event::Command::Mark`].
    Mark(u64),
    /// No more input will come.
    Finish,
}

/// Why a stream ended early.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StreamError {
    /// The session's own error.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The engine stopped.
    #[error("the engine has stopped")]
    Stopped,
}

impl StreamError {
    /// Whether the translator failed, rather than the caller.
    pub fn is_internal(&self) -> bool {
        !matches!(self, Self::Session(SessionError::InputFinished | SessionError::OtherInput { .. }))
    }

    pub(super) fn panicked() -> Self {
        let error = TranslatorError::Backend("it panicked, see the log".to_owned());
        Self::Session(error.into())
    }
}

/// The way in.
#[derive(Debug)]
pub struct StreamInput {
    pub(super) id: u64,
    pub(super) mail: mpsc::Sender<Mail>,
    pub(super) credits: Arc<Semaphore>,
    /// Blocks that wait for credit.
    pub(super) waiting: VecDeque<Input>,
}

impl StreamInput {
    /// Puts something in line; [`StreamInput::advance`] sends it.
    pub fn push(&mut self, input: Input) {
        match input {
            Input::Samples(samples) if samples.len() > BLOCK_SAMPLES => {
                self.waiting.extend(samples.chunks(BLOCK_SAMPLES).map(|block| Input::Samples(block.to_vec())));
            }
            input => self.waiting.push_back(input),
        }
    }

    /// Whether all that was pushed is on its way. A front end reads its client only then.
    pub fn is_clear(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends what is in line, one block for each credit, and returns when everything is on its way. Nothing is lost or
    /// sent twice when the future is dropped.
    ///
    /// # Errors
    /// [`StreamError::Stopped`].
    pub async fn advance(&mut self) -> Result<(), StreamError> {
        while !self.waiting.is_empty() {
            let credit = Arc::clone(&self.credits).acquire_owned().await.map_err(|_| StreamError::Stopped)?;
            let Some(input) = self.waiting.pop_front() else { break };
            let letter = Letter { input, _credit: credit, received: Instant::now() };
            self.mail.try_send(Mail::Input(self.id, letter)).map_err(|_| StreamError::Stopped)?;
        }
        Ok(())
    }

    /// [`StreamInput::push`] and [`StreamInput::advance`].
    ///
    /// # Errors
    /// [`StreamError::Stopped`].
    pub async fn send(&mut self, input: Input) -> Result<(), StreamError> {
        self.push(input);
        self.advance().await
    }
}

/// The way out. Dropping it ends the stream.
#[derive(Debug)]
pub struct StreamEvents {
    pub(super) id: u64,
    pub(super) mail: mpsc::Sender<Mail>,
    pub(super) events: mpsc::Receiver<Result<Emission, StreamError>>,
    /// Set when the stream stands still because its events are not taken.
    pub(super) stalled: Arc<AtomicBool>,
    /// The stream's place; goes back when the worker knows that the stream is over.
    pub(super) slot: Option<Arc<OwnedSemaphorePermit>>,
    pub(super) credits: Arc<Semaphore>,
}

impl StreamEvents {
    /// The next event, as soon as there is one; `None` after the last, which is
    /// [`crate::session::event::Event::Finished`] or an error.
    pub async fn next(&mut self) -> Option<Result<Emission, StreamError>> {
        let event = self.events.recv().await;
        if self.stalled.swap(false, Ordering::AcqRel) {
            // Fails only when the worker is gone, and then there is nothing to wake.
            let _ = self.mail.try_send(Mail::Wake(self.id));
        }
        event
    }
}

impl Drop for StreamEvents {
    fn drop(&mut self) {
        // Whoever still feeds the stream is told.
        self.credits.close();
        if let Some(slot) = self.slot.take() {
            // As above: a worker that is gone holds no session.
            let _ = self.mail.try_send(Mail::Gone(self.id, slot));
        }
    }
}
