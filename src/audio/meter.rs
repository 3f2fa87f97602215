//! A source of bytes that stops when too many of them bring no audio.
//!
//! Invariant: between two calls of [`Meter::reset`] at most the limit is read, so no header can make a parser hoard more.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

use super::AudioError;

/// Counts the bytes read from a [`Metered`] source; a clone counts the same.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    idle_bytes: Arc<AtomicU64>,
    limit_bytes: u64,
}

impl Meter {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self { idle_bytes: Arc::default(), limit_bytes }
    }

    /// Whether the source gave no byte so far.
    pub(super) fn is_unread(&self) -> bool {
        self.idle_bytes.load(Ordering::Relaxed) == 0
    }

    /// A packet of audio came out.
    pub(super) fn reset(&self) {
        self.idle_bytes.store(0, Ordering::Relaxed);
    }

    /// The error that stopped the source, if the limit did.
    pub(super) fn exceeded(&self) -> Option<AudioError> {
        let idle_bytes = self.idle_bytes.load(Ordering::Relaxed);
        (idle_bytes > self.limit_bytes).then_some(AudioError::TooManyIdleBytes { limit_bytes: self.limit_bytes })
    }
}

#[derive(Debug)]
pub(super) struct Metered<R> {
    source: R,
    meter: Meter,
    /// Known when the source can seek.
    byte_len: Option<u64>,
}

impl<R> Metered<R> {
    /// A source that can only be read.
    pub(super) fn stream(source: R, meter: Meter) -> Self {
        Self { source, meter, byte_len: None }
    }
}

impl<R: Seek> Metered<R> {
    /// A source that may be able to seek: a pipe cannot, though its type says so.
    pub(super) fn file(mut source: R, meter: Meter) -> io::Result<Self> {
        let byte_len = match source.seek(SeekFrom::End(0)) {
            Ok(end) => {
                source.rewind()?;
                Some(end)
            }
            Err(_) => None,
        };
        Ok(Self { source, meter, byte_len })
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(buf)?;
        self.meter.idle_bytes.fetch_add(len as u64, Ordering::Relaxed);
        if self.meter.exceeded().is_some() { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(len) }
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.source.seek(pos)
    }
}

impl<R: Read + Seek + Send + Sync> MediaSource for Metered<R> {
    fn is_seekable(&self) -> bool {
        self.byte_len.is_some()
    }

    fn byte_len(&self) -> Option<u64> {
        self.byte_len
    }
}
