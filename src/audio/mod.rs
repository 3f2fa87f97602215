//! Audio bytes in, mono f32 samples at 16 kHz out: `codec` → [`downmix`] → [`resample`].
//!
//! Two doors, one path behind them: [`AudioDecoder`] is pushed the bytes of a live stream, [`AudioReader`] pulls from a
//! file. Invariants: any split of the bytes gives the same samples; a damaged input gives everything that can be
//! decoded, then one [`AudioError`] that names the cause; memory is bounded by [`Limits`], whatever the bytes say.

mod codec;
mod convert;
mod decoder;
pub mod downmix;
mod error;
mod live;
mod meter;
mod reader;
pub mod resample;

pub use decoder::AudioDecoder;
pub use error::AudioError;
pub use reader::AudioReader;

/// Rate of all samples that leave this module.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// How the bytes of a stream are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Raw signed 16-bit little-endian samples, channels interleaved.
    Pcm16 {
        /// Samples per second and channel, within [`resample::RATES_HZ`].
        rate_hz: u32,
        /// 1 or 2.
        channels: u16,
    },
    /// Raw IEEE 754 32-bit little-endian samples in [-1, 1], channels interleaved.
    F32 {
        /// Samples per second and channel, within [`resample::RATES_HZ`].
        rate_hz: u32,
        /// 1 or 2.
        channels: u16,
    },
    /// A container that says what it is: wav, flac, mp3, ogg (Opus, Vorbis, FLAC), webm/mkv, m4a/mp4 or ADTS AAC.
    Container,
}

/// What one input may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Decoded audio of one input; the guard against decompression bombs. Default: 12 hours.
    pub max_duration_ms: u64,
    /// Decoded audio that an [`AudioDecoder`] holds until it is taken, and with it what one push decodes, but for the
    /// packet that goes beyond. Default: 15 minutes, which is 58 MB.
    pub max_untaken_ms: u64,
    /// Bytes read in a row without a packet of audio coming out: headers, pictures, or an m4a whose index comes last and
    /// which therefore has to be kept whole. Default: 32 MiB.
    pub max_idle_bytes: u64,
    /// Whether such an m4a is kept where the source cannot seek, or refused as soon as it shows. Default: kept.
    pub keeps_index_last: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_duration_ms: 12 * 3_600_000,
            max_untaken_ms: 15 * 60_000,
            max_idle_bytes: 32 << 20,
            keeps_index_last: true,
        }
    }
}

impl Limits {
    /// Fails if more than may wait is waiting.
    fn check_untaken(&self, ready: &[f32]) -> Result<(), AudioError> {
        if ready.len() as u64 > samples_in(self.max_untaken_ms) {
            return Err(AudioError::NotTaken { limit_ms: self.max_untaken_ms });
        }
        Ok(())
    }
}

/// Samples at 16 kHz in so many milliseconds.
fn samples_in(duration_ms: u64) -> u64 {
    duration_ms.saturating_mul(u64::from(SAMPLE_RATE_HZ)) / 1000
}
