//! Audio at the pace of speech to what a listener experiences: each event with its lag.
//!
//! Lag is counted from when the audio was there to be sent, not from when the socket took it: a server that holds its
//! clients up must not look faster for it. Invariant: a piece is never sent before its time.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::{Client, ClientError, Received, Receiver, Sender, Timeline};
use crate::audio::SAMPLE_RATE_HZ;
use crate::protocol::realtime::{ServerEvent, ServerMessage};

/// Samples in a piece of 100 ms, the most that should be sent at a time.
pub const PIECE_SAMPLES: usize = 1600;
const BYTES_PER_SAMPLE: u64 = 2;
const MIN_SPEED: f64 = 0.01;
const MAX_SPEED: f64 = 1000.0;

/// A piece of audio.
#[derive(Debug, Clone)]
pub struct Piece {
    /// 16 kHz, mono, 16 bits, little-endian.
    pub pcm16: Bytes,
    /// When it was there, for a source that is itself live; any time before the stream for others.
    pub since: Instant,
}

/// How fast audio is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// 1 is the speed of speech; kept within 0.01 and 1000.
    pub speed: f64,
    /// How late a piece may be sent because the server takes no more; `None` waits for it.
    pub max_behind: Option<Duration>,
}

/// An event, as a listener experiences it.
#[derive(Debug)]
pub struct Heard<'a> {
    /// When it came.
    pub at: Instant,
    /// What came.
    pub message: &'a ServerMessage,
    /// Of a delta: since when the first piece of the speech that it renders was there. Of `session.metrics`: from when the
    /// audio that decided the word was there until the word came, the *commit lag*.
    pub lag: Option<Duration>,
}

/// How a conversation went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// When the first sample was spoken: a piece is sent once its last one is.
    pub began: Instant,
    /// When `session.close` was sent.
    pub closing: Instant,
    /// When `session.closed` came.
    pub closed: Instant,
    /// Samples sent.
    pub num_samples: u64,
    /// How late a piece was sent at worst.
    pub max_behind: Duration,
}

/// Sends `audio` at its pace and hands every event to `heed`, until everything is said. An empty `audio` is a conversation
/// without words.
///
/// # Errors
/// If the stream does not end with `session.closed`, or [`ClientError::Behind`].
pub async fn converse(
    client: Client,
    audio: impl Stream<Item = Piece>,
    pace: Pace,
    heed: impl FnMut(Heard<'_>),
) -> Result<Summary, ClientError> {
    let timeline = Mutex::new(Timeline::default());
    let (mut sender, mut receiver) = client.split();
    let mut sending = pin!(send(&mut sender, audio, pace, &timeline));
    let mut receiving = pin!(receive(&mut receiver, &timeline, heed));
    let (sent, closed) = tokio::select! {
        // A server that has ended the stream takes no more, and its last words say why.
        sent = &mut sending => match sent {
            Ok(_) | Err(ClientError::Lost { .. }) => (sent, receiving.await),
            Err(error) => return Err(error),
        },
        closed = &mut receiving => {
            let closed = closed?;
            (sending.await, Ok(closed))
        },
    };
    match (sent, closed) {
        (Ok(sent), Ok(closed)) => Ok(Summary { closed, ..sent }),
        (Err(lost), Ok(_) | Err(ClientError::Lost { .. })) => Err(lost),
        (_, Err(error)) => Err(error),
    }
}

/// Sends everything; when it was all answered is not known here.
async fn send(
    sender: &mut Sender,
    audio: impl Stream<Item = Piece>,
    Pace { speed, max_behind: limit }: Pace,
    timeline: &Mutex<Timeline>,
) -> Result<Summary, ClientError> {
    let mut audio = pin!(audio);
    let (mut began, mut num_samples, mut max_behind) = (None, 0, Duration::ZERO);
    while let Some(Piece { pcm16, since }) = audio.next().await {
        let piece_samples = pcm16.len() as u64 / BYTES_PER_SAMPLE;
        // A piece is there when its last sample has been spoken.
        let now = Instant::now();
        let began = *began.get_or_insert(now.checked_sub(spoken(piece_samples, speed)).unwrap_or(now));
        num_samples += piece_samples;
        let there = since.max(began + spoken(num_samples, speed));
        sleep_until(there).await;
        max_behind = max_behind.max(there.elapsed());
        if let Some(limit) = limit.filter(|limit| max_behind > *limit) {
            return Err(ClientError::Behind { behind: max_behind, limit });
        }
        lock(timeline).push(num_samples, there);
        sender.send(pcm16).await?;
    }
    let closing = Instant::now();
    sender.finish().await?;
    Ok(Summary { began: began.unwrap_or(closing), closing, closed: closing, num_samples, max_behind })
}

/// Hears everything; returns when the last event came, which is `session.closed`.
async fn receive(
    receiver: &mut Receiver,
    timeline: &Mutex<Timeline>,
    mut heed: impl FnMut(Heard<'_>),
) -> Result<Instant, ClientError> {
    let (mut word_at, mut last_at) = (Instant::now(), Instant::now());
    while let Some(Received { at, message }) = receiver.next().await? {
        last_at = at;
        let since = |position_ms| Some(at.saturating_duration_since(lock(timeline).at(position_ms)?));
        let lag = match &message.event {
            ServerEvent::InputTranscript(delta) => delta.src_start_ms.and_then(since),
            ServerEvent::OutputTranscript(delta) => {
                word_at = at;
                delta.src_start_ms.and_then(since)
            }
            // It follows its word, which is what counts.
            ServerEvent::Metrics { source_ms, .. } => since(*source_ms).map(|lag| lag.saturating_sub(at - word_at)),
            _ => None,
        };
        heed(Heard { at, message: &message, lag });
    }
    Ok(last_at)
}

/// Samples in [-1, 1] as 16 bits, little-endian; what lies outside is clipped.
pub fn pcm16(samples: &[f32]) -> Bytes {
    // `as` saturates, and takes NaN for silence.
    samples.iter().flat_map(|sample| ((sample * 32768.0).round() as i16).to_le_bytes()).collect()
}

fn spoken(num_samples: u64, speed: f64) -> Duration {
    let seconds = num_samples as f64 / f64::from(SAMPLE_RATE_HZ) / speed.clamp(MIN_SPEED, MAX_SPEED);
    Duration::try_from_secs_f64(seconds).unwrap_or_default() // only a speed that is not a number fails
}

/// No holder of the lock can panic.
fn lock(timeline: &Mutex<Timeline>) -> MutexGuard<'_, Timeline> {
    timeline.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_rounded_and_clipped() {
        let bytes = pcm16(&[0.0, 0.5, -1.0, 1.0, 7.0, f32::NAN, 1.6 / 32768.0]);
        let values: Vec<i16> = bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        assert_eq!(values, [0, 16384, -32768, 32767, 32767, 0, 2]);
    }
}
