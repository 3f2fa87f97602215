//! A container's bytes → packets → mono samples at the track's rate, by symphonia.
//!
//! Invariant: bytes from outside cannot bring the process down; a panic in a parser or decoder becomes an [`AudioError`].

use std::io::{self, ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::errors::Error;
use symphonia::core::formats::FormatReader;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::{MediaSource, MediaSourceStream};

use super::super::downmix::downmix;
use super::super::meter::{Meter, Metered};
use super::super::{AudioError, Limits};
use super::source;
use super::track::Track;

pub(in crate::audio) struct Container {
    format: Box<dyn FormatReader>,
    track: Track,
    /// Packets left out, and what was wrong with the first.
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
        Self::open(meter.clone(), || source::from_stream(Metered::stream(source, meter), limits.keeps_index_last))
    }

    fn open(meter: Meter, source: impl FnOnce() -> io::Result<Box<dyn MediaSource>>) -> Result<Self, AudioError> {
        let opened = guarded(|| -> Result<_, Error> {
            let stream = MediaSourceStream::new(source()?, Default::default());
            symphonia::default::get_probe().probe(&Hint::new(), stream, Default::default(), Default::default())
        })?;
        let format = opened.map_err(|error| match (meter.exceeded(), error) {
            (Some(exceeded), _) => exceeded,
            (None, _) if meter.is_unread() => AudioError::Empty,
            (None, Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                AudioError::Truncated { cause: "the header is incomplete".into() }
            }
            (None, Error::IoError(error)) if error.kind() == ErrorKind::Unsupported => {
                AudioError::Unsupported { cause: error.to_string() }
            }
            (None, Error::IoError(error)) => AudioError::Io(error),
            (None, error) => AudioError::Unrecognized { cause: error.to_string() },
        })?;
        let track = guarded(|| Track::choose(&*format))??;
        Ok(Self { format, track, damage: None, interleaved: Vec::new(), meter })
    }

    /// Length that the header states, if any.
    pub(in crate::audio) fn duration_ms(&self) -> Option<u64> {
        self.track.duration_ms
    }

    /// Decodes one packet, appends its samples to `mono` and says their rate in Hz; none after the last packet.
    ///
    /// A packet that cannot be decoded is left out and reported by [`AudioError::Damaged`] at the end.
    pub(in crate::audio) fn next_packet(&mut self, mono: &mut Vec<f32>) -> Result<Option<u32>, AudioError> {
        guarded(|| self.decode_next(mono))?
    }

    fn decode_next(&mut self, mono: &mut Vec<f32>) -> Result<Option<u32>, AudioError> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.end(),
                Err(Error::ResetRequired) => {
                    // The next stream of a chained Ogg (RFC 3533 §4) begins.
                    self.track = Track::choose(&*self.format)?;
                    continue;
                }
                Err(error) => return self.fail(error),
            };
            if packet.track_id != self.track.id {
                continue;
            }
            match self.track.decoder.decode(&packet) {
                Ok(buffer) => {
                    let (rate_hz, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
                    buffer.copy_to_vec_interleaved(&mut self.interleaved);
                    let samples = buffer.frames();
                    downmix(&self.interleaved, channels, mono);
                    self.track.count(samples, rate_hz);
                    self.meter.reset();
                    return Ok(Some(rate_hz));
                }
                Err(error @ (Error::DecodeError(_) | Error::IoError(_))) => {
                    self.damage.get_or_insert_with(|| (0, error.to_string())).0 += 1;
                }
                Err(Error::ResetRequired) => self.track.decoder.reset(),
                Err(error) => return Err(AudioError::Unsupported { cause: error.to_string() }),
            }
        }
    }

    /// The container said that there is no more.
    fn end(&mut self) -> Result<Option<u32>, AudioError> {
        if let Some((packets, cause)) = self.damage.take() {
            return Err(AudioError::Damaged { packets, cause });
        }
        self.track.check_complete().map(|()| None)
    }

    /// The container could not be read on.
    fn fail(&mut self, error: Error) -> Result<Option<u32>, AudioError> {
        if let Some(exceeded) = self.meter.exceeded() {
            return Err(exceeded);
        }
        Err(match error {
            Error::IoError(error) if error.kind() != ErrorKind::UnexpectedEof => AudioError::Io(error),
            Error::IoError(_) if self.track.open_ended => return self.end(),
            Error::IoError(_) => AudioError::Truncated { cause: "the container announces more".into() },
            error => AudioError::Malformed { cause: error.to_string() },
        })
    }
}

/// Runs code that parses bytes from outside; a panic in it ends this input only.
fn guarded<T>(parse: impl FnOnce() -> T) -> Result<T, AudioError> {
    catch_unwind(AssertUnwindSafe(parse)).map_err(|panic| {
        let cause = panic.downcast_ref::<&str>().map(ToString::to_string);
        let cause = cause.or_else(|| panic.downcast_ref::<String>().cloned());
        AudioError::Decoder { cause: cause.unwrap_or_else(|| "panic".into()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        let caught = guarded(|| -> () { panic!("at byte {}", 7) });
        assert!(matches!(caught, Err(AudioError::Decoder { cause }) if cause == "at byte 7"));
        assert!(matches!(guarded(|| 3), Ok(3)));
    }
}
