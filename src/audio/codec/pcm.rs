//! Raw little-endian PCM bytes → mono samples in [-1, 1].
//!
//! Invariant: bytes of an incomplete frame of channels wait for the rest, so any split gives the same samples.

use super::super::downmix::downmix;
use super::super::{AudioError, Encoding};

#[derive(Debug, Clone, Copy)]
enum Format {
    Pcm16,
    F32,
}

#[derive(Debug)]
pub(in crate::audio) struct PcmDecoder {
    format: Format,
    pub(in crate::audio) rate_hz: u32,
    channels: usize,
    /// The bytes of an incomplete frame.
    pending: Vec<u8>,
}

impl PcmDecoder {
    /// `None` for [`Encoding::Container`]. Fails unless the stream is mono or stereo.
    pub(in crate::audio) fn new(encoding: Encoding) -> Result<Option<Self>, AudioError> {
        let (format, rate_hz, channels) = match encoding {
            Encoding::Pcm16 { rate_hz, channels } => (Format::Pcm16, rate_hz, usize::from(channels)),
            Encoding::F32 { rate_hz, channels } => (Format::F32, rate_hz, usize::from(channels)),
            Encoding::Container => return Ok(None),
        };
        if !(1..=2).contains(&channels) {
            return Err(AudioError::Channels { channels, allowed: 2 });
        }
        Ok(Some(Self { format, rate_hz, channels, pending: Vec::new() }))
    }

    /// Appends the mono samples that `bytes` complete to `mono`.
    pub(in crate::audio) fn push(&mut self, bytes: &[u8], mono: &mut Vec<f32>) {
        let frame_bytes = self.frame_bytes();
        let missing = (frame_bytes - self.pending.len()) % frame_bytes;
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.pending.extend_from_slice(head);
        if self.pending.len() == frame_bytes {
            self.decode(&self.pending, mono);
            self.pending.clear();
        }
        let whole = rest.len() - rest.len() % frame_bytes;
        self.decode(&rest[..whole], mono);
        self.pending.extend_from_slice(&rest[whole..]);
    }

    /// Fails if the last frame is incomplete.
    pub(in crate::audio) fn finish(&mut self) -> Result<(), AudioError> {
        match self.pending.len() {
            0 => Ok(()),
            len => Err(AudioError::Truncated {
                cause: format!("{len} of the {} bytes of the last sample are there", self.frame_bytes()),
            }),
        }
    }

    fn frame_bytes(&self) -> usize {
        let sample_bytes = match self.format {
            Format::Pcm16 => 2,
            Format::F32 => 4,
        };
        sample_bytes * self.channels
    }

    fn decode(&self, frames: &[u8], mono: &mut Vec<f32>) {
        let samples: Vec<f32> = match self.format {
            Format::Pcm16 => {
                frames.as_chunks().0.iter().map(|&bytes| f32::from(i16::from_le_bytes(bytes)) / 32768.0).collect()
            }
            Format::F32 => frames.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        };
        downmix(&samples, self.channels, mono);
    }
}
