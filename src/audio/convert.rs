//! Mono samples at any rate → 16 kHz, counted against the duration limit.
//!
//! Invariant: a change of rate in mid-stream flushes the old rate first, so no sample is lost between them.

use super::resample::Resampler;
use super::{AudioError, Limits, samples_in};

#[derive(Debug)]
pub(super) struct Converter {
    resampler: Option<(u32, Resampler)>,
    limit_ms: u64,
    taken: u64,
    given: u64,
}

impl Converter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { resampler: None, limit_ms: limits.max_duration_ms, taken: 0, given: 0 }
    }

    /// Takes mono samples at `rate_hz` and appends those ready at 16 kHz to `out`.
    pub(super) fn push(&mut self, mono: &[f32], rate_hz: u32, out: &mut Vec<f32>) -> Result<(), AudioError> {
        let start = out.len();
        if self.resampler.as_ref().is_none_or(|(rate, _)| *rate != rate_hz) {
            self.flush(out)?;
            self.resampler = Some((rate_hz, Resampler::new(rate_hz)?));
        }
        let finite = mono.iter().position(|sample| !sample.is_finite()).unwrap_or(mono.len());
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.push(&mono[..finite], out)?;
        }
        self.count(start, out)?;
        self.taken += finite as u64;
        if finite < mono.len() { Err(AudioError::NotFinite { index: self.taken }) } else { Ok(()) }
    }

    /// Appends the tail to `out`.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), AudioError> {
        let start = out.len();
        self.flush(out)?;
        self.count(start, out)
    }

    fn flush(&mut self, out: &mut Vec<f32>) -> Result<(), AudioError> {
        self.resampler.take().map_or(Ok(()), |(_, mut resampler)| resampler.finish(out))
    }

    /// Cuts what was appended since `start` at the limit.
    fn count(&mut self, start: usize, out: &mut Vec<f32>) -> Result<(), AudioError> {
        self.given += (out.len() - start) as u64;
        let excess = self.given.saturating_sub(samples_in(self.limit_ms));
        if excess == 0 {
            return Ok(());
        }
        self.given -= excess;
        out.truncate(out.len() - excess as usize);
        Err(AudioError::TooLong { limit_ms: self.limit_ms })
    }
}
