//! A live stream's bytes → 16 kHz mono samples, pushed piece by piece.
//!
//! Invariant: [`AudioDecoder::push`] returns when everything that its bytes complete is ready to be taken, so the samples
//! depend neither on how the bytes were cut nor on time.

use std::mem;

use super::codec::pcm::PcmDecoder;
use super::convert::Converter;
use super::live::LiveDecoder;
use super::{AudioError, Encoding, Limits};

/// Decodes one stream; make a new one for the next.
///
/// Raw PCM and every container that can be streamed come out at once: ogg, webm, mp3, flac, wav, aac and m4a with its
/// index first or in fragments. An m4a with its index last comes out at [`finish`](Self::finish), unless the limits refuse
/// it.
///
/// A push does the decoding itself (a few milliseconds for a second of audio) and never waits for anything else. A
/// container costs a parked thread, which ends with the decoder.
#[derive(Debug)]
pub struct AudioDecoder {
    /// None once the stream has ended, by `finish` or by an error.
    stream: Option<Stream>,
    ready: Vec<f32>,
}

#[derive(Debug)]
enum Stream {
    Raw(Box<Raw>),
    Container(LiveDecoder),
}

#[derive(Debug)]
struct Raw {
    decoder: PcmDecoder,
    converter: Converter,
    mono: Vec<f32>,
    limits: Limits,
}

impl AudioDecoder {
    /// Fails on a rate or number of channels that the encoding does not allow, or if no thread can be started.
    pub fn new(encoding: Encoding, limits: &Limits) -> Result<Self, AudioError> {
        let stream = match PcmDecoder::new(encoding)? {
            Some(decoder) => {
                let mut converter = Converter::new(limits);
                // Refuses a wrong rate now, before any audio.
                converter.push(&[], decoder.rate_hz, &mut Vec::new())?;
                Stream::Raw(Box::new(Raw { decoder, converter, mono: Vec::new(), limits: *limits }))
            }
            None => Stream::Container(LiveDecoder::new(limits)?),
        };
        Ok(Self { stream: Some(stream), ready: Vec::new() })
    }

    /// Whether a push may take long: a few bytes of a container can hold much audio, raw samples cannot.
    pub fn is_container(&self) -> bool {
        matches!(self.stream, Some(Stream::Container(_)))
    }

    /// Decodes a piece of any length, also none. After an error the stream has ended; what was decoded can be taken.
    /// A damaged packet inside a container is left out and reported by `finish`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), AudioError> {
        let stream = self.stream.as_mut().ok_or(AudioError::Ended)?;
        let pushed = stream.push(bytes, &mut self.ready);
        if pushed.is_err() {
            self.stream = None;
        }
        pushed
    }

    /// The samples ready since the last call.
    pub fn take(&mut self) -> Vec<f32> {
        mem::take(&mut self.ready)
    }

    /// Ends the stream and gives the samples not yet taken. On an error (truncated, damaged) they stay for
    /// [`take`](Self::take). A stream without a byte has no samples.
    pub fn finish(&mut self) -> Result<Vec<f32>, AudioError> {
        let mut stream = self.stream.take().ok_or(AudioError::Ended)?;
        stream.finish(&mut self.ready)?;
        Ok(self.take())
    }
}

impl Stream {
    fn push(&mut self, bytes: &[u8], ready: &mut Vec<f32>) -> Result<(), AudioError> {
        match self {
            Self::Raw(raw) => raw.push(bytes, ready),
            Self::Container(live) => live.push(bytes, ready),
        }
    }

    fn finish(&mut self, ready: &mut Vec<f32>) -> Result<(), AudioError> {
        match self {
            Self::Raw(raw) => {
                raw.converter.finish(ready)?;
                raw.decoder.finish()
            }
            Self::Container(live) => live.finish(ready),
        }
    }
}

impl Raw {
    fn push(&mut self, bytes: &[u8], ready: &mut Vec<f32>) -> Result<(), AudioError> {
        self.mono.clear();
        self.decoder.push(bytes, &mut self.mono);
        self.converter.push(&self.mono, self.decoder.rate_hz, ready)?;
        self.limits.check_untaken(ready)
    }
}
