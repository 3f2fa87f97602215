//! A container's tracks → the one audio track to decode, its decoder and what the header says of its length.
//!
//! Invariant: sizes that a header claims are checked before a decoder reserves memory for them.

use std::sync::LazyLock;

use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::formats::well_known::{FORMAT_ID_ADTS, FORMAT_ID_MKV, FORMAT_ID_MP3, FORMAT_ID_WAVE};
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::units::{Duration, TimeBase};

use super::super::AudioError;
use super::opus::OpusDecoder;

/// Channels of a film's sound, and more; a header may claim thousands.
const MAX_CHANNELS: usize = 32;

/// Samples of a channel in one packet; the largest real ones are FLAC's 65,535.
const MAX_PACKET_SAMPLES: u64 = 1 << 20;

/// Codec delay and padding make a track a little shorter than its header says.
const TOLERANCE_MS: f64 = 100.0;

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<OpusDecoder>();
    codecs
});

pub(super) struct Track {
    pub(super) id: u32,
    pub(super) decoder: Box<dyn AudioDecoder>,
    /// For progress bars: may be an estimate.
    pub(super) duration_ms: Option<u64>,
    /// How long the track is without doubt.
    due_ms: Option<u64>,
    /// The container does not mark its own end, so the source may end after any packet.
    pub(super) open_ended: bool,
    decoded_ms: f64,
}

impl Track {
    /// The container's default audio track, or its first.
    pub(super) fn choose(format: &dyn FormatReader) -> Result<Self, AudioError> {
        let track = format.default_track(TrackType::Audio).ok_or(AudioError::NoAudioTrack)?;
        let params = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or(AudioError::NoAudioTrack)?;
        check(params)?;
        let decoder = CODECS
            .make_audio_decoder(params, &Default::default())
            .map_err(|error| AudioError::Unsupported { cause: error.to_string() })?;

        let (kind, media) = (format.format_info().format, format.media_info());
        let of_samples = params.sample_rate.and_then(TimeBase::try_from_recip);
        let of_track =
            in_ms(track.num_frames.map(Duration::new), of_samples).or_else(|| in_ms(track.duration, track.time_base));
        let of_media = in_ms(media.duration, media.time_base);
        let due_ms = match kind {
            // These only estimate their length.
            FORMAT_ID_MP3 | FORMAT_ID_ADTS => None,
            _ if format.tracks().len() == 1 => of_track.or(of_media),
            _ => of_track,
        };
        let open_ended = match kind {
            // Written to a pipe, the length stays unknown.
            FORMAT_ID_WAVE => track.num_frames.is_none(),
            // A recorder leaves the sizes open, and a stream does not tell its own.
            FORMAT_ID_MKV => true,
            _ => false,
        };
        Ok(Self { id: track.id, decoder, duration_ms: of_track.or(of_media), due_ms, open_ended, decoded_ms: 0.0 })
    }

    /// Counts decoded samples of one channel.
    pub(super) fn count(&mut self, samples: usize, rate_hz: u32) {
        self.decoded_ms += samples as f64 * 1000.0 / f64::from(rate_hz);
    }

    /// Fails if clearly less was decoded than the header stated, such as after parsers skipped what they could not read.
    pub(super) fn check_complete(&self) -> Result<(), AudioError> {
        match self.due_ms {
            Some(due_ms) if self.decoded_ms + TOLERANCE_MS < due_ms as f64 => Err(AudioError::Truncated {
                cause: format!("{:.0} of {due_ms} ms of audio could be decoded", self.decoded_ms),
            }),
            _ => Ok(()),
        }
    }
}

/// Refuses claims that a decoder would reserve memory for.
fn check(params: &AudioCodecParameters) -> Result<(), AudioError> {
    let channels = params.channels.as_ref().map_or(1, |channels| channels.count());
    if !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(AudioError::Channels { channels, allowed: MAX_CHANNELS });
    }
    match params.max_frames_per_packet {
        Some(samples) if samples > MAX_PACKET_SAMPLES => {
            Err(AudioError::Unsupported { cause: format!("packets of {samples} samples") })
        }
        _ => Ok(()),
    }
}

/// A length of zero stands for an unknown one.
fn in_ms(duration: Option<Duration>, time_base: Option<TimeBase>) -> Option<u64> {
    let (ticks, base) = (duration?.get(), time_base?);
    let ms = u128::from(ticks) * 1000 * u128::from(base.numer.get()) / u128::from(base.denom.get());
    u64::try_from(ms).ok().filter(|ms| *ms > 0)
}
