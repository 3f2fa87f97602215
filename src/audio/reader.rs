//! A file or another source → 16 kHz mono chunks, pulled one by one.
//!
//! Invariant: whatever is wrong with the input, all samples before the fault come out first, then one error, then none.

use std::fmt;
use std::io::{Read, Seek};

use super::codec::container::Container;
use super::convert::Converter;
use super::{AudioError, Limits};

/// Decodes a container as an iterator of chunks, about one packet each (20 to 100 ms). Memory does not grow with the file.
///
/// The last item is the error, if the input was truncated, damaged or too long. What an encoder puts around the audio is
/// taken off where the container tells it; the first 20 to 50 ms of an AAC file and the last 20 ms of a webm are not told.
pub struct AudioReader {
    /// None once the input has ended.
    container: Option<Container>,
    converter: Converter,
    duration_ms: Option<u64>,
    mono: Vec<f32>,
    error: Option<AudioError>,
}

impl AudioReader {
    /// Recognises the container and prepares its first audio track. A source that turns out not to seek, such as a pipe,
    /// is read in one go. Fails on an input that is empty, of no known format or without audio.
    pub fn open(source: impl Read + Seek + Send + Sync + 'static, limits: &Limits) -> Result<Self, AudioError> {
        Container::file(source, limits).map(|container| Self::new(container, limits))
    }

    /// As [`open`](Self::open), for a source that cannot seek. An m4a whose index comes last is kept in memory, up to
    /// [`Limits::max_idle_bytes`], and decoded when the source ends, or refused (see [`Limits::keeps_index_last`]).
    pub fn open_stream(source: impl Read + Send + Sync + 'static, limits: &Limits) -> Result<Self, AudioError> {
        Container::stream(source, limits).map(|container| Self::new(container, limits))
    }

    fn new(container: Container, limits: &Limits) -> Self {
        Self {
            duration_ms: container.duration_ms(),
            container: Some(container),
            converter: Converter::new(limits),
            mono: Vec::new(),
            error: None,
        }
    }

    /// Length that the container states, for progress bars: a stream may not know it, a damaged file may lie.
    pub fn duration_ms(&self) -> Option<u64> {
        self.duration_ms
    }

    /// All samples at once, for short clips. Fails where the iterator would.
    pub fn read_all(self) -> Result<Vec<f32>, AudioError> {
        let mut samples = Vec::new();
        for chunk in self {
            samples.append(&mut chunk?);
        }
        Ok(samples)
    }

    /// Decodes one packet into `out`; false after the last.
    fn step(&mut self, out: &mut Vec<f32>) -> Result<bool, AudioError> {
        let Some(container) = &mut self.container else { return Ok(false) };
        self.mono.clear();
        let rate_hz = container.next_packet(&mut self.mono)?;
        if let Some(rate_hz) = rate_hz {
            self.converter.push(&self.mono, rate_hz, out)?;
        }
        Ok(rate_hz.is_some())
    }
}

impl Iterator for AudioReader {
    type Item = Result<Vec<f32>, AudioError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.container.is_some() {
            let mut out = Vec::new();
            let stepped = self.step(&mut out);
            if !matches!(stepped, Ok(true)) {
                self.container = None;
                self.error = stepped.and(self.converter.finish(&mut out)).err();
            }
            if !out.is_empty() {
                return Some(Ok(out));
            }
        }
        self.error.take().map(Err)
    }
}

impl fmt::Debug for AudioReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioReader").field("duration_ms", &self.duration_ms).finish_non_exhaustive()
    }
}
