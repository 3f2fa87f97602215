//! Speech to steps: frames with speech flags, cut into utterances, in segments of the encoder's size.
//!
//! Invariant: frames are worked off one at a time, so that the steps are the same for any chunking of the samples.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    Segment, Step,
    cutter::{Cut, UtteranceCutter},
    front::{FrontEnd, FrontState},
};
use crate::{
    features::{Cmvn, FbankConfig},
    session::{
        config::{SessionConfig, SessionError},
        translator::{SourceInput, TranslatorSpec},
    },
};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SpeechSource {
    front: FrontEnd,
    state: Cutting,
}

/// All that is known besides samples and frames.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cutting {
    cutter: UtteranceCutter,
    /// Decisions of the cutter that have not been carried out.
    cuts: VecDeque<Cut>,
    /// The cutter has heard the last frame,
    cutter_finished: bool,
    /// and that was said.
    finished: bool,
    flush: Flush,
    /// Frames of the segment that is being filled,
    segment: Vec<f32>,
    /// and how many of them are speech.
    segment_speech_frames: usize,
}

/// How far a flush has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Flush {
    #[default]
    No,
    /// Ends the utterance as soon as all before it is worked off.
    Asked,
    /// The utterance is ending.
    Ending,
}

/// A speech source's memory, for snapshots.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SpeechState {
    front: FrontState,
    cutting: Cutting,
}

impl SpeechSource {
    pub(super) fn new(
        fbank: &FbankConfig,
        cmvn: &Cmvn,
        spec: &TranslatorSpec,
        config: &SessionConfig,
    ) -> Result<Self, SessionError> {
        let max_frames = spec.max_utterance_segments * spec.frames_per_segment();
        let state = Cutting {
            cutter: UtteranceCutter::new(&config.utterances, spec.frame_shift_ms, max_frames),
            cuts: VecDeque::new(),
            cutter_finished: false,
            finished: false,
            flush: Flush::No,
            segment: Vec::new(),
            segment_speech_frames: 0,
        };
        Ok(Self { front: FrontEnd::new(fbank, cmvn, config.vad_threshold)?, state })
    }

    pub(super) fn accept_waveform(&mut self, samples: &[f32]) {
        self.front.accept_waveform(samples);
    }

    pub(super) fn finish(&mut self) {
        if !self.front.is_finished() {
            self.front.finish();
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.front.is_finished()
    }

    pub(super) fn flush(&mut self) {
        self.state.flush = Flush::Asked;
    }

    pub(super) fn accepted_ms(&self) -> u64 {
        self.front.accepted_ms()
    }

    pub(super) fn consumed_ms(&self) -> u64 {
        if self.state.cutter_finished { self.front.accepted_ms() } else { self.front.consumed_ms() }
    }

    /// Carries out one decision of the cutter, or has it take one.
    pub(super) fn next(&mut self, spec: &TranslatorSpec) -> Step {
        let state = &mut self.state;
        if let Some(cut) = state.cuts.pop_front() {
            return self.cut(cut, spec);
        }
        if let Some(speech) = self.front.next_flag() {
            state.cuts.extend(state.cutter.push(speech));
        } else if state.flush == Flush::Asked {
            state.flush = Flush::Ending;
            state.cuts.extend(state.cutter.finish());
        } else if state.flush == Flush::Ending {
            state.flush = Flush::No;
            return Step::Flushed;
        } else if self.front.is_finished() && !state.cutter_finished {
            state.cutter_finished = true;
            state.cuts.extend(state.cutter.finish());
        } else if state.cutter_finished && !state.finished {
            state.finished = true;
            return Step::Finished;
        } else {
            return Step::Wait;
        }
        Step::Moved
    }

    fn cut(&mut self, cut: Cut, spec: &TranslatorSpec) -> Step {
        let state = &mut self.state;
        match cut {
            Cut::Skip(num_frames) => {
                self.front.skip(num_frames);
                Step::Moved
            }
            Cut::Begin => Step::Begin { start_ms: self.front.first_frame() * u64::from(spec.frame_shift_ms) },
            Cut::Take(num_frames) => {
                let room = spec.frames_per_segment() - state.segment.len() / spec.num_mel_bins;
                let taken = num_frames.min(room);
                state.segment_speech_frames += self.front.take(taken, &mut state.segment);
                if taken < num_frames {
                    state.cuts.push_front(Cut::Take(num_frames - taken));
                }
                if taken < room {
                    return Step::Moved;
                }
                let last = state.cuts.front() == Some(&Cut::End);
                if last {
                    state.cuts.pop_front();
                }
                self.segment(last, spec)
            }
            Cut::End if !state.segment.is_empty() => self.segment(true, spec),
            Cut::End => Step::End,
        }
    }

    fn segment(&mut self, last: bool, spec: &TranslatorSpec) -> Step {
        let frames = std::mem::take(&mut self.state.segment);
        let speech_frames = std::mem::take(&mut self.state.segment_speech_frames);
        let num_frames = frames.len() / spec.num_mel_bins;
        let num_steps = num_frames.div_ceil(spec.frames_per_step);
        let segment = Segment {
            num_steps,
            num_labels: num_steps,
            duration_ms: num_frames as u64 * u64::from(spec.frame_shift_ms),
            // A click is no speech here either.
            speech: speech_frames >= self.state.cutter.min_speech_frames(),
            last,
            num_letters: 0,
        };
        Step::Segment(SourceInput::Frames(frames), segment)
    }

    pub(super) fn state(&self) -> SpeechState {
        SpeechState { front: self.front.state(), cutting: self.state.clone() }
    }

    /// Goes on from a state; false, and nothing changes, if it is none that a source of this shape can reach.
    pub(super) fn restore(&mut self, SpeechState { front, cutting }: SpeechState, spec: &TranslatorSpec) -> bool {
        let num_frames = cutting.segment.len() / spec.num_mel_bins;
        let fits = cutting.cutter.is_like(&self.state.cutter)
            && num_frames < spec.frames_per_segment()
            && num_frames * spec.num_mel_bins == cutting.segment.len()
            && self.front.restore(front);
        if fits {
            self.state = cutting;
        }
        fits
    }
}
