//! What can be wrong with an audio input, by cause.

use thiserror::Error;

/// Why an input could not be decoded, or not to its end. Samples decoded before the error are never withheld.
#[derive(Debug, Error)]
pub enum AudioError {
    /// The declared or the contained sample rate is out of range.
    #[error("sample rate of {rate_hz} Hz, but only 8000 to 192000 Hz can be resampled")]
    Rate {
        /// The rate asked for.
        rate_hz: u32,
    },
    /// A resampling ratio is not a number or out of range.
    #[error("resampling ratio of {ratio}, but only 1/16 to 16 is allowed")]
    Ratio {
        /// The ratio asked for.
        ratio: f64,
    },
    /// The declared or the contained number of channels is out of range.
    #[error("{channels} channels, but only 1 to {allowed} are allowed")]
    Channels {
        /// The number asked for.
        channels: usize,
        /// The largest number allowed here.
        allowed: usize,
    },
    /// The input has no byte at all.
    #[error("the input is empty")]
    Empty,
    /// No container that we know begins here.
    #[error("not a readable wav, flac, mp3, ogg, webm, m4a or aac input: {cause}")]
    Unrecognized {
        /// What the parser missed.
        cause: String,
    },
    /// The container is fine, but holds no audio.
    #[error("the container has no audio track")]
    NoAudioTrack,
    /// The container or codec is a known one that we cannot decode.
    #[error("the audio cannot be decoded: {cause}")]
    Unsupported {
        /// The missing feature.
        cause: String,
    },
    /// The container is broken beyond this point.
    #[error("the container is corrupted: {cause}")]
    Malformed {
        /// What the parser found.
        cause: String,
    },
    /// Some packets could not be decoded and are missing from the samples; all others are there.
    #[error("{packets} damaged packets were left out, the first because of: {cause}")]
    Damaged {
        /// How many.
        packets: u64,
        /// What was wrong with the first one.
        cause: String,
    },
    /// The bytes end inside a sample, a packet or a header. All whole ones before were decoded.
    #[error("the input ends too early: {cause}")]
    Truncated {
        /// What was incomplete.
        cause: String,
    },
    /// A sample is infinite or not a number. Those before it were decoded.
    #[error("sample {index} is infinite or not a number, allowed are numbers, by convention from -1 to 1")]
    NotFinite {
        /// Which one, from 0, at the rate of the input and after its channels were mixed.
        index: u64,
    },
    /// The decoded audio is longer than [`Limits::max_duration_ms`](super::Limits::max_duration_ms).
    #[error("the audio is longer than the limit of {limit_ms} ms")]
    TooLong {
        /// The limit.
        limit_ms: u64,
    },
    /// More decoded audio than [`Limits::max_untaken_ms`](super::Limits::max_untaken_ms) waits to be taken.
    #[error("more than {limit_ms} ms of decoded audio wait to be taken; send smaller pieces")]
    NotTaken {
        /// The limit.
        limit_ms: u64,
    },
    /// Too many bytes brought no audio, see [`Limits::max_idle_bytes`](super::Limits::max_idle_bytes).
    #[error("{limit_bytes} bytes brought no audio (an m4a whose index comes last must be smaller than this)")]
    TooManyIdleBytes {
        /// The limit.
        limit_bytes: u64,
    },
    /// Bytes came after `finish` or after an error.
    #[error("the decoder has already ended")]
    Ended,
    /// A decoder gave up on the bytes in an unforeseen way.
    #[error("the decoder failed: {cause}")]
    Decoder {
        /// Its last words.
        cause: String,
    },
    /// Reading the source failed, or the decoding thread could not start.
    #[error("reading failed: {0}")]
    Io(std::io::Error),
}

/// By hand: with `#[from]` the cause would be told twice, by the message and as its source.
impl From<std::io::Error> for AudioError {
    fn from(cause: std::io::Error) -> Self {
        Self::Io(cause)
    }
}

impl AudioError {
    /// Whether other bytes or another declaration would have helped (a 4xx answer), as opposed to a fault on our side.
    pub fn is_senders_fault(&self) -> bool {
        !matches!(self, Self::Io(_) | Self::Decoder { .. } | Self::NotTaken { .. } | Self::Ended)
    }
}
