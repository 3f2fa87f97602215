//! Containers pushed in pieces: symphonia pulls its bytes, so it runs on a thread of its own, as a coroutine would.
//!
//! The thread runs only inside [`LiveDecoder::push`] and `finish`: it is handed bytes, and says when it needs more.
//! Invariant: after a push everything that its bytes complete is decoded, the thread waits, and nothing is queued; a
//! dropped decoder ends its thread.

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::{AudioError, AudioReader, Limits};

enum Event {
    Chunk(Vec<f32>),
    /// All bytes are used up.
    Hungry,
    Ended(Option<AudioError>),
}

#[derive(Debug)]
pub(super) struct LiveDecoder {
    /// An empty piece means the end. None once the thread is to end.
    pieces: Option<SyncSender<Vec<u8>>>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
    limits: Limits,
    /// The container has reached its own end.
    ended: bool,
    fed: bool,
}

impl LiveDecoder {
    pub(super) fn new(limits: &Limits) -> Result<Self, AudioError> {
        let limits = *limits;
        let (piece_sender, pieces) = sync_channel(1);
        let (event_sender, events) = sync_channel(1);
        let source = Pieces {
            receiver: Mutex::new(pieces),
            events: event_sender.clone(),
            piece: Vec::new(),
            pos: 0,
            ended: false,
        };
        let thread = Builder::new().name("audio-decode".into()).spawn(move || {
            let error = match AudioReader::open_stream(source, &limits) {
                Ok(reader) => forward(reader, &event_sender),
                Err(error) => Some(error),
            };
            // Fails only when the decoder was dropped, and then nobody asks.
            let _ = event_sender.send(Event::Ended(error));
        })?;
        let mut decoder =
            Self { pieces: Some(piece_sender), events, thread: Some(thread), limits, ended: false, fed: false };
        decoder.run(&mut Vec::new())?;
        Ok(decoder)
    }

    /// Decodes what `bytes` complete and appends it to `ready`. Bytes behind the container's own end are ignored.
    pub(super) fn push(&mut self, bytes: &[u8], ready: &mut Vec<f32>) -> Result<(), AudioError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.fed = true;
        self.hand_over(bytes.to_vec(), ready)
    }

    /// Decodes the rest. No bytes at all are no audio, and no error.
    pub(super) fn finish(&mut self, ready: &mut Vec<f32>) -> Result<(), AudioError> {
        if self.fed { self.hand_over(Vec::new(), ready) } else { Ok(()) }
    }

    fn hand_over(&mut self, piece: Vec<u8>, ready: &mut Vec<f32>) -> Result<(), AudioError> {
        if self.ended {
            return Ok(());
        }
        if let Some(pieces) = &self.pieces {
            pieces.send(piece).map_err(|_| AudioError::Ended)?;
        }
        self.run(ready)
    }

    /// Lets the thread run until it needs bytes or ends.
    fn run(&mut self, ready: &mut Vec<f32>) -> Result<(), AudioError> {
        loop {
            match self.events.recv().map_err(|_| AudioError::Ended)? {
                Event::Chunk(mut chunk) => ready.append(&mut chunk),
                Event::Hungry => return Ok(()),
                Event::Ended(error) => {
                    self.ended = true;
                    return error.map_or(Ok(()), Err);
                }
            }
            self.limits.check_untaken(ready)?;
        }
    }
}

impl Drop for LiveDecoder {
    fn drop(&mut self) {
        // Without either channel the thread's next read or report fails, and that ends it.
        self.pieces = None;
        let (_, nothing) = sync_channel(1);
        self.events = nothing;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reports every chunk; gives back the error that ended the stream.
fn forward(reader: AudioReader, events: &SyncSender<Event>) -> Option<AudioError> {
    for chunk in reader {
        match chunk {
            Ok(chunk) => events.send(Event::Chunk(chunk)).ok()?,
            Err(error) => return Some(error),
        }
    }
    None
}

/// The thread's end of the hand-over: a source of bytes that waits for the next piece.
struct Pieces {
    /// Only ever used through `&mut`: the lock is there because a receiver alone is not `Sync`.
    receiver: Mutex<Receiver<Vec<u8>>>,
    events: SyncSender<Event>,
    piece: Vec<u8>,
    pos: usize,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.pos == self.piece.len() && !self.ended {
            self.events.send(Event::Hungry).map_err(|_| ErrorKind::BrokenPipe)?;
            let receiver = self.receiver.get_mut().unwrap_or_else(PoisonError::into_inner);
            self.piece = receiver.recv().map_err(|_| ErrorKind::BrokenPipe)?;
            self.pos = 0;
            self.ended = self.piece.is_empty();
        }
        let len = (&self.piece[self.pos..]).read(buf)?;
        self.pos += len;
        Ok(len)
    }
}
