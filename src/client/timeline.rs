//! When which audio was there to be sent: positions in the audio to instants. Invariant: memory is bounded, at the price of
//! forgetting what lies hours back.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::audio::SAMPLE_RATE_HZ;

/// An hour of pieces of 100 ms.
const MAX_PIECES: usize = 36_000;

/// The pieces of one stream, in order.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Samples up to a piece's end, and when it was there.
    pieces: VecDeque<(u64, Instant)>,
}

impl Timeline {
    /// Everything up to sample `end_samples` is there since `at`. Both never go back.
    pub fn push(&mut self, end_samples: u64, at: Instant) {
        if self.pieces.len() == MAX_PIECES {
            self.pieces.pop_front();
        }
        self.pieces.push_back((end_samples, at));
    }

    /// Since when everything up to `position_ms` is there. For what is forgotten, the oldest that is known; `None` for
    /// what is not there yet.
    pub fn at(&self, position_ms: u64) -> Option<Instant> {
        let samples = position_ms.saturating_mul(u64::from(SAMPLE_RATE_HZ)) / 1000;
        let index = self.pieces.partition_point(|(end_samples, _)| *end_samples < samples);
        self.pieces.get(index).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_position_is_there_with_the_piece_that_holds_its_end() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut timeline = Timeline::default();
        assert_eq!(timeline.at(0), None);
        timeline.push(1600, at(100));
        timeline.push(3200, at(250));
        timeline.push(3216, at(300));
        for (position_ms, expected) in
            [(0, Some(100)), (100, Some(100)), (101, Some(250)), (200, Some(250)), (201, Some(300)), (202, None)]
        {
            assert_eq!(timeline.at(position_ms), expected.map(at), "{position_ms} ms");
        }
    }

    #[test]
    fn a_long_stream_is_bounded() {
        let begin = Instant::now();
        let mut timeline = Timeline::default();
        for piece in 1..=2 * MAX_PIECES as u64 {
            timeline.push(piece * 1600, begin + Duration::from_millis(piece));
        }
        assert_eq!(timeline.pieces.len(), MAX_PIECES);
        assert_eq!(timeline.at(0), Some(begin + Duration::from_millis(MAX_PIECES as u64 + 1)));
    }
}
