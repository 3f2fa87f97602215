//! What a worker's mailbox holds.
//!
//! Invariant: the mailbox never overflows. A stream has at most one [`Mail::Open`], two [`Mail::Wake`] (the
//! worker takes all mail before it lets a stream stand still again), one [`Mail::Gone`] and as many inputs as credits in it, and gives its place back only with the last.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::stream::{CREDITS, Input, StreamError};
use crate::session::SessionConfig;
use crate::session::event::Emission;

/// Room that one stream may need.
pub(super) const ROOM: usize = CREDITS + 4;

/// Something for a worker.
#[derive(Debug)]
pub(super) enum Mail {
    Open(u64, Box<Opening>),
    Input(u64, Letter),
    Wake(u64),
    Gone(u64, Arc<OwnedSemaphorePermit>),
}

/// A stream to begin.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) config: SessionConfig,
    pub(super) events: mpsc::Sender<Result<Emission, StreamError>>,
    pub(super) stalled: Arc<AtomicBool>,
    pub(super) slot: Arc<OwnedSemaphorePermit>,
    pub(super) opened: Instant,
}

/// Input and when it came. The credit goes back when the input has been worked off.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) input: Input,
    pub(super) _credit: OwnedSemaphorePermit,
    pub(super) received: Instant,
}
