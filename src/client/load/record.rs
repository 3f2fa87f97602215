//! What one client experienced, in numbers. Times are seconds since the trial began.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Heard, Summary};
use crate::protocol::realtime::ServerEvent;

/// A committed word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Word {
    /// Number in the translation.
    pub seq: u64,
    /// When it came.
    pub at_s: f64,
    /// From when the audio that decided it was there.
    pub lag_ms: f64,
}

/// A conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The translation.
    pub text: String,
    /// Its words, as far as the server tells their lag.
    pub words: Vec<Word>,
    /// From when the first piece of the speech that the first word renders was there until that word came.
    pub first_commit_ms: Option<f64>,
    /// Audio that the server had heard when it decided the last word.
    pub heard_ms: u64,
    /// Audio sent.
    pub sent_ms: u64,
    /// When the first piece was sent,
    pub began_s: f64,
    /// and when `session.close` was.
    pub closing_s: f64,
    /// From `session.close` to `session.closed`.
    pub finalise_ms: f64,
    /// How late a piece was sent at worst.
    pub max_behind_ms: f64,
    /// Errors that left the session open.
    pub errors: Vec<String>,
}

impl Record {
    /// Adds an event.
    pub(super) fn heed(&mut self, heard: &Heard<'_>, epoch: Instant) {
        match &heard.message.event {
            ServerEvent::OutputTranscript(delta) => {
                self.text.push_str(&delta.delta);
                self.first_commit_ms = self.first_commit_ms.or(heard.lag.map(ms));
            }
            ServerEvent::Metrics { seq, source_ms, .. } => {
                self.heard_ms = self.heard_ms.max(*source_ms);
                if let Some(lag) = heard.lag {
                    self.words.push(Word { seq: *seq, at_s: since(epoch, heard.at), lag_ms: ms(lag) });
                }
            }
            ServerEvent::Error { error } => self.errors.push(error.message.clone()),
            _ => {}
        }
    }

    /// The conversation is over.
    pub(super) fn finish(&mut self, summary: &Summary, epoch: Instant) {
        self.sent_ms = summary.num_samples * 1000 / u64::from(crate::audio::SAMPLE_RATE_HZ);
        self.began_s = since(epoch, summary.began);
        self.closing_s = since(epoch, summary.closing);
        self.finalise_ms = ms(summary.closed.saturating_duration_since(summary.closing));
        self.max_behind_ms = ms(summary.max_behind);
    }
}

fn since(epoch: Instant, at: Instant) -> f64 {
    at.saturating_duration_since(epoch).as_secs_f64()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
