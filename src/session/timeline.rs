//! Encoded segments to times: which part of an utterance a target word renders.
//!
//! Invariant: spans lie within the encoded part of the utterance, and their beginnings never go back.

use serde::{Deserialize, Serialize};

use crate::policy::source_segment;

/// A stretch of audio, in milliseconds since the session's first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
}

/// The segments of one utterance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timeline {
    encoded: Span,
    /// The segments that contain speech.
    speech: Vec<Span>,
    /// Beginning of the last word's span.
    last_start_ms: u64,
}

impl Timeline {
    pub(crate) fn new(start_ms: u64) -> Self {
        let nothing = Span { start_ms, end_ms: start_ms };
        Self { encoded: nothing, speech: Vec::new(), last_start_ms: start_ms }
    }

    /// Adds the next segment.
    pub(crate) fn accept_segment(&mut self, duration_ms: u64, speech: bool) {
        let start_ms = self.encoded.end_ms;
        let segment = Span { start_ms, end_ms: start_ms + duration_ms };
        self.encoded.end_ms = segment.end_ms;
        if speech {
            self.speech.push(segment);
        }
    }

    /// Everything encoded so far.
    pub(crate) fn encoded(&self) -> Span {
        self.encoded
    }

    pub(crate) fn speech_segments(&self) -> usize {
        self.speech.len()
    }

    /// Span of the word number `word` (from 0) when it is decided now: from the segment that the policy aligns it to,
    /// to the end of what had been read. Words beyond the last segment begin halfway into what the word before left.
    pub(crate) fn word(&mut self, word: usize) -> Span {
        let Span { end_ms, .. } = self.encoded;
        let start_ms = match source_segment(word, self.speech.len()).and_then(|segment| self.speech.get(segment)) {
            Some(segment) => segment.start_ms,
            None => self.last_start_ms.midpoint(end_ms),
        };
        self.last_start_ms = start_ms.max(self.last_start_ms);
        Span { start_ms: self.last_start_ms, end_ms }
    }

    /// Span of the word number `word` (from 0) of `num_words` when nothing but their number is known: an equal share
    /// of the speech.
    pub(crate) fn share(&self, word: usize, num_words: usize) -> Span {
        let speech = if self.speech.is_empty() { std::slice::from_ref(&self.encoded) } else { &self.speech };
        let num_words = num_words.max(1);
        // Positions in units of 1 / num_words segments.
        let (from, to) = (word * speech.len(), (word + 1) * speech.len());
        let at = |segment: Span, parts: usize| {
            segment.start_ms + (segment.end_ms - segment.start_ms) * parts as u64 / num_words as u64
        };
        let (first, last) = (from / num_words, (to - 1) / num_words);
        let clamp = |segment: usize| speech[segment.min(speech.len() - 1)];
        Span { start_ms: at(clamp(first), from - first * num_words), end_ms: at(clamp(last), to - last * num_words) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timeline(segments: &[bool]) -> Timeline {
        let mut timeline = Timeline::new(1000);
        for &speech in segments {
            timeline.accept_segment(320, speech);
        }
        timeline
    }

    fn spans(spans: &[(u64, u64)]) -> Vec<Span> {
        spans.iter().map(|&(start_ms, end_ms)| Span { start_ms, end_ms }).collect()
    }

    #[test]
    fn words_follow_the_speech_segments() {
        let mut timeline = timeline(&[true, false, true]);
        let got: Vec<Span> = (0..4).map(|word| timeline.word(word)).collect();
        assert_eq!(got, spans(&[(1000, 1960), (1640, 1960), (1800, 1960), (1880, 1960)]));
    }

    #[test]
    fn shares_skip_the_pauses() {
        let timeline = timeline(&[true, false, true]);
        let got: Vec<Span> = (0..4).map(|word| timeline.share(word, 4)).collect();
        assert_eq!(got, spans(&[(1000, 1160), (1160, 1320), (1640, 1800), (1800, 1960)]));
        assert_eq!(Timeline::new(5).share(0, 1), Span { start_ms: 5, end_ms: 5 });
    }

    proptest! {
        #[test]
        fn spans_stay_inside_and_never_go_back(
            segments in prop::collection::vec(any::<bool>(), 0..80),
            num_words in 1_usize..200,
        ) {
            let mut timeline = timeline(&segments);
            let whole = timeline.encoded();
            let streamed: Vec<Span> = (0..num_words).map(|word| timeline.word(word)).collect();
            let shared: Vec<Span> = (0..num_words).map(|word| timeline.share(word, num_words)).collect();
            for spans in [streamed, shared] {
                prop_assert!(spans.iter().all(|span| span.start_ms <= span.end_ms));
                prop_assert!(spans.iter().all(|span| whole.start_ms <= span.start_ms && span.end_ms <= whole.end_ms));
                prop_assert!(spans.is_sorted_by_key(|span| span.start_ms));
            }
        }
    }
}
