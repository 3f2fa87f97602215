//! Speech flags, one a frame, to utterances: where they begin, which frames belong to them, where they end.
//!
//! Invariants: every frame is taken by one utterance or skipped, in order; an utterance never has more than the
//! allowed frames; what is decided on a frame depends on the flags up to it alone, and at most a pause is undecided.

use serde::{Deserialize, Serialize};

/// Where utterances begin and end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CutterConfig {
    /// Unbroken speech that counts as speech; shorter is a click.
    pub min_speech_ms: u32,
    /// Audio before the first speech that is kept: detectors are late on soft consonants.
    pub pre_roll_ms: u32,
    /// Silence after speech that is kept, so that the encoder hears the last word end.
    pub trailing_ms: u32,
    /// Silence that ends an utterance: long enough for a breath. Speakers rest so long between sentences, and a sentence alone
    /// is translated better than many.
    pub pause_ms: u32,
    /// Silence that ends an utterance which is about to reach its longest. From half of that length on, the pause
    /// needed shrinks from `pause_ms` to this: a long utterance ends in a small dip, and hardly ever in a word.
    pub min_pause_ms: u32,
}

impl Default for CutterConfig {
    fn default() -> Self {
        Self { min_speech_ms: 50, pre_roll_ms: 250, trailing_ms: 300, pause_ms: 500, min_pause_ms: 100 }
    }
}

/// What happens to the oldest frames that are still undecided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cut {
    /// This many belong to no utterance.
    Skip(usize),
    /// A new utterance begins with the next frame taken.
    Begin,
    /// This many belong to the utterance.
    Take(usize),
    /// The utterance is over.
    End,
}

/// The configuration, in frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Limits {
    min_speech: usize,
    pre_roll: usize,
    trailing: usize,
    pause: usize,
    min_pause: usize,
    max_frames: usize,
}

/// See the [module](self).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UtteranceCutter {
    limits: Limits,
    /// Frames of the running utterance; none between utterances.
    taken: Option<usize>,
    /// Frames pushed and not decided yet.
    held: usize,
    /// Speech frames in a row up to now.
    speech_run: usize,
    /// Frames since the last confirmed speech.
    silence: usize,
}

impl UtteranceCutter {
    /// A cutter between utterances, for frames every `frame_shift_ms` and utterances of at most `max_frames` frames.
    /// Both count as 1 at least, and so does every duration except the pre-roll.
    pub fn new(config: &CutterConfig, frame_shift_ms: u32, max_frames: usize) -> Self {
        let frames = |ms: u32| (ms / frame_shift_ms.max(1)).max(1) as usize;
        let max_frames = max_frames.max(1);
        let min_speech = frames(config.min_speech_ms).min(max_frames);
        let limits = Limits {
            min_speech,
            pre_roll: frames(config.pre_roll_ms).min(max_frames - min_speech),
            trailing: frames(config.trailing_ms),
            pause: frames(config.pause_ms),
            min_pause: frames(config.min_pause_ms.min(config.pause_ms)),
            max_frames,
        };
        Self { limits, taken: None, held: 0, speech_run: 0, silence: 0 }
    }

    /// Speech frames in a row that count as speech.
    pub fn min_speech_frames(&self) -> usize {
        self.limits.min_speech
    }

    /// Whether the other one works by the same limits, and this one keeps them.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let bounded = self.taken.is_none_or(|taken| taken <= self.limits.max_frames) && self.held <= 1 << 20;
        self.limits == other.limits && bounded
    }

    /// Takes the next frame's flag; the answer speaks of the frames pushed so far.
    pub fn push(&mut self, speech: bool) -> Vec<Cut> {
        self.held += 1;
        self.speech_run = if speech { self.speech_run + 1 } else { 0 };
        let confirmed = self.speech_run >= self.limits.min_speech;
        self.silence = if confirmed { 0 } else { self.silence + 1 };
        let mut cuts = Vec::new();
        if let Some(taken) = self.taken {
            self.go_on(taken, confirmed, &mut cuts);
        }
        if self.taken.is_none() {
            self.look_for_speech(confirmed, &mut cuts);
        }
        cuts
    }

    /// No more frames: ends the running utterance, skips what is undecided.
    pub fn finish(&mut self) -> Vec<Cut> {
        let mut cuts = Vec::new();
        if self.taken.take().is_some() {
            cuts.push(Cut::End);
        }
        if self.held > 0 {
            cuts.push(Cut::Skip(std::mem::take(&mut self.held)));
        }
        cuts
    }

    fn go_on(&mut self, taken: usize, confirmed: bool, cuts: &mut Vec<Cut>) {
        let fits = taken + self.held <= self.limits.max_frames;
        if fits && (confirmed || self.silence <= self.limits.trailing) {
            self.take(taken, cuts);
        }
        let taken = self.taken.unwrap_or_default();
        // What may turn out to be speech in a moment does not end the utterance.
        let paused = self.speech_run == 0 && self.silence >= self.pause_after(taken);
        if paused || !fits || taken == self.limits.max_frames {
            cuts.push(Cut::End);
            self.taken = None;
        }
    }

    fn look_for_speech(&mut self, confirmed: bool, cuts: &mut Vec<Cut>) {
        let excess = self.held.saturating_sub(self.limits.pre_roll + self.limits.min_speech);
        if excess > 0 {
            cuts.push(Cut::Skip(excess));
            self.held -= excess;
        }
        if confirmed && self.held > 0 {
            cuts.push(Cut::Begin);
            self.take(0, cuts);
        }
    }

    fn take(&mut self, taken: usize, cuts: &mut Vec<Cut>) {
        cuts.push(Cut::Take(self.held));
        self.taken = Some(taken + std::mem::take(&mut self.held));
    }

    /// The pause, in frames, that ends an utterance of this many frames.
    fn pause_after(&self, taken: usize) -> usize {
        let Limits { pause, min_pause, max_frames, .. } = self.limits;
        let half = max_frames / 2;
        let beyond = taken.saturating_sub(half);
        pause - (pause - min_pause) * beyond / (max_frames - half)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHIFT_MS: u32 = 10;

    /// First and one-past-last frame of each utterance; checks that every frame is decided once and in order.
    fn utterances(max_frames: usize, flags: impl IntoIterator<Item = bool>) -> Vec<(usize, usize)> {
        let mut cutter = UtteranceCutter::new(&CutterConfig::default(), SHIFT_MS, max_frames);
        let (mut decided, mut pushed, mut open, mut found) = (0, 0, None, Vec::new());
        let mut apply = |cuts: Vec<Cut>, pushed: usize| {
            for cut in cuts {
                match cut {
                    Cut::Skip(frames) => decided += frames,
                    Cut::Take(frames) => {
                        assert!(open.is_some() && frames > 0);
                        decided += frames;
                    }
                    Cut::Begin => assert_eq!(open.replace(decided), None),
                    Cut::End => found.push((open.take().expect("an utterance is open"), decided)),
                }
                assert!(decided <= pushed);
            }
            assert!(pushed - decided <= 100, "{} frames are undecided", pushed - decided);
            decided
        };
        for flag in flags {
            pushed += 1;
            apply(cutter.push(flag), pushed);
        }
        assert_eq!(apply(cutter.finish(), pushed), pushed);
        assert!(open.is_none());
        found
    }

    fn flags(runs: &[(bool, usize)]) -> Vec<bool> {
        runs.iter().flat_map(|&(speech, frames)| std::iter::repeat_n(speech, frames)).collect()
    }

    #[test]
    fn keeps_a_little_silence_around_speech() {
        let flags = flags(&[(false, 100), (true, 50), (false, 200)]);
        assert_eq!(utterances(2500, flags), [(75, 180)]);
    }

    #[test]
    fn a_short_pause_goes_on_and_a_long_one_ends() {
        let short = flags(&[(true, 50), (false, 49), (true, 50), (false, 10)]);
        assert_eq!(utterances(2500, short), [(0, 159)]);
        let long = flags(&[(true, 50), (false, 50), (true, 50), (false, 10)]);
        assert_eq!(utterances(2500, long), [(0, 80), (80, 160)]);
        let longer = flags(&[(true, 50), (false, 70), (true, 50), (false, 10)]);
        assert_eq!(utterances(2500, longer), [(0, 80), (95, 180)]);
    }

    #[test]
    fn clicks_and_silence_are_nothing() {
        let clicks = (0..100_000).map(|frame| frame % 10 < 4);
        assert_eq!(utterances(2500, clicks), []);
        assert_eq!(utterances(2500, []), []);
    }

    #[test]
    fn a_long_utterance_ends_in_a_dip_and_at_the_limit_anyway() {
        let dip = flags(&[(true, 2000), (false, 40), (true, 1000)]);
        // 10 frames of silence are enough at the limit, 50 in the first half, 26 here.
        assert_eq!(utterances(2500, dip)[0], (0, 2026));
        let none = flags(&[(true, 6000)]);
        assert_eq!(utterances(2500, none), [(0, 2500), (2500, 5000), (5000, 6000)]);
    }

    proptest! {
        #[test]
        fn utterances_hold_their_limits(
            runs in prop::collection::vec((any::<bool>(), 0_usize..150), 0..60),
            max_frames in 1_usize..600,
        ) {
            let flags = flags(&runs);
            for (start, end) in utterances(max_frames, flags.clone()) {
                prop_assert!(end - start <= max_frames);
                prop_assert!(flags[start..end].contains(&true), "an utterance without speech");
            }
        }
    }
}
