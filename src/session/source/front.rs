//! Samples to normalised frames with speech flags, kept until the cutter has decided on them.
//!
//! Invariant: frames leave in order and one at a time, whatever the size of the chunks that brought the samples.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::vad::{FrameGrid, Vad, VadState};
use crate::{
    features::{Cmvn, FbankConfig, FbankState, OnlineFbank},
    session::config::SessionError,
};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct FrontEnd {
    fbank: OnlineFbank,
    cmvn: Cmvn,
    vad: Vad,
    state: Undecided,
}

/// Everything between the filterbank and the segments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Undecided {
    /// Frames that no cut has decided on, row-major.
    rows: VecDeque<f32>,
    /// Their flags; may be fewer or, after the end, more.
    flags: VecDeque<bool>,
    /// How many of them the cutter has seen.
    judged: usize,
    /// Number of the first of them in the session.
    first_frame: u64,
    /// Samples accepted.
    num_samples: u64,
    finished: bool,
}

/// A front end's memory, for snapshots.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FrontState {
    fbank: FbankState,
    vad: VadState,
    undecided: Undecided,
}

impl FrontEnd {
    pub(crate) fn new(fbank: &FbankConfig, cmvn: &Cmvn, vad_threshold: f32) -> Result<Self, SessionError> {
        let grid = FrameGrid { window_samples: fbank.window_samples(), hop_samples: fbank.hop_samples() };
        let (fbank, vad) = (OnlineFbank::new(fbank.clone())?, Vad::new(grid, vad_threshold));
        Ok(Self { fbank, cmvn: cmvn.clone(), vad, state: Undecided::default() })
    }

    pub(crate) fn accept_waveform(&mut self, samples: &[f32]) {
        self.state.num_samples += samples.len() as u64;
        self.fbank.accept_waveform(samples);
        self.vad.accept_waveform(samples);
        let mut rows = self.fbank.take_ready();
        self.cmvn.apply(&mut rows);
        self.state.rows.extend(rows);
        self.state.flags.extend(self.vad.take_ready());
    }

    pub(crate) fn finish(&mut self) {
        self.vad.finish();
        self.state.flags.extend(self.vad.take_ready());
        self.state.finished = true;
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state.finished
    }

    /// The flag of the next frame that the cutter has not seen.
    pub(crate) fn next_flag(&mut self) -> Option<bool> {
        let num_rows = self.state.rows.len() / self.cmvn.num_mel_bins();
        let flag = *self.state.flags.get(self.state.judged).filter(|_| self.state.judged < num_rows)?;
        self.state.judged += 1;
        Some(flag)
    }

    /// Number, in the session, of the oldest frame that is still here.
    pub(crate) fn first_frame(&self) -> u64 {
        self.state.first_frame
    }

    /// Moves the oldest `num_frames` frames, all of which the cutter has seen, to `to`; returns how many are speech.
    pub(crate) fn take(&mut self, num_frames: usize, to: &mut Vec<f32>) -> usize {
        let num_values = num_frames * self.cmvn.num_mel_bins();
        to.extend(self.state.rows.iter().take(num_values));
        self.skip(num_frames)
    }

    /// Drops the oldest `num_frames` frames, all of which the cutter has seen; returns how many are speech.
    pub(crate) fn skip(&mut self, num_frames: usize) -> usize {
        let state = &mut self.state;
        let num_frames = num_frames.min(state.judged);
        state.judged -= num_frames;
        state.first_frame += num_frames as u64;
        state.rows.drain(..num_frames * self.cmvn.num_mel_bins());
        state.flags.drain(..num_frames).filter(|&speech| speech).count()
    }

    /// How much audio, in milliseconds, had to be consumed before the cutter saw its latest frame. Unlike the audio
    /// accepted so far, this does not depend on the chunks that it came in.
    pub(crate) fn consumed_ms(&self) -> u64 {
        let config = self.fbank.config();
        let num_frames = self.state.first_frame + self.state.judged as u64;
        let needed = num_frames.checked_sub(1).map_or(0, |last| {
            let frame_end = last * config.hop_samples() as u64 + config.window_samples() as u64;
            frame_end.max(self.vad.samples_needed(last))
        });
        self.samples_to_ms(needed.min(self.state.num_samples))
    }

    /// Audio accepted so far, in milliseconds.
    pub(crate) fn accepted_ms(&self) -> u64 {
        self.samples_to_ms(self.state.num_samples)
    }

    fn samples_to_ms(&self, num_samples: u64) -> u64 {
        num_samples * 1000 / u64::from(self.fbank.config().sample_rate_hz)
    }

    pub(crate) fn state(&self) -> FrontState {
        let (fbank, vad) = (self.fbank.state().clone(), self.vad.state().clone());
        FrontState { fbank, vad, undecided: self.state.clone() }
    }

    /// Goes on from a state; false, and nothing changes, if it is none that a front end of this shape can reach.
    pub(crate) fn restore(&mut self, state: FrontState) -> bool {
        let FrontState { fbank, vad, undecided } = state;
        let num_rows = undecided.rows.len() / self.cmvn.num_mel_bins();
        let fits = undecided.rows.len() == num_rows * self.cmvn.num_mel_bins()
            && undecided.judged <= num_rows.min(undecided.flags.len())
            && self.vad.restore(vad);
        if fits {
            self.fbank.restore(fbank);
            self.state = undecided;
        }
        fits
    }
}
