//! A file or standard input to pieces of audio, read by a thread of its own because reading may wait.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::thread;

use decalage::audio::{AudioDecoder, AudioError, AudioReader, Encoding, Limits};
use decalage::client::{Instant, PIECE_SAMPLES, Piece, pcm16};
use tokio::sync::mpsc;

/// Pieces read ahead: seconds of a file, which need not be there before their time.
const MAX_PIECES: usize = 64;
/// Raw audio read at a time; a pipe gives what it has.
const READ_BYTES: usize = 4096;

type Samples = Box<dyn Iterator<Item = Result<Vec<f32>, AudioError>> + Send>;

/// Audio that has begun.
pub(super) struct Source(Samples);

impl Source {
    /// Opens a file, or standard input for `-`. A container's header is awaited.
    pub(super) fn open(path: &Path, raw: Option<Encoding>) -> Result<Self, AudioError> {
        let limits = Limits { max_duration_ms: u64::MAX, ..Limits::default() };
        let live = path.as_os_str() == "-";
        Ok(Self(match raw {
            None if live => Box::new(AudioReader::open_stream(io::stdin(), &limits)?),
            None => Box::new(AudioReader::open(File::open(path)?, &limits)?),
            Some(encoding) if live => Box::new(Raw::new(io::stdin(), encoding, &limits)?),
            Some(encoding) => Box::new(Raw::new(File::open(path)?, encoding, &limits)?),
        }))
    }

    /// The audio in pieces, with the time at which each was read. An error is the last.
    pub(super) fn pump(self) -> io::Result<mpsc::Receiver<Result<Piece, AudioError>>> {
        let (sender, pieces) = mpsc::channel(MAX_PIECES);
        let pump = move || {
            for samples in self.0 {
                let since = Instant::now();
                let pieces: Vec<_> = match samples {
                    Ok(samples) => samples.chunks(PIECE_SAMPLES).map(|piece| Ok(pcm16(piece))).collect(),
                    Err(error) => vec![Err(error)],
                };
                for piece in pieces {
                    if sender.blocking_send(piece.map(|pcm16| Piece { pcm16, since })).is_err() {
                        return; // nobody listens any more
                    }
                }
            }
        };
        thread::Builder::new().name("audio-source".into()).spawn(pump)?;
        Ok(pieces)
    }
}

/// Raw samples as they come.
struct Raw<R> {
    from: R,
    /// None after the end.
    decoder: Option<AudioDecoder>,
}

impl<R: Read> Raw<R> {
    fn new(from: R, encoding: Encoding, limits: &Limits) -> Result<Self, AudioError> {
        Ok(Self { from, decoder: Some(AudioDecoder::new(encoding, limits)?) })
    }
}

impl<R: Read> Iterator for Raw<R> {
    type Item = Result<Vec<f32>, AudioError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut decoder = self.decoder.take()?;
        let mut bytes = [0; READ_BYTES];
        let read = loop {
            match self.from.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Err(error) => Some(Err(error.into())),
            Ok(0) => Some(decoder.finish()),
            Ok(len) => Some(decoder.push(&bytes[..len]).map(|()| {
                let samples = decoder.take();
                self.decoder = Some(decoder);
                samples
            })),
        }
    }
}

/// `pcm16:RATE`.
pub(super) fn parse_raw(text: &str) -> Result<Encoding, String> {
    let rate_hz = text.strip_prefix("pcm16:").and_then(|rate_hz| rate_hz.parse().ok());
    let rate_hz = rate_hz.ok_or("allowed is pcm16: and a rate in Hz, as in pcm16:16000")?;
    Ok(Encoding::Pcm16 { rate_hz, channels: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, as a slow pipe does.
    struct Drops(Vec<u8>);

    impl Read for Drops {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.0.len().min(1).min(buf.len());
            buf[..len].copy_from_slice(&self.0[..len]);
            self.0.drain(..len);
            Ok(len)
        }
    }

    #[test]
    fn raw_audio_comes_as_it_is_read() {
        let samples = [0.5, -0.25, 0.0, 1.0 / 32768.0];
        let encoding = parse_raw("pcm16:16000").unwrap();
        let raw = Raw::new(Drops(pcm16(&samples).to_vec()), encoding, &Limits::default()).unwrap();
        let read: Vec<f32> = raw.flat_map(Result::unwrap).collect();
        assert_eq!(read, samples);
        let odd = Raw::new(Drops(vec![0; 3]), encoding, &Limits::default()).unwrap();
        assert!(matches!(odd.last(), Some(Err(AudioError::Truncated { .. }))));
    }

    #[test]
    fn a_source_ends_with_its_fault() {
        let faulty: Samples = Box::new([Ok(vec![0.0; 2000]), Err(AudioError::NotFinite)].into_iter());
        let mut pieces = Source(faulty).pump().unwrap();
        let sizes: Vec<Option<usize>> = std::iter::from_fn(|| pieces.blocking_recv())
            .map(|piece| piece.ok().map(|piece| piece.pcm16.len()))
            .collect();
        assert_eq!(sizes, [Some(3200), Some(800), None]);
    }

    #[test]
    fn other_encodings_are_no_raw_audio() {
        for text in ["pcm16", "pcm16:", "pcm16:a", "f32:16000", ""] {
            assert!(parse_raw(text).is_err(), "{text}");
        }
    }
}
