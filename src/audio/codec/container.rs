//! A container's bytes → packets → mono samples at the track's rate, by symphonia.
//!
//! Invariant: bytes from outside cannot bring the process down. Sizes that a header claims are checked before memory is
//! reserved, and a panic in a parser or decoder becomes an [`AudioError`].

use std::io::{self, ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_MKV, FORMAT_ID_WAVE};
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};

use super::super::downmix::downmix;
use super::super::meter::{Meter, Metered};
use super::super::{AudioError, Limits};
use super::{opus, source};

/// Channels of a film's sound, and more; a header may claim thousands.
const MAX_CHANNELS: usize = 32;

/// Frames of channels in one packet; the largest real ones are FLAC's 65,535.
const MAX_PACKET_FRAMES: u64 = 1 << 20;

/// Codec delay and padding make a track a little longer or shorter than its header says.
const END_TOLERANCE_MS: f64 = 100.0;

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<opus::OpusDecoder>();
    codecs
});

pub(in crate::audio) struct Container {
    format: Box<dyn FormatReader>,
    track_id: u32,
    decoder: Box<dyn AudioDecoder>,
    duration_ms: Option<u64>,
    /// The container does not mark its own end, so the source may end after any packet.
    open_ended: bool,
    decoded_ms: f64,
    damage: Option<(u64, String)>,
    interleaved: Vec<f32>,
    meter: Meter,
}

impl Container {
    pub(in crate::audio) fn file<R>(source: R, limits: &Limits) -> Result<Self, AudioError>
    where
        R: Read + Seek + Send + Sync + 'static,
    {
        let meter = Meter::new(limits.max_idle_bytes);
        let source = Metered::file(source, meter.clone())?;
        Self::open(meter, || source::from_file(source))
    }

    pub(in crate::audio) fn stream<R>(source: R, limits: &Limits) -> Result<Self, AudioError>
    where
        R: Read + Send + Sync + 'static,
    {
        let meter = Meter::new(limits.max_idle_bytes);
        Self::open(meter.clone(), || source::from_stream(Metered::stream(source, meter)))
    }

    fn open(meter: Meter, source: impl FnOnce() -> io::Result<Box<dyn MediaSource>>) -> Result<Self, AudioError> {
        let opened = guarded(|| -> Result<_, Error> {
            let stream = MediaSourceStream::new(source()?, Default::default());
            symphonia::default::get_probe().probe(&Hint::new(), stream, Default::default(), Default::default())
        })?;
        let format = opened.map_err(|error| match error {
            _ if meter.is_unread() => AudioError::Empty,
            Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
                AudioError::Truncated { cause: "the header is incomplete".into() }
            }
            Error::IoError(error) => meter.exceeded().unwrap_or(AudioError::Io(error)),
            error => AudioError::Unrecognized { cause: error.to_string() },
        })?;
        let (track_id, decoder, duration_ms, open_ended) = guarded(|| choose_track(&*format))??;
        Ok(Self {
            format,
            track_id,
            decoder,
            duration_ms,
            open_ended,
            decoded_ms: 0.0,
            damage: None,
            interleaved: Vec::new(),
            meter,
        })
    }

    /// Length that the header states, if any.
    pub(in crate::audio) fn duration_ms(&self) -> Option<u64> {
        self.duration_ms
    }

    /// Decodes one packet, appends its samples to `mono` and says their rate in Hz; none after the last packet.
    ///
    /// A packet that cannot be decoded is left out and reported by [`AudioError::Damaged`] at the end.
    pub(in crate::audio) fn next_packet(&mut self, mono: &mut Vec<f32>) -> Result<Option<u32>, AudioError> {
        guarded(AssertUnwindSafe(|| self.decode_next(mono)))?
    }

    fn decode_next(&mut self, mono: &mut Vec<f32>) -> Result<Option<u32>, AudioError> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.end(),
                Err(Error::ResetRequired) => {
                    // The next stream of a chained Ogg (RFC 3533 §4) begins.
                    (self.track_id, self.decoder, ..) = choose_track(&*self.format)?;
                    continue;
                }
                Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                    if self.open_ended && !self.lacks_audio() {
                        return self.end();
                    }
                    return Err(AudioError::Truncated { cause: "the container announces more".into() });
                }
                Err(Error::IoError(error)) => return Err(self.meter.exceeded().unwrap_or(AudioError::Io(error))),
                Err(error) => return Err(AudioError::Malformed { cause: error.to_string() }),
            };
            if packet.track_id != self.track_id {
                continue;
            }
            match self.decoder.decode(&packet) {
                Ok(buffer) => {
                    let (rate_hz, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
                    buffer.copy_to_vec_interleaved(&mut self.interleaved);
                    downmix(&self.interleaved, channels, mono);
                    self.meter.reset();
                    self.decoded_ms += buffer.frames() as f64 * 1000.0 / f64::from(rate_hz);
                    return Ok(Some(rate_hz));
                }
                Err(error @ (Error::DecodeError(_) | Error::IoError(_))) => {
                    self.damage.get_or_insert_with(|| (0, error.to_string())).0 += 1;
                }
                Err(Error::ResetRequired) => self.decoder.reset(),
                Err(error) => return Err(AudioError::Unsupported { cause: error.to_string() }),
            }
        }
    }

    /// Whether clearly less came than the header stated, if it stated a length.
    fn lacks_audio(&self) -> bool {
        self.duration_ms.is_some_and(|duration_ms| self.decoded_ms + END_TOLERANCE_MS < duration_ms as f64)
    }

    fn end(&mut self) -> Result<Option<u32>, AudioError> {
        self.damage.take().map_or(Ok(None), |(packets, cause)| Err(AudioError::Damaged { packets, cause }))
    }
}

type Chosen = (u32, Box<dyn AudioDecoder>, Option<u64>, bool);

/// The audio track to decode, its decoder, its length in milliseconds and whether it may end anywhere.
fn choose_track(format: &dyn FormatReader) -> Result<Chosen, AudioError> {
    let track = format.default_track(TrackType::Audio).ok_or(AudioError::NoAudioTrack)?;
    let params = track.codec_params.as_ref().and_then(|params| params.audio()).ok_or(AudioError::NoAudioTrack)?;
    check(params)?;
    let decoder = CODECS
        .make_audio_decoder(params, &Default::default())
        .map_err(|error| AudioError::Unsupported { cause: error.to_string() })?;
    let open_ended = match format.format_info().format {
        // Written to a pipe, the length stays unknown.
        FORMAT_ID_WAVE => track.num_frames.is_none(),
        // A recorder leaves the sizes open, and an unseekable source does not tell its own.
        FORMAT_ID_MKV => true,
        _ => false,
    };
    let duration_ms = duration_ms(track, params).or_else(|| {
        let info = format.media_info();
        ticks_to_ms(info.duration?.get(), info.time_base?.numer.get(), info.time_base?.denom.get())
    });
    Ok((track.id, decoder, duration_ms, open_ended))
}

/// Refuses claims that a decoder would reserve memory for.
fn check(params: &AudioCodecParameters) -> Result<(), AudioError> {
    let channels = params.channels.as_ref().map_or(1, |channels| channels.count());
    if !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(AudioError::Channels { channels, allowed: MAX_CHANNELS });
    }
    match params.max_frames_per_packet {
        Some(frames) if frames > MAX_PACKET_FRAMES => {
            Err(AudioError::Unsupported { cause: format!("packets of {frames} samples") })
        }
        _ => Ok(()),
    }
}

fn duration_ms(track: &Track, params: &AudioCodecParameters) -> Option<u64> {
    match (track.num_frames, params.sample_rate) {
        (Some(frames), Some(rate_hz)) => ticks_to_ms(frames, 1, rate_hz),
        _ => ticks_to_ms(track.duration?.get(), track.time_base?.numer.get(), track.time_base?.denom.get()),
    }
}

fn ticks_to_ms(ticks: u64, numer: u32, denom: u32) -> Option<u64> {
    let ms = u128::from(ticks) * 1000 * u128::from(numer) / u128::from(denom.max(1));
    u64::try_from(ms).ok().filter(|ms| *ms > 0)
}

/// Runs code that parses bytes from outside; a panic in it ends this input only.
fn guarded<T>(parse: impl FnOnce() -> T) -> Result<T, AudioError> {
    catch_unwind(AssertUnwindSafe(parse)).map_err(|panic| {
        let cause = panic.downcast_ref::<&str>().map(ToString::to_string);
        let cause = cause.or_else(|| panic.downcast_ref::<String>().cloned());
        AudioError::Decoder { cause: cause.unwrap_or_else(|| "panic".into()) }
    })
}
